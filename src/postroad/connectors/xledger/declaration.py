"""What a declaration of an entity is; documents and parsing know no entity by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import pyarrow as pa

from postroad.errors import ConfigError
from postroad.records import MONEY, Entity, column_name

Kind = Literal["id64", "int", "text", "money", "decimal", "number", "date", "local_time", "bool"]
KEY = ("dbId",)
DAY = 86_400.0
EXTRAS = ("mutatedAt", "syncVersion")

JSON_TYPES: dict[Kind, pa.DataType] = {
    "id64": pa.string(),
    "int": pa.int64(),
    "text": pa.string(),
    "money": pa.string(),
    "decimal": pa.string(),
    "number": pa.decimal256(76, 38),  # Arrow reads a JSON number and a text alike into it.
    "date": pa.string(),
    "local_time": pa.string(),
    "bool": pa.bool_(),
}
COLUMN_TYPES: dict[Kind, pa.DataType] = {
    "id64": pa.int64(),
    "int": pa.int64(),
    "text": pa.string(),
    "money": MONEY,
    "decimal": MONEY,
    "number": MONEY,
    "date": pa.date32(),
    "local_time": pa.timestamp("us", "UTC"),
    "bool": pa.bool_(),
}


@dataclass(frozen=True)
class Field:
    """One leaf of a node: its path and how its value is written on the wire."""

    path: tuple[str, ...]
    kind: Kind

    @property
    def name(self) -> str:
        """The path as people write it: `employee.dbId`."""
        return ".".join(self.path)

    @property
    def column(self) -> str:
        """The name of its column."""
        return column_name(self.path)


@dataclass(frozen=True)
class Declaration:
    """One kind of record: its root fields, the type of its ids in a filter, and the fields that are read.

    `key_kind` is also the kind of `dbId` on a delta's node. Without `deltas` it is walked again `every` so many
    seconds. `changed_at` names the column of a walked row's time, `window` the field by whose value a part can be
    walked alone. The last three say what its queries take, and what is told of a change beside its record.
    """

    name: str
    root: str
    deltas: str | None
    fields: tuple[Field, ...]
    key_kind: Literal["id64", "int"]
    id_type: str
    has_object_status: bool
    changed_at: str | None = None
    window: str | None = None
    every: float = DAY
    has_owner_set: bool = True
    deltas_have_owner_set: bool = True
    extras: tuple[str, ...] = EXTRAS

    @cached_property
    def schema(self) -> pa.Schema:
        """The business columns; the original path is in each field's metadata."""
        doubles = [name for name, times in Counter(field.column for field in self.fields).items() if times > 1]
        if doubles:
            raise ConfigError(f"{self.name}: two fields would be the column {', '.join(doubles)}; rename one of them")
        return pa.schema(
            pa.field(
                field.column,
                COLUMN_TYPES[field.kind],
                nullable=field.path != KEY,
                metadata={"source": field.name},
            )
            for field in self.fields
        )

    @cached_property
    def entity(self) -> Entity:
        """The entity as the engine knows it."""
        return Entity(self.name, KEY, self.schema)

    def only(self, names: Collection[str]) -> Declaration:
        """The same with no other fields than these and the key."""
        return replace(self, fields=tuple(each for each in self.fields if each.name in names or each.path == KEY))

    @property
    def queries(self) -> tuple[str, ...]:
        """The root fields that are asked."""
        return (self.root,) if self.deltas is None else (self.root, self.deltas)

    @property
    def window_field(self) -> Field | None:
        """The field of its window."""
        return next((field for field in self.fields if field.name == self.window), None)


def parse_fields(lines: str) -> tuple[Field, ...]:
    """Fields as the fact sheet's tables group them: `dbId int, code text`, or `employee: dbId int, code text`."""
    return tuple(_fields(lines))


def _fields(lines: str) -> Iterator[Field]:
    for line in filter(None, map(str.strip, lines.splitlines())):
        parent, colon, rest = line.rpartition(":")
        for each in rest.split(","):
            name, _, kind = each.strip().partition(" ")
            yield field_of(f"{parent}.{name}" if colon else name, kind.strip())


def field_of(name: str, kind: str) -> Field:
    """The field of that dotted name; ConfigError if there is no such kind."""
    for known in get_args(Kind):
        if known == kind:
            return Field(tuple(name.split(".")), known)
    raise ConfigError(f"{name}: there is no kind of field {kind!r}; there are: {', '.join(get_args(Kind))}")


def find(declarations: Sequence[Declaration], name: str) -> Declaration:
    """The declaration of that name; ConfigError that lists the others if there is none."""
    for declaration in declarations:
        if declaration.name == name:
            return declaration
    raise ConfigError(f"no entity '{name}'; there are: {', '.join(each.name for each in declarations)}")
