"""Columns and entities that a project adds in postroad.yaml, and all declarations of a connection with them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from postroad.connectors.xledger.declaration import DAY, Declaration, Kind, field_of
from postroad.connectors.xledger.documents import TENANT
from postroad.connectors.xledger.entities import EIGHT
from postroad.records import column_name

PATH = r"^[A-Za-z]\w*(\.[A-Za-z]\w*)*$"
ROOT = r"^[A-Za-z]\w*$"
ENTITY = r"^[A-Za-z][A-Za-z0-9]*$"
LONGEST = 128
EVERY = r"^[1-9]\d{0,5}\s*[mhd]$"
SECONDS = {"m": 60.0, "h": 3600.0, "d": DAY}
KEY = "dbId"
KEY_KINDS = ("int", "id64")
WINDOW_KINDS = ("date", "local_time")

Mistake = tuple[tuple[str, ...], str]


def _shaped(pattern: str, sentence: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.match(pattern, value, re.ASCII) or len(value) > LONGEST:
            raise PydanticCustomError("name", "must be {sentence}", {"sentence": sentence})
        return value

    return check


def _every(value: object) -> object:
    if not isinstance(value, str) or not re.match(EVERY, value, re.ASCII):
        raise PydanticCustomError("every", "must be a time such as 30m, 12h or 7d")
    return int(value[:-1]) * SECONDS[value[-1]]


FieldPath = Annotated[
    str,
    AfterValidator(_shaped(PATH, "the path of a field, such as comment or approvedBy.dbId")),
    WithJsonSchema({"type": "string", "pattern": PATH}),
]
RootName = Annotated[
    str,
    AfterValidator(_shaped(ROOT, "the name of a query, such as employeeGroups")),
    WithJsonSchema({"type": "string", "pattern": ROOT}),
]
EntityName = Annotated[
    str,
    AfterValidator(_shaped(ENTITY, "a name of letters and digits, such as employeeGroups")),
    WithJsonSchema({"type": "string", "pattern": ENTITY}),
]
Every = Annotated[float, BeforeValidator(_every), WithJsonSchema({"type": "string", "pattern": EVERY})]
Columns = Annotated[
    dict[FieldPath, Kind],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": PATH, "maxLength": LONGEST},
            "additionalProperties": {"type": "string", "enum": [*get_args(Kind)]},
        }
    ),
]


class EntitySettings(BaseModel):
    """An entity that this connector does not know: what to ask Xledger for, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    columns: Columns = Field(description="The fields to read, each with its type; dbId is one of them.")
    root: RootName | None = Field(default=None, description="The query that lists them, if not called as the entity.")
    deltas: RootName | None = Field(default=None, description="The query that tells their changes, if there is one.")
    every: Every = Field(
        default="1d", validate_default=True, description="How often all are read anew where no query tells changes."
    )
    changed_at: FieldPath | None = Field(default=None, description="The column that says when a row changed last.")
    window: FieldPath | None = Field(
        default=None, description="The column, a day or time, from which on rows can be read anew."
    )
    object_status: bool = Field(default=True, description="Whether the query takes objectStatus.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        told(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[Mistake]:
        if self.columns.get(KEY) not in KEY_KINDS:
            yield ("columns",), f"must have {KEY}, the key, as int or id64"
        yield from ((("columns", *where), what) for where, what in clashes(self.columns))
        if self.changed_at is not None and self.columns.get(self.changed_at) != "local_time":
            yield ("changed_at",), "must be one of the columns, a local_time"
        if self.window is not None and self.columns.get(self.window) not in WINDOW_KINDS:
            yield ("window",), "must be one of the columns, a date or a local_time"
        if self.window is not None and "." in self.window:
            yield (
                ("window",),
                "must be a field of the record itself: Xledger is not known to filter by one of a reference",
            )
        if self.deltas is not None and "every" in self.model_fields_set:
            yield ("every",), "has no effect beside deltas, which tell every change; remove one of the two"

    def declaration(self, name: str) -> Declaration:
        """The same as a declaration, its key first."""
        kind = self.columns[KEY]
        names = [KEY, *(each for each in self.columns if each != KEY)]
        return Declaration(
            name=name,
            root=self.root or name,
            deltas=self.deltas,
            fields=tuple(field_of(each, self.columns[each]) for each in names),
            key_kind="id64" if kind == "id64" else "int",
            id_type="Int64String" if kind == "id64" else "Int",
            has_object_status=self.object_status,
            changed_at=column_name(self.changed_at.split(".")) if self.changed_at else None,
            window=self.window,
            every=self.every,
        )


def declared(columns: Mapping[str, Columns], entities: Mapping[str, EntitySettings]) -> tuple[Declaration, ...]:
    """All entities of a connection: ours with the columns that are added to them, then those of the project."""
    ours = (
        replace(each, fields=(*each.fields, *(field_of(*added) for added in columns.get(each.name, {}).items())))
        for each in EIGHT
    )
    return (*ours, *(settings.declaration(name) for name, settings in entities.items()))


def told(mistakes: Iterable[Mistake]) -> None:
    """Raise mistakes at the keys where they stand."""
    details = [
        InitErrorDetails(type=PydanticCustomError("addition", "{what}", {"what": what}), loc=where, input=None)
        for where, what in mistakes
    ]
    if details:
        raise ValidationError.from_exception_data("additions", details)


def wrong_entities(entities: Iterable[str]) -> Iterator[Mistake]:
    """Names that are taken; folders of some systems know no case."""
    taken = {each.name.lower(): each.name for each in EIGHT} | {TENANT: TENANT}
    for name in entities:
        if name.lower() in taken:
            known = taken[name.lower()]
            yield (name, "[key]"), f"'{known}' is there already; add columns to it under columns: {known}:"
        taken[name.lower()] = name


def wrong_columns(columns: Mapping[str, Columns]) -> Iterator[Mistake]:
    """Columns that cannot be added to our entities."""
    ours = {each.name: each for each in EIGHT}
    for name, added in columns.items():
        if name not in ours:
            near = difflib.get_close_matches(name, ours, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield (name, "[key]"), f"is none of {', '.join(ours)}; an entity of your own has its columns itself{hint}"
            continue
        before = [field.name for field in ours[name].fields]
        yield from (((name, *where), what) for where, what in clashes(added, before))


def clashes(names: Iterable[str], before: Iterable[str] = ()) -> Iterator[Mistake]:
    """Fields that cannot be read beside the others: twice the same column, or a field and a part of it."""
    columns = {column_name(name.split(".")).lower(): name for name in before}
    parents = {parent: name for name in columns.values() for parent in _parents(name)}
    for name in names:
        column = column_name(name.split(".")).lower()
        holder = next((each for each in _parents(name) if each in columns.values()), None)
        if column in columns:
            yield (name, "[key]"), f"would be the same column as {columns[column]}"
        elif name in parents:
            yield (name, "[key]"), f"has fields of its own, such as {parents[name]}; name those that you want"
        elif holder is not None:
            yield (name, "[key]"), f"{holder} is a column, so it has no fields"
        columns[column] = name
        parents |= dict.fromkeys(_parents(name), name)


def _parents(name: str) -> list[str]:
    steps = name.split(".")
    return [".".join(steps[:end]) for end in range(1, len(steps))]
