"""`autoposter plugins`."""

from __future__ import annotations

from autoposter.cli.printing import Json, print_json, print_table
from autoposter.plugins import Host, Plugin
from autoposter.settings import load_settings

HOW_TO_ADD = (
    "Add one with pip, into this environment: workers that run find it.  Write one with `autoposter new-plugin NAME`."
)


def plugins(json: Json = False) -> None:
    """List the installed plugins with their platforms, what is wrong with those that do not work, and how to add one.

    Behind each platform: what can be known of a post whose answer was lost (keyed, findable or blind).
    """
    host = Host(load_settings().plugins)
    found = [*host.plugins(), *host.left_out()]
    if json:
        print_json([_fields(plugin) for plugin in found])
        return
    print_table(
        found,
        {
            "plugin": lambda plugin: plugin.id,
            "version": lambda plugin: plugin.version,
            "platforms": _platforms,
            "API ends": lambda plugin: ", ".join(map(str, plugin.api_ends.values())),
            "problem": lambda plugin: plugin.error,
        },
    )
    print(HOW_TO_ADD)


def _platforms(plugin: Plugin) -> str:
    return ", ".join(
        f"{name} ({delivery.value if delivery else 'delivery unknown'})" for name, delivery in plugin.platforms.items()
    )


def _fields(plugin: Plugin) -> dict[str, object]:
    return {
        "id": plugin.id,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "platforms": {name: delivery and delivery.value for name, delivery in plugin.platforms.items()},
        "api_ends": {name: str(day) for name, day in plugin.api_ends.items()},
        "error": plugin.error,
    }
