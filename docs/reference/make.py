"""Writes publishers.md from the docstrings of `autoposter.publishers`: `python docs/reference/make.py`."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from autoposter import publishers

PAGE = Path(__file__).parent / "publishers.md"

OPENING = """# Publishers: reference

Everything here is imported from `autoposter.publishers`. Written by `docs/reference/make.py` from the docstrings; the
story that leads through it is [Writing a publisher](../writing-a-publisher.md).
"""


def page() -> str:
    """The whole page."""
    text = "\n".join([OPENING, *(line for name in publishers.__all__ for line in _section(name))])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _section(name: str) -> Iterator[str]:
    thing = getattr(publishers, name)
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
    PAGE.write_text(page(), "utf-8")
