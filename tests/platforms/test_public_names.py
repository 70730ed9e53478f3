"""Our plugins use nothing of autoposter but what every plugin may: its three doors, and of those only public names."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
DOORS = ("autoposter", "autoposter.publishers", "autoposter.testing")
SOURCES = sorted(file for file in PLUGINS.glob("*/**/*.py") if not {"build", ".venv"} & set(file.parts))


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Every module of autoposter's that a source imports, and the name from it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "autoposter")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "autoposter":
            yield from ((str(node.module), alias.name) for alias in node.names)


def is_public(module: str, name: str) -> bool:
    """Whether a plugin may import it."""
    return module in DOORS and name in importlib.import_module(module).__all__


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: str(file.relative_to(PLUGINS)))
def test_a_plugin_imports_public_names_only(source: Path) -> None:
    assert [f"{module}.{name}" for module, name in imported(source.read_text()) if not is_public(module, name)] == []


@pytest.mark.parametrize(
    "line", ["import autoposter", "from autoposter.store import jobs", "from autoposter.publishers import http"]
)
def test_what_is_not_public_is_noticed(line: str) -> None:
    assert not all(is_public(module, name) for module, name in imported(line))
