"""What is installed: each entry point of the group `autoposter` is found, imported and asked by itself.

Each one gets a plugin manager of its own, so that whatever it does wrong (`SystemExit` too) becomes its error, and no
other plugin notices.  Each is imported in a thread of its own, which is left behind if it does not come back.
"""

from __future__ import annotations

import logging
import queue
import re
import reprlib
import textwrap
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from difflib import get_close_matches
from importlib.metadata import EntryPoint, distributions
from inspect import getattr_static, iscoroutinefunction
from itertools import islice
from typing import cast

import pluggy

from autoposter import hookspecs
from autoposter.publishers import Delivery, Publisher
from autoposter.publishers.declaration import faults, is_platform

log = logging.getLogger(__name__)

GROUP = "autoposter"

#: A plugin that brings more publishers than this is stuck in a generator.
MOST_PUBLISHERS = 100

#: An import that takes longer is left behind, and not tried again by this process.
LOAD_TIMEOUT = timedelta(seconds=30)

#: An error is shown to people: no more characters of it than this.
LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of one installed distribution."""

    distribution: str
    version: str
    entry_point: str
    platforms: Mapping[str, Delivery | None] = field(default_factory=dict)
    """What it declares; None: wrongly.  Of a plugin that could not be imported nobody knows."""
    error: str | None = None
    """Why it, or one of its platforms, cannot be used."""
    api_ends: Mapping[str, date] = field(default_factory=dict)
    """By platform, when the version of its API ends that is used by default, where that is known."""

    @property
    def id(self) -> str:
        """`distribution:name`; two distributions may use one name."""
        return f"{self.distribution}:{self.entry_point}"

    def sounds_like(self, platform: str) -> bool:
        """Whether its name promises that platform."""
        return normal(platform) in {normal(self.entry_point), normal(self.distribution).removeprefix("autoposter-")}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin, and what it brings; a broken one brings nothing."""

    plugin: Plugin
    publishers: Mapping[str, type[Publisher]]
    hooks: pluggy.HookRelay
    hangs: bool = False
    """Its import has not come back."""


def normal(name: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def installed() -> Iterator[tuple[tuple[str, ...], Plugin, EntryPoint]]:
    """The entry points of our group, with a key for each.  Of a distribution that is found twice, the first one's."""
    seen: set[str] = set()
    for distribution in distributions():
        try:
            ours = [entry_point for entry_point in distribution.entry_points if entry_point.group == GROUP]
            # Only now, because asking for the name parses a whole METADATA file.
            name, version = (distribution.name, distribution.version or "unknown") if ours else ("", "")
        except Exception as error:  # broken metadata of anything that is installed, a plugin or not
            log.warning("An installed distribution cannot be read: %s", _in_words(error))
            continue
        if ours and normal(name) not in seen:
            seen.add(normal(name))
            for entry in ours:
                yield (normal(name), entry.name, entry.value), Plugin(name, version, entry.name), entry


class _Broken(Exception):
    """What is wrong with a plugin, in words: needs no trace."""


def load(plugin: Plugin, entry_point: EntryPoint, *, known_error: str | None) -> Loaded:
    """Import a plugin and ask what it brings.  Whatever happens becomes its error, logged unless it is known."""
    answers: queue.SimpleQueue[Loaded | KeyboardInterrupt] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_load(plugin, entry_point, known_error))
        except KeyboardInterrupt as interrupt:
            answers.put(interrupt)

    threading.Thread(target=ask, name=f"imports {plugin.id}", daemon=True).start()
    try:
        answer = answers.get(timeout=LOAD_TIMEOUT.total_seconds())
    except queue.Empty:
        error = f"it has not come back from its import within {LOAD_TIMEOUT.total_seconds():g} s"
        log.error("The plugin %s is broken: %s", plugin.id, error)
        return Loaded(replace(plugin, error=error), {}, _manager().hook, hangs=True)
    if isinstance(answer, KeyboardInterrupt):
        raise answer
    return answer


def _load(plugin: Plugin, entry_point: EntryPoint, known_error: str | None) -> Loaded:
    manager, declared = _manager(), list[object]()
    try:
        manager.register(entry_point.load(), name=plugin.id)
        _check_hooks(manager.get_hookcallers(manager.get_plugin(plugin.id)) or [])
        declared += _declared(manager.hook.autoposter_publishers)
        publishers = _checked(declared)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and what other languages throw: only its own platforms may stop
        broken = replace(plugin, platforms=_named(declared), error=_in_words(error))
        if broken.error != known_error:
            trace = None if isinstance(error, _Broken) else error
            log.error("The plugin %s is broken: %s", plugin.id, broken.error, exc_info=trace)
        return Loaded(broken, {}, _manager().hook)
    ends = {name: publisher.api_ends for name, publisher in publishers.items() if publisher.api_ends}
    return Loaded(replace(plugin, platforms=_named(declared), api_ends=ends), publishers, manager.hook)


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _check_hooks(callers: Collection[pluggy.HookCaller]) -> None:
    """What pluggy checks only for all plugins together, or not at all."""
    if not callers:
        raise _Broken("it implements no hook; is @hookimpl missing?")
    for caller in callers:
        if not caller.has_spec():
            hooks = [name for name in vars(hookspecs) if name.startswith("autoposter_")]
            nearest = get_close_matches(caller.name, hooks, n=1)
            raise _Broken(f"there is no hook {caller.name}" + "".join(f"; is it {name}?" for name in nearest))
        for implementation in caller.get_hookimpls():
            if implementation.wrapper or implementation.hookwrapper or iscoroutinefunction(implementation.function):
                raise _Broken(f"{caller.name} must be a plain function, neither async nor a wrapper")


def _declared(hook: pluggy.HookCaller) -> Iterator[object]:
    for implementation in hook.get_hookimpls():
        returned: object = implementation.function()
        if not isinstance(returned, Iterable):
            raise _Broken(f"{hook.name} returned {reprlib.repr(returned)}, not a list of classes")
        classes = list(islice(returned, MOST_PUBLISHERS + 1))
        if len(classes) > MOST_PUBLISHERS:
            raise _Broken(f"{hook.name} returned more than {MOST_PUBLISHERS} classes")
        yield from classes


def _checked(declared: list[object]) -> dict[str, type[Publisher]]:
    if wrong := [fault for item in declared for fault in faults(item)]:
        raise _Broken("; ".join(wrong))
    publishers: dict[str, type[Publisher]] = {}
    for publisher in cast("list[type[Publisher]]", declared):
        other = publishers.setdefault(publisher.platform, publisher)
        if other is not publisher:
            both = f"{other.__qualname__} and {publisher.__qualname__}"
            raise _Broken(f"it brings two publishers for {publisher.platform}: {both}")
    return publishers


def _named(declared: list[object]) -> dict[str, Delivery | None]:
    """The platforms that can be read from what a plugin declares, be it right or wrong."""
    classes = [item for item in declared if isinstance(item, type)]
    # Statically, because this runs no code of theirs.
    pairs = [(getattr_static(item, "platform", None), getattr_static(item, "delivery", None)) for item in classes]
    return {name: delivery if isinstance(delivery, Delivery) else None for name, delivery in pairs if is_platform(name)}


def _in_words(error: BaseException) -> str:
    """An exception in one line, whatever a plugin may have made of it."""
    try:
        said = " ".join(str(error).split())
    except Exception:
        said = "no message"
    kind = "" if isinstance(error, _Broken) else f"{type(error).__name__}: "
    return textwrap.shorten(kind + said, LONGEST_ERROR, placeholder=" ...")
