"""The data entities that this connector knows: their fields, keys and files, read from `entities.txt`.

A package tells no types (fact sheet 3.1), so they are declared; a column of a file that is not declared is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import pyarrow as pa

from postroad.records import MONEY, Entity

Kind = Literal["s", "m", "e", "b", "d", "t", "n", "i", "r"]
COMPANY = "dataAreaId"
NO_YES = ("No", "Yes")
TYPES: Mapping[Kind, pa.DataType] = {
    "s": pa.string(),
    "m": pa.string(),
    "e": pa.string(),
    "b": pa.string(),
    "d": pa.date32(),
    "t": pa.timestamp("us", "UTC"),
    "n": MONEY,
    "i": pa.int64(),
    "r": pa.int64(),
}
FORBIDDEN = re.compile(r'[<>:"/\\|?*]')


@dataclass(frozen=True)
class Field:
    """A field of an entity; `members` are those of its enum, in the order of their numbers."""

    name: str
    kind: Kind
    members: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """Its name in the header of a file (fact sheet 3.2)."""
        return self.name.upper()


@dataclass(frozen=True)
class Declaration:
    """A data entity under its public name; `shared` ones belong to no legal entity."""

    name: str
    label: str
    shared: bool
    own_key: tuple[str, ...]
    fields: tuple[Field, ...] = field(repr=False)

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns of the key; the legal entity is the first of them where rows belong to one."""
        return self.own_key if self.shared else (COMPANY, *self.own_key)

    @cached_property
    def entity(self) -> Entity:
        """The entity as the engine knows it. The legal entity stands in no file: it is stamped (fact sheet 3.1)."""
        columns = [pa.field(each.name, TYPES[each.kind], nullable=each.name not in self.key) for each in self.fields]
        company = [] if self.shared else [pa.field(COMPANY, pa.string(), nullable=False)]
        return Entity(self.name, self.key, pa.schema([*company, *columns]))

    @property
    def file_stem(self) -> str:
        """Its file's name without the ending: the label without what Windows forbids (fact sheet 3.1)."""
        return FORBIDDEN.sub("", self.label)


@cache
def known() -> Mapping[str, Declaration]:
    """All entities by public name."""
    text = files(__package__).joinpath("entities.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    enums = {words[1]: tuple(words[2:]) for line in lines if (words := line.split())[0] == "enum"}
    return {each.name: each for each in _declared(lines, enums)}


def names() -> tuple[str, ...]:
    """The public names of all entities."""
    return tuple(known())


def _declared(lines: Iterable[str], enums: Mapping[str, tuple[str, ...]]) -> Iterator[Declaration]:
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("entity "):
            blocks.append([line])
        elif not line.startswith("enum "):
            blocks[-1].append(line)
    for head, *body in blocks:
        words, label = head.split(" | ")
        _, name, scope, key = words.split()
        fields = tuple(_field(token, enums) for token in " ".join(body).split(", "))
        yield Declaration(name, label, scope == "shared", tuple(key.split(",")), fields)


def _field(token: str, enums: Mapping[str, tuple[str, ...]]) -> Field:
    name, _, said = token.partition(" ")
    kind, _, enum = said.partition(":")
    members = NO_YES if kind == "b" else enums[enum] if enum else ()
    return Field(name, kind, members)  # type: ignore[arg-type]  # a test holds the file against the kinds
