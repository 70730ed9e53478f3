"""`autoposter new-plugin`: what it writes works at once, and what it cannot write it says in one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from autoposter import cli


def run_tests(package: Path) -> subprocess.CompletedProcess[str]:
    """The package's own tests, with the package installed as far as Python can tell: metadata on the path."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    metadata = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    points = project["entry-points"]["autoposter"]
    (metadata / "entry_points.txt").write_text("[autoposter]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", ["chalkboard", "none", "my_board_2"])
def test_the_tests_of_a_new_plugin_pass_at_once(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new-plugin", name, "--into", str(tmp_path)]) == 0
    package = tmp_path / f"autoposter-{name.replace('_', '-')}"
    assert str(package) in capsys.readouterr().out

    ran = run_tests(package)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed and int(passed[1]) > 60, ran.stdout


def test_a_new_plugin_has_all_its_files_and_marks_what_is_to_fill_in(tmp_path: Path) -> None:
    cli.main(["new-plugin", "chalkboard", "--into", str(tmp_path)])

    package = tmp_path / "autoposter-chalkboard"
    texts = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*") if path.is_file()}

    assert sorted(texts) == [
        ".github/workflows/tests.yml",
        ".gitignore",
        "README.md",
        "autoposter_chalkboard.py",
        "pyproject.toml",
        "tests/fake_chalkboard.py",
        "tests/test_chalkboard.py",
    ]
    assert [name for name, text in texts.items() if "TODO(you)" not in text] == [".gitignore"]
    assert [name for name, text in texts.items() if re.search("@[A-Z]+@", text)] == []


@pytest.mark.parametrize("name", ["Board", "my-board", "7up", "", "../up", "stub", "x" * 41, "bört", "a b"])
def test_a_bad_name_is_one_sentence(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new-plugin", "--into", str(tmp_path), "--", name]) == 2

    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "name" in said
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "autoposter-board").mkdir()

    assert cli.main(["new-plugin", "board", "--into", str(tmp_path)]) == 1

    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "autoposter-board").iterdir()) == []


@pytest.mark.parametrize("where", ["/proc", "missing", "a-file"])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-file").write_text("")

    assert cli.main(["new-plugin", "board", "--into", str(tmp_path / where)]) == 1

    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be written" in said
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
