"""`autoposter new-plugin`: a complete package for one platform, whose tests pass at once.

What it writes stands in `plugin_template/`, with `@NAME@`, `@CLASS@` and `@DIST@` for its names; what an author has to
fill in is marked `TODO(you)` there.  The folder appears whole or not at all.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from autoposter.errors import Refused, WrongUsage
from autoposter.publishers.declaration import is_platform
from autoposter.publishers.stub import Stub

TEMPLATE = Path(__file__).parent / "plugin_template"

LONGEST_NAME = 40  # characters


def new_plugin(
    name: Annotated[str, typer.Argument(help="The platform, in lower_snake_case: mastodon.")],
    into: Annotated[Path, typer.Option(help="The folder in which the package's folder is made.")] = Path(),
) -> None:
    """Write a new publisher as a package of its own, with a fake platform and tests that pass at once."""
    _check(name)
    folder = into / f"autoposter-{name.replace('_', '-')}"
    if folder.exists() or folder.is_symlink():
        raise Refused(f"{folder} exists already: move it away, or choose another name.")
    try:
        _write(folder, name)
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror or error}.") from None
    print(f"Wrote {folder}.  Run its tests, then fill in each TODO(you):")
    print(f"  cd {folder} && python -m pip install -e '.[test]' && python -m pytest")


def _check(name: str) -> None:
    if name == Stub.platform:
        raise WrongUsage(f"{name!r} is taken by autoposter itself: choose another name.")
    if len(name) > LONGEST_NAME:
        raise WrongUsage(f"A platform's name has at most {LONGEST_NAME} characters; this one has {len(name)}.")
    if is_platform(name):
        return
    better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").removeprefix("autoposter_")
    hint = f", such as {better!r}" if is_platform(better) else ", such as 'mastodon'"
    raise WrongUsage(f"{name!r} is no name of a platform: it must be in lower_snake_case{hint}.")


def _write(folder: Path, name: str) -> None:
    words = {"CLASS": "".join(word.capitalize() for word in name.split("_")), "DIST": folder.name, "NAME": name}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        whole = Path(unfinished) / folder.name
        for source in sorted(path for path in TEMPLATE.rglob("*.txt")):
            path = whole / _filled(str(source.relative_to(TEMPLATE).with_suffix("")), words)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(source.read_text("utf-8"), words), "utf-8")
        whole.rename(folder)


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub("@(CLASS|DIST|NAME)@", lambda found: words[found[1]], text)
