"""Finds connectors by folder name and by the entry-point group `postroad.connectors`; the core names none."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from postroad.errors import ConfigError
from postroad.sdk.connector import Connector

GROUP = "postroad.connectors"


def connector_names() -> list[str]:
    """The names of all installed connectors, sorted; imports none of them."""
    package = importlib.import_module(GROUP)
    ours = {module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg}
    return sorted(ours | {entry.name for entry in _registered()})


def load_connector(name: str) -> Connector:
    """The connector of that name; a ConfigError that lists the others if there is none."""
    names = connector_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"no connector '{name}'; there are: {', '.join(names)}.{hint}")
    for entry in _registered():
        if entry.name == name:
            return _checked(entry.load(), name)
    return _checked(importlib.import_module(f"{GROUP}.{name}").connector, name)


@cache
def _registered() -> tuple[EntryPoint, ...]:
    """The entry points of the group, read once: looking into every installed distribution takes 15 ms."""
    return tuple(entry_points(group=GROUP))


def _checked(found: object, name: str) -> Connector:
    if not isinstance(found, Connector):
        raise ConfigError(f"the package of connector '{name}' registers no Connector object")
    return found
