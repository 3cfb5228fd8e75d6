"""The entities that are read, as declarations; documents and parsing know no entity by name.

Fields and types: fact sheet 2.1 and 2.2 (the earlier app's field list, GraphQL types of the official sample).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from postroad.errors import ConfigError
from postroad.records import MONEY, Entity, column_name

Kind = Literal["id64", "int", "text", "money", "decimal", "date", "local_time", "bool"]

JSON_TYPES: dict[Kind, pa.DataType] = {
    "id64": pa.string(),
    "int": pa.int64(),
    "text": pa.string(),
    "money": pa.string(),
    "decimal": pa.string(),
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
    def column(self) -> str:
        """The name of its column."""
        return column_name(self.path)


@dataclass(frozen=True)
class Declaration:
    """One kind of record: its root fields, the type of its ids in a filter, and the fields that are read.

    `key_kind` is also the kind of `dbId` on a delta's node. `changed_at` names the column of a walked row's time.
    """

    name: str
    root: str
    deltas: str
    fields: tuple[Field, ...]
    key_kind: Literal["id64", "int"]
    id_type: str
    has_object_status: bool
    changed_at: str | None = None

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
                nullable=field.path != ("dbId",),
                metadata={"source": ".".join(field.path)},
            )
            for field in self.fields
        )

    @cached_property
    def entity(self) -> Entity:
        """The entity as the engine knows it."""
        return Entity(self.name, ("dbId",), self.schema)


def parse_fields(lines: str) -> tuple[Field, ...]:
    """Fields written one a line, `employee.dbId int`: declarations that read like the fact sheet's tables."""
    return tuple(_fields(lines))


def _fields(lines: str) -> Iterator[Field]:
    for line in filter(None, map(str.strip, lines.splitlines())):
        names, _, kind = line.partition(" ")
        path = tuple(names.split("."))
        for known in JSON_TYPES:
            if known == kind.strip():
                yield Field(path, known)
                break
        else:
            raise ConfigError(f"{names}: there is no kind of field {kind.strip()!r}")


def find(declarations: Sequence[Declaration], name: str) -> Declaration:
    """The declaration of that name; ConfigError that lists the others if there is none."""
    for declaration in declarations:
        if declaration.name == name:
            return declaration
    raise ConfigError(f"no entity '{name}'; there are: {', '.join(each.name for each in declarations)}")


TIMESHEETS = Declaration(
    name="timesheets",
    root="timesheets",
    deltas="timesheet_deltas",
    key_kind="id64",
    id_type="Int64String",
    has_object_status=True,
    changed_at="modifiedAt",
    fields=parse_fields(
        """
        dbId id64
        createdAt local_time
        modifiedAt local_time
        assignmentDate date
        workingHours decimal
        isHeaderApproved bool
        headerApprovedAt local_time
        hourlyRevenueCurrency money
        owner.dbId int
        owner.description text
        owner.ownerCode int
        employee.dbId int
        employee.description text
        employee.code text
        activity.code text
        activity.description text
        timeType.code text
        timeType.description text
        project.dbId int
        project.description text
        project.code text
        timesheetStatus.name text
        """
    ),
)

ENTITIES = (TIMESHEETS,)
