"""What a YAML file says and where it says it: nodes with spots, merged without losing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from postroad.errors import Mistake


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a project file; `line` and `column` count from 1, as editors do."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a file: a dict or list of nodes, or a scalar.

    `spot` is where the value begins, `key` where the key that names it begins, `dollars` where each `$` of a text
    stands in the file, `literal` that the file holds the text itself rather than a `$VAR`.
    """

    value: Any
    spot: Spot
    key: Spot
    dollars: tuple[Spot, ...] = ()
    literal: bool = True

    def plain(self) -> Any:
        """The value without spots."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        return [child.plain() for child in self.value] if isinstance(self.value, list) else self.value

    def shown(self) -> str:
        """A name for a sentence: what the file says, never what a variable held."""
        return str(self.value) if self.literal else "$…"

    def child(self, step: object) -> Node | None:
        """The node under that key or index, if there is one."""
        if isinstance(self.value, dict):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            child: Node = self.value[step]
            return child
        return None

    def at(self, path: Sequence[object]) -> Node:
        """The node at the path, or the last one on the way to it that exists."""
        node = self
        for step in path:
            found = node.child(step)
            if found is None:
                break
            node = found
        return node


def merge(base: Node, overlay: Node) -> Node:
    """The base with the overlay's values: mappings are merged key by key, everything else is replaced whole."""
    if not (isinstance(base.value, dict) and isinstance(overlay.value, dict)):
        return overlay
    both = dict(base.value)
    for key, node in overlay.value.items():
        both[key] = merge(both[key], node) if key in both else node
    return replace(base, value=both)


@dataclass(slots=True)
class Notes:
    """Collects what is wrong and what is dubious while a project is read, so that all of it is told at once.

    The dicts are ordered sets: an alias or a merged value is read twice but told once.
    """

    mistakes: dict[Mistake, None] = field(default_factory=dict)
    warnings: dict[Mistake, None] = field(default_factory=dict)
    mistaken: set[Spot] = field(default_factory=set)

    def mistake(self, spot: Spot, code: str, sentence: str, hint: str = "") -> None:
        """Note something that must be mended before the project can be used."""
        self.mistakes[Mistake(spot.file, spot.line, spot.column, code, sentence, hint)] = None
        self.mistaken.add(spot)

    def warning(self, spot: Spot, code: str, sentence: str, hint: str = "") -> None:
        """Note something that works but is probably not meant."""
        self.warnings[Mistake(spot.file, spot.line, spot.column, code, sentence, hint)] = None

    def about(self, spots: Sequence[Spot]) -> bool:
        """Whether a mistake is noted at one of the spots."""
        return not self.mistaken.isdisjoint(spots)
