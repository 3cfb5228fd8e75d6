"""Lays the example projects of several connectors together into one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from postroad.errors import ConfigError
from postroad.project.loading import FLOWS, ROOT
from postroad.sdk import registry


def example_files(connectors: Sequence[str]) -> dict[str, str]:
    """The files of the examples of these connectors as those of one project, by name.

    The first one's project, lake and database hold for all, connections and flows stand side by side, other files one
    below the other. ConfigError if a connector has no example, or two have a connection or flow of the same name.
    """
    files: dict[str, str] = {}
    for connector in connectors:
        for name, text in _example(connector).items():
            files[name] = _joined(name, files[name], text) if name in files else text
    return files


def _example(name: str) -> Mapping[str, str]:
    example = registry.load_connector(name).example
    if not example:
        having = [each for each in registry.connector_names() if registry.load_connector(each).example]
        raise ConfigError(f"connector '{name}' has no example project; these have one: {', '.join(having)}")
    return example


def _joined(name: str, first: str, second: str) -> str:
    if name == ROOT:
        return _connected(first, second)
    if name.startswith(f"{FLOWS}/"):
        raise ConfigError(f"two of the examples have a file {name}: write one of them, and the other by hand")
    return f"{first}\n{second}"


def _connected(first: str, second: str) -> str:
    """The first text with the connections of the second as well; comments stay where they are."""
    yaml: Any = YAML()
    yaml.width, yaml.preserve_quotes = 1_000, True
    project, other = yaml.load(first), yaml.load(second)["connections"]
    if twice := project["connections"].keys() & other.keys():
        raise ConfigError(f"two of the examples have a connection '{min(twice)}': write one, and the other by hand")
    project["connections"].update(other)
    text = io.StringIO()
    yaml.dump(project, text)
    return text.getvalue()
