"""The direction of imports (`[tool.importlinter]` in pyproject.toml), and what must stay light and pure."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "autoposter"

#: All that `lifecycle` may import: values only, nothing that reads a clock, a file, a socket or another room.
PURE = {"__future__", "collections", "dataclasses", "datetime", "enum", "functools", "math", "random", "typing", "uuid"}

#: What a plugin author's test must be able to do without.
HEAVY = {"dramatiq", "peewee", "periodiq", "playhouse", "psycopg2", "pydantic_settings", "redis", "typer"}


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the package in `checkout`: the current directory is what it imports from."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as check; check()"]
    return subprocess.run(
        [*command, "--no-cache", "--no-logo", "--config", "pyproject.toml"],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_imports_point_downwards_only() -> None:
    verdict = lint_imports(ROOT)

    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("lifecycle.py", "import autoposter.store", "Imports point downwards only"),
        ("store/__init__.py", "from autoposter import scanning", "Imports point downwards only"),
        ("new_room.py", "", "Imports point downwards only"),
        ("database.py", "import autoposter.testing", "Nothing in production imports autoposter.testing"),
        ("publishers/base.py", "import autoposter.settings", "The door for plugin authors"),
        ("publishers/base.py", "import redis", "The door for plugin authors"),
    ],
)
def test_a_wrong_import_is_found(module: str, statement: str, contract: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "autoposter", ignore=shutil.ignore_patterns("__pycache__"))
    wrong = tmp_path / "autoposter" / module
    before = wrong.read_text() if wrong.exists() else ""
    wrong.write_text(f"{before}\n{statement}\n")

    verdict = lint_imports(tmp_path)

    broken = [line for line in verdict.stdout.splitlines() if " BROKEN" in line]
    assert verdict.returncode == 1, verdict.stdout + verdict.stderr
    assert any(line.startswith(contract) for line in broken), verdict.stdout


def test_lifecycle_is_pure() -> None:
    tree = ast.parse((PACKAGE / "lifecycle.py").read_text())

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    called = {ast.unparse(node.func).split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.Call)}

    assert {name.split(".")[0] for name in imported} <= PURE
    assert not called & {"now", "utcnow", "today", "open", "print", "__import__"}


def test_importing_the_publishers_loads_neither_database_nor_broker() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, autoposter.publishers; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()

    assert not HEAVY & {name.split(".")[0] for name in loaded}
    assert not {"autoposter.settings", "autoposter.database", "autoposter.store"} & set(loaded)
