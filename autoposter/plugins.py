"""The host of the plugins: who brings which platform.

Decided here:

- A broken plugin brings nothing: its platforms stop, and what asks for one of them is told why.
- Two plugins for one platform stop that platform, and nothing else of theirs: picking one would be a guess.
- A platform that nobody brings is looked for once more.  So installing is enough, upgrading needs a restart.  An
  editable install needs one too: its `.pth` file is read only when Python starts.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from importlib.metadata import MetadataPathFinder
from pathlib import Path

import pluggy

from autoposter.clock import Stopwatch
from autoposter.errors import AutoposterError
from autoposter.installed import Loaded, Plugin, installed, load, normal
from autoposter.listening import Listening
from autoposter.publishers import Publisher

__all__ = ["Host", "NoPublisher", "Plugin"]

log = logging.getLogger(__name__)

#: This distribution brings `stub`; an allow-list never excludes it.
OURS = "autoposter"

#: While nothing changes on `sys.path`, unknown platforms cost at most one look in this time.
LOOK_PAUSE = timedelta(seconds=5)


class NoPublisher(AutoposterError):
    """No plugin publishes on that platform, or none that works.  The message, for a person, says why."""


class Host:
    """The installed plugins.  Made once per process; any thread may ask."""

    def __init__(self, allow: Collection[str] | None = None) -> None:
        """Load what is installed.  `allow`: only these distributions are imported; None: all."""
        self._allow = None if allow is None else {normal(name) for name in (*allow, OURS)}
        self._lock = threading.Lock()  # held while looking; what was found is replaced as a whole and read without it
        self._listening = Listening()
        self._loaded: dict[tuple[str, ...], Loaded] = {}
        self._left_out: list[Plugin] = []
        self._brought: dict[str, list[Loaded]] = {}
        self._path: list[tuple[str, int]] = []
        self._looked: Stopwatch | None = None
        self.refresh()
        self._looked = None  # the first unknown platform is looked for at once

    def publisher_for(self, platform: str) -> type[Publisher]:
        """The class that publishes on a platform.  Raises NoPublisher."""
        if platform not in self._brought:
            self._look_again()
        match self._brought.get(platform, []):
            case [only]:
                return only.publishers[platform]
            case []:
                raise NoPublisher(self._why_nobody(platform))
            case several:
                raise NoPublisher(_conflict(platform, several) + ".")

    def platforms(self) -> list[str]:
        """The platforms that can be used, sorted."""
        return sorted(platform for platform, bringers in self._brought.items() if len(bringers) == 1)

    def prepare_ahead(self) -> dict[str, timedelta]:
        """How long before the due time each usable platform may begin to prepare."""
        return {platform: self.publisher_for(platform).prepare_ahead for platform in self.platforms()}

    def plugins(self) -> list[Plugin]:
        """All plugins that may be used, the broken ones with their error."""
        brought = self._brought
        return [_with_conflicts(loaded.plugin, brought) for loaded in self._loaded.values()]

    def left_out(self) -> list[Plugin]:
        """The installed plugins that may not be used: nothing of them is imported."""
        return [replace(plugin, error="AUTOPOSTER_PLUGINS leaves it out.") for plugin in self._left_out]

    def refresh(self) -> None:
        """Look once more at what is installed.  What works stays as it is; what was broken is tried again.

        Tried again, because an installer may not have written everything yet when we looked.
        """
        with self._lock:
            self._look()

    def notify(self, event: str, **arguments: object) -> None:
        """Have every plugin told of an event, with those of the arguments it takes.  One that hangs harms none."""
        for loaded in self._loaded.values():
            caller: pluggy.HookCaller = getattr(loaded.hooks, event)
            for implementation in caller.get_hookimpls():
                taken = {*implementation.argnames, *implementation.kwargnames}
                given = {name: arguments[name] for name in taken & arguments.keys()}
                self._listening.call(f"{event} of the plugin {loaded.plugin.id}", implementation.function, given)

    def finish_telling(self, within: timedelta) -> None:
        """Wait until the plugins have heard all they were told, but no longer than this."""
        self._listening.finish(within)

    def listens(self, event: str) -> bool:
        """Whether any plugin wants to be told of an event."""
        return any(getattr(loaded.hooks, event).get_hookimpls() for loaded in self._loaded.values())

    def _look_again(self) -> None:
        with self._lock:
            recent = self._looked is not None and self._looked.elapsed < LOOK_PAUSE
            if not recent or self._path != _path_now():
                self._look()

    def _look(self) -> None:
        self._path, self._looked = _path_now(), Stopwatch()
        importlib.invalidate_caches()
        MetadataPathFinder().invalidate_caches()  # Python 3.11's importlib leaves this one out
        loaded = {key: known for key, known in self._loaded.items() if known.plugin.error is None}
        left_out = []
        for key, plugin, entry_point in installed():
            if self._allow is not None and normal(plugin.distribution) not in self._allow:
                left_out.append(plugin)
            elif key not in loaded:
                known = self._loaded.get(key)
                if known is not None and known.hangs:
                    loaded[key] = known
                else:
                    loaded[key] = load(plugin, entry_point, known_error=known.plugin.error if known else None)
        loaded = dict(sorted(loaded.items()))  # folders are listed in any order
        self._loaded, self._left_out, self._brought = loaded, left_out, _by_platform(loaded.values())

    def _why_nobody(self, platform: str) -> str:
        broken = [loaded.plugin for loaded in self._loaded.values() if loaded.plugin.error]
        guilty = [plugin for plugin in broken if platform in plugin.platforms or plugin.sounds_like(platform)]
        left_out = [plugin for plugin in self._left_out if plugin.sounds_like(platform)]
        if guilty:
            return f"Nobody can publish on {platform}: {_are_broken(guilty)}. Repair it and restart the workers."
        if left_out:
            return f"Nobody can publish on {platform}: AUTOPOSTER_PLUGINS leaves out {left_out[0].distribution}."
        reasons = f"No installed plugin publishes on {platform}; there are: {', '.join(self.platforms()) or 'none'}"
        if broken:
            return f"{reasons}; {_are_broken(broken)}."
        if near := get_close_matches(platform, self.platforms(), n=1, cutoff=0.8):
            return f"{reasons} (did you mean {near[0]}?)."
        custom = f"autoposter-{platform.replace('_', '-')}"
        return f"{reasons}. Install the one that does (by custom {custom}), then `autoposter posts retry`."


def _path_now() -> list[tuple[str, int]]:
    """Changes when something is installed: a folder is made in one of these."""
    return [(path, _changed_at(path)) for path in sys.path if isinstance(path, str)]


def _changed_at(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def _by_platform(loaded: Iterable[Loaded]) -> dict[str, list[Loaded]]:
    brought: dict[str, list[Loaded]] = {}
    for one in loaded:
        for platform in one.publishers:
            brought.setdefault(platform, []).append(one)
    return brought


def _conflict(platform: str, bringers: list[Loaded]) -> str:
    names = " and ".join(bringer.plugin.id for bringer in bringers)
    return f"{len(bringers)} plugins publish on {platform}, {names}: remove all but one and restart the workers"


def _with_conflicts(plugin: Plugin, brought: Mapping[str, list[Loaded]]) -> Plugin:
    conflicts = [
        _conflict(platform, brought[platform]) for platform in plugin.platforms if len(brought.get(platform, [])) > 1
    ]
    return plugin if plugin.error or not conflicts else replace(plugin, error="; ".join(conflicts))


def _are_broken(plugins: list[Plugin]) -> str:
    return "; ".join(
        f"the plugin {plugin.distribution} is broken: {(plugin.error or '').rstrip('.')}" for plugin in plugins
    )
