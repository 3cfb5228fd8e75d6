"""The data entities and enums that the simulated environment has, read from `entities.txt` (fact sheet 3.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import pyarrow as pa

Kind = Literal["s", "m", "e", "b", "d", "t", "n", "i", "r"]

COMPANY = "dataAreaId"
ARROW: Mapping[str, pa.DataType] = {
    **dict.fromkeys("smeb", pa.string()),
    **dict.fromkeys("dt", pa.timestamp("s")),
    "n": pa.decimal128(32, 6),
    "i": pa.int32(),
    "r": pa.int64(),
}
"""How the values of each kind are held: enums by the names of their members, times in UTC."""

_FIELD = re.compile(r"(\w+) ([smebdtnir])(?::(\w+))?(?:=([A-Z-]*)(\d+))?(\*?)")


@dataclass(frozen=True)
class Field:
    """A field. `pattern` is prefix and width of a text that follows from the row's number.

    `joined` says that it belongs to another table than the entity's root table.
    """

    name: str
    kind: Kind
    words: str = ""
    pattern: tuple[str, int] | None = None
    joined: bool = False

    @property
    def column(self) -> str:
        """Its name in files."""
        return self.name.upper()

    @property
    def arrow(self) -> pa.DataType:
        """The type of its values."""
        return ARROW[self.kind]

    @property
    def enum(self) -> str | None:
        """The name of its enum, if it has one."""
        return "NoYes" if self.kind == "b" else self.words if self.kind == "e" else None


@dataclass(frozen=True)
class Entity:
    """A data entity: `collection` is its entity set, `name` its type, `table` its name inside the product.

    `own` ones are data management's: their rows are its projects and executions, and no project exports them.
    """

    collection: str
    name: str
    table: str
    label: str
    scope: Literal["company", "shared", "own"]
    key: tuple[str, ...]
    fields: tuple[Field, ...]

    @property
    def shared(self) -> bool:
        """Whether its rows belong to no company."""
        return self.scope != "company"

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by name, the company among them where rows belong to one."""
        return {field.name: field for field in self.properties}

    @cached_property
    def properties(self) -> tuple[Field, ...]:
        """The fields as OData shows them: the company stands before those that files have."""
        return self.fields if self.shared else (Field(COMPANY, "s"), *self.fields)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The names of the key's properties in OData."""
        return self.key if self.shared else (COMPANY, *self.key)

    @property
    def sheet(self) -> str:
        """The name of its Excel sheet (fact sheet 3.3)."""
        return self.label.replace(" ", "_")

    @property
    def file_stem(self) -> str:
        """Its file name in a package: what Windows forbids in file names is dropped (fact sheet 3.1)."""
        return re.sub(r'[<>:"/\\|?*]', "", self.label)


@dataclass(frozen=True)
class Catalogue:
    """The entities that hold data, those of data management, and the enums: members in the order of their values."""

    entities: Mapping[str, Entity]
    own: Mapping[str, Entity]
    enums: Mapping[str, tuple[str, ...]]

    def find(self, name: str) -> Entity:
        """The entity with this set, type, table or label, in any case; a LookupError if there is none."""
        wanted = name.lower()
        for entity in self.entities.values():
            if wanted in {text.lower() for text in (entity.collection, entity.name, entity.table, entity.label)}:
                return entity
        raise LookupError(f"no entity '{name}'; there are: {', '.join(self.entities)}")


def label_of(member: str) -> str:
    """The label of an enum's member: its name in words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", member)
    return words[:1] + words[1:].lower() if words.isascii() and not words.isupper() else words


@cache
def catalogue() -> Catalogue:
    """What `entities.txt` says."""
    text = files(__package__).joinpath("entities.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    enums = {words[1]: tuple(words[2:]) for line in lines if (words := line.split())[0] == "enum"}
    every = list(_entities(lines))
    return Catalogue(
        {entity.collection: entity for entity in every if entity.scope != "own"},
        {entity.collection: entity for entity in every if entity.scope == "own"},
        enums,
    )


def _entities(lines: Iterable[str]) -> Iterable[Entity]:
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("entity "):
            blocks.append([line])
        elif not line.startswith("enum "):
            blocks[-1].append(line)
    for head, *body in blocks:
        words, label = head.split(" | ")
        _, collection, name, table, scope, key = words.split()
        fields = tuple(_field(token) for token in " ".join(body).split(", "))
        yield Entity(collection, name, table, label, scope, tuple(key.split(",")), fields)  # type: ignore[arg-type]


def _field(token: str) -> Field:
    found = _FIELD.fullmatch(token.rstrip(","))
    if found is None:
        raise ValueError(f"entities.txt: {token!r} is no field")
    name, kind, words, prefix, width, joined = found.groups()
    pattern = None if width is None else (prefix, int(width))
    return Field(name, kind, words or "", pattern, bool(joined))  # type: ignore[arg-type]  # the pattern lists the kinds
