"""Writes the reference for authors of publishers from the docstrings: `python docs/reference/make.py`."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from autoposter import hookspecs, lifecycle, publishers, testing
from autoposter.testing import lab, rules
from autoposter.testing.conformance.base import Conformance

HERE = Path(__file__).parent

WRITTEN = """Written by `docs/reference/make.py` from the docstrings; the story that leads through it is
[Writing a publisher](../writing-a-publisher.md).
"""


def pages() -> dict[str, str]:
    """Each page by its file's name."""
    return {
        "publishers.md": _page("Publishers", "autoposter.publishers", _sections(publishers)),
        "testing.md": _page("Testing a publisher", "autoposter.testing", [*_sections(testing), *_named(), *_suite()]),
        "hooks.md": _page("Hooks", "autoposter", _hooks(), "Implement them with `from autoposter import hookimpl`."),
    }


def _page(title: str, module: str, lines: list[str], opening: str = "") -> str:
    opening = opening or f"Everything here is imported from `{module}`."
    text = "\n".join([f"# {title}: reference", "", opening, WRITTEN, *lines])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _sections(package: Any) -> list[str]:
    return [line for name in package.__all__ for line in _section(getattr(package, name))]


def _named() -> list[str]:
    """What signatures name and nobody imports."""
    words = ", ".join(f"`{word}`" for word in get_args(rules.Verb))
    verb = ["## `Verb`", "", f"One of {words}.", ""]
    wire = ["## `Wire`", "", "The HTTP client of one attempt, `wire.client`, and its `wire.evidence`.", ""]
    outcome = ["## `Outcome`", "", "What the core makes of an attempt:", ""]
    outcome += [f"- `{kind.__name__}`: {inspect.getdoc(kind)}" for kind in get_args(lifecycle.Outcome)]
    return [*_section(lab.Attempt), *outcome, "", *verb, *wire]


def _hooks() -> list[str]:
    lines = [inspect.cleandoc(str(hookspecs.__doc__)), ""]
    for name, hook in vars(hookspecs).items():
        if name.startswith("autoposter_"):
            lines += _section(hook)
    return lines


def _suite() -> list[str]:
    """What the conformance suite asks of an author, and what it tests."""
    lines = ["## What the conformance suite is told", "", *list(_section(Conformance))[4:], "## What it tests", ""]
    for name in (name for base in testing.PublisherConformance.__bases__[::-1] for name in vars(base)):
        if name.startswith("test_"):
            doc = inspect.getdoc(getattr(testing.PublisherConformance, name)) or ""
            lines.append(f"- `{name}`: {' '.join(doc.split())}")
    return lines


def _section(thing: Any) -> Iterator[str]:
    name = thing.__name__
    module = importlib.import_module(thing.__module__)
    tree = ast.parse(inspect.getsource(module))
    (node,) = [one for one in tree.body if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name == name]
    if isinstance(node, ast.FunctionDef):
        yield from [f"## `{_signature(node)}`", "", ast.get_docstring(node) or "", ""]
        return
    yield from [f"## `{name}`", "", ast.get_docstring(node) or "", ""]
    for index, member in enumerate(node.body):
        yield from _member(member, node.body[index + 1 : index + 2])


def _member(member: ast.stmt, following: list[ast.stmt]) -> Iterator[str]:
    match member:
        case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
            yield from [f"### `{name}: {_kind(member)}`", "", _text(following), ""]
        case ast.Assign(targets=[ast.Name(id=name)]) if not name.startswith("_"):
            yield from [f"### `{name}`", "", _text(following), ""]
        case ast.FunctionDef(name=name) if not name.startswith("_") or name == "__init__":
            yield from [f"### `{_signature(member)}`", "", ast.get_docstring(member) or "", ""]


def _kind(member: ast.AnnAssign) -> str:
    """The type, and the default where there is one that says something."""
    kind = ast.unparse(member.annotation)
    if kind.startswith("ClassVar["):
        kind = kind.removeprefix("ClassVar[").removesuffix("]")
    default = ast.unparse(member.value) if member.value else ""
    return f"{kind} = {default}" if default and not default.startswith("field(") else kind


def _signature(function: ast.FunctionDef) -> str:
    if any(isinstance(one, ast.Name) and one.id == "property" for one in function.decorator_list):
        return f"{function.name}: {ast.unparse(function.returns) if function.returns else ''}"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{function.name}({ast.unparse(function.args)}){returns}"


def _text(following: list[ast.stmt]) -> str:
    match following:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return inspect.cleandoc(text)
    return ""


if __name__ == "__main__":
    for page, text in pages().items():
        (HERE / page).write_text(text, "utf-8")
