"""Finds connectors and simulators by folder name and by the entry-point group `postroad.connectors`; names none.

A folder here is a connector if it has a module `source` or `destination`, and can be simulated if it has a package
`simulator`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from postroad.errors import ConfigError
from postroad.sdk.connector import Connector

GROUP = "postroad.connectors"

Simulate = Callable[[list[str]], None]


def connector_names() -> list[str]:
    """The names of all installed connectors, sorted; imports none of them."""
    folders = {name for half in ("source", "destination") for name in _folders_with(half)}
    return sorted({*folders, *(entry.name for entry in _registered())})


def load_connector(name: str) -> Connector:
    """The connector of that name; a ConfigError that lists the others if there is none."""
    names = connector_names()
    if name not in names:
        raise _unknown("connector", name, names)
    for entry in _registered():
        if entry.name == name:
            return _checked(entry.load(), name)
    return _checked(importlib.import_module(f"{GROUP}.{name}").connector, name)


def load_simulator(name: str) -> Simulate:
    """The entry point of a connector's simulator, or of a folder that is no connector yet; ConfigError without one."""
    connectors, simulators = connector_names(), set(_folders_with("simulator"))
    if name not in {*connectors, *simulators}:
        raise _unknown("simulator", name, sorted(simulators))
    if name not in connectors:
        main: Simulate = importlib.import_module(f"{GROUP}.{name}.simulator").main
        return main
    found = load_connector(name).simulator
    if found is None:
        raise ConfigError(f"connector '{name}' has no simulator")
    return found


def _folders_with(part: str) -> Iterator[str]:
    """The folders of this package that hold such a module or package; imports none of them."""
    for place in importlib.import_module(GROUP).__path__:
        yield from (name for name, inside in _folders(place) if part in inside)


@cache
def _folders(place: str) -> list[tuple[str, set[str]]]:
    """The packages in a folder and their modules, looked up once: every command asks some ten times, for 5 ms each."""
    return [
        (folder.name, {module.name for module in pkgutil.iter_modules([str(Path(place, folder.name))])})
        for folder in pkgutil.iter_modules([place])
        if folder.ispkg
    ]


def _unknown(kind: str, name: str, names: list[str]) -> ConfigError:
    near = difflib.get_close_matches(name, names, 1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"no {kind} '{name}'; there are: {', '.join(names)}.{hint}")


@cache
def _registered() -> tuple[EntryPoint, ...]:
    """The entry points of the group, read once: looking into every installed distribution takes 15 ms."""
    return tuple(entry_points(group=GROUP))


def _checked(found: object, name: str) -> Connector:
    if not isinstance(found, Connector):
        raise ConfigError(f"the package of connector '{name}' registers no Connector object")
    return found
