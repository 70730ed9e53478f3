"""The pages and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoposter import errors, worker
from autoposter.publishers import stub
from autoposter.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
NAMES = {PREFIX + name.upper() for name in Settings.model_fields} | {stub.JOURNAL}


def table(page: str, first_column: str) -> list[list[str]]:
    """The rows of the table on a page whose first column has this heading, cell by cell."""
    _, found, rest = (ROOT / page).read_text().partition(f"| {first_column} |")
    assert found, f"{page} has no table of {first_column}"
    lines = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


SETTINGS = {row[0].strip("`"): row[1:] for row in table("docs/settings.md", "Setting")}


def test_every_setting_stands_in_the_reference_and_no_other() -> None:
    assert SETTINGS.keys() == NAMES


@pytest.mark.parametrize("name", sorted(NAMES - {stub.JOURNAL}))
def test_the_reference_has_the_default_of_each_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default, takes = SETTINGS[name]
    field = name.removeprefix(PREFIX).lower()

    monkeypatch.setenv(name, "" if default == "not set" else default.strip("`"))

    assert getattr(Settings(), field) == Settings.model_fields[field].default
    assert (default == "not set") == (not Settings.model_fields[field].default)
    assert takes


def test_no_page_and_no_deploy_file_names_a_setting_that_does_not_exist() -> None:
    files = [*PAGES, ROOT / "docker-compose.yml", ROOT / ".env.example", *(ROOT / "deploy").glob("*/*")]
    tests_only = {"AUTOPOSTER_TEST_DATABASE_URL", "AUTOPOSTER_TEST_REDIS_URL"}

    named = {file.name: set(re.findall(r"\bAUTOPOSTER_[A-Z_]+\b", file.read_text())) for file in files}

    assert {name: unknown for name, found in named.items() if (unknown := found - NAMES - tests_only)} == {}


def test_every_exit_code_of_a_process_stands_in_operations() -> None:
    told = {int(row[0]) for row in table("docs/operations.md", "exit code")}

    kinds = [errors.AutoposterError, errors.Refused, errors.WrongUsage, errors.OutOfReach]
    assert told == {0, worker.EXIT_UNFIT} | {kind.exit_code for kind in kinds}


def test_the_log_lines_to_alert_on_are_the_ones_that_are_written() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "autoposter").glob("*.py"))

    for told, _ in table("docs/operations.md", "the log says"):
        assert told.strip("`") in source, f"nothing logs {told}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_pages_name_commands_that_exist() -> None:
    """The tox environments of the page for developers are tox's."""
    told = {row[0].strip("`") for row in table("docs/development.md", "tox environment")}

    configured = set(re.findall(r"^\[testenv:(\w+)\]$", (ROOT / "tox.ini").read_text(), re.MULTILINE))

    assert told == configured
