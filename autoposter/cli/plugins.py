"""`autoposter plugins`."""

from __future__ import annotations

from autoposter.cli.printing import Json, print_json, print_table
from autoposter.plugins import Host, Plugin
from autoposter.settings import load_settings


def plugins(json: Json = False) -> None:
    """List the installed plugins with their platforms, and what is wrong with those that do not work."""
    found = Host(load_settings().plugins).plugins()
    if json:
        print_json([_fields(plugin) for plugin in found])
        return
    print_table(
        found,
        {
            "plugin": lambda plugin: plugin.id,
            "version": lambda plugin: plugin.version,
            "platforms": lambda plugin: ", ".join(plugin.platforms),
            "API ends": lambda plugin: ", ".join(map(str, plugin.api_ends.values())),
            "problem": lambda plugin: plugin.error,
        },
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
