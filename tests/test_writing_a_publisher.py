"""The page for authors of publishers ends in a working plugin, and its reference says what the docstrings say."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from test_new_plugin import run_tests

from autoposter import cli

DOCS = Path(__file__).parent.parent / "docs"
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", (DOCS / "writing-a-publisher.md").read_text(), re.DOTALL | re.M)


def test_the_story_ends_in_a_plugin_whose_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, _, command in BLOCKS:
        if language == "sh":
            assert cli.main(shlex.split(command)[1:]) == 0
    package = tmp_path / "autoposter-chalkboard"
    files: dict[str, list[str]] = {}
    for language, path, code in BLOCKS:
        if language == "python":
            files.setdefault(path, []).append(code)
    for path, pieces in files.items():
        assert (package / path).exists(), f"the story writes {path}, which new-plugin does not"
        (package / path).write_text("\n".join(pieces))

    ran = run_tests(package)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "TestChalkboard: " in ran.stdout


def test_the_pieces_that_the_story_shows_stand_in_a_publisher_that_passes_the_suite() -> None:
    pieces = [(path, code) for language, path, code in BLOCKS if language == "py" and path]

    assert len(pieces) > 3
    for path, code in pieces:
        assert code in (DOCS.parent / path).read_text(), f"{path} says otherwise:\n{code}"


def test_the_reference_says_what_the_docstrings_say() -> None:
    pages = runpy.run_path(str(DOCS / "reference" / "make.py"))["pages"]()

    assert sorted(pages) == ["hooks.md", "publishers.md", "testing.md"]
    for page, text in pages.items():
        assert (DOCS / "reference" / page).read_text() == text, "run python docs/reference/make.py"
