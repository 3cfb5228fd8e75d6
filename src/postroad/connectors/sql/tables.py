"""Targets as SQL tables: their columns, the one statement that writes them, and values as each database keeps them.

One row per key, deleted ones too: `_deleted` is true and all but the key and the version is null. So one statement with
one condition decides between any two versions of a key, whoever sends them and in whatever order; the database locks
that row while it does. With deletes in a table of their own two workers could pass each other between the two tables,
and a row would rise again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Time,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from postroad.errors import ConfigError
from postroad.records import CHANGED_AT, DELETE, OP, VERSION, Entity
from postroad.sdk.decimals import plain
from postroad.sdk.jsontext import Form, iso_texts, texts

DELETED = "_deleted"
LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer ones off without an error

T = pa.types
NO_TEXT = pa.scalar(None, pa.string())


def table_of(target: Entity, *, exact: bool) -> Table:
    """The target as a table. `exact` says that the database has types for decimals and times, as SQLite has not."""
    names = [*target.schema.names, CHANGED_AT.name, VERSION.name, DELETED]
    _require_names(target.name, names)
    columns = [
        Column(field.name, _type(field, exact=exact), primary_key=field.name in target.key, autoincrement=False)
        for field in [*target.schema, CHANGED_AT]
    ]
    own = [Column(VERSION.name, BigInteger, nullable=False), Column(DELETED, Boolean, nullable=False)]
    return Table(target.name, MetaData(), *columns, *own)


def upsert(table: Table, *, exact: bool) -> Any:
    """Write a version of a key unless the table holds that one or a newer one."""
    insert: Any = (postgresql.insert if exact else sqlite.insert)(table)
    key = [column.name for column in table.primary_key]
    rest = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
    return insert.on_conflict_do_update(
        index_elements=key, set_=rest, where=table.c[VERSION.name] < insert.excluded[VERSION.name]
    )


def values_of(target: Entity, records: pa.RecordBatch, *, exact: bool) -> pa.RecordBatch:
    """The records as the database takes them, column by column; of a delete the key and the version."""
    deleted = pc.equal(records.column(OP.name), DELETE)
    found = {}
    for field in [*target.schema, CHANGED_AT]:
        column = records.column(field.name)
        if field.name not in target.key:
            column = pc.if_else(deleted, pa.scalar(None, column.type), column)
        if is_json(field.type):
            column = pc.if_else(column.is_valid(), texts(column, Form(decimals_as_texts=not exact)), NO_TEXT)
        found[field.name] = column if exact else as_stored(column)
    found[VERSION.name] = records.column(VERSION.name)
    found[DELETED] = deleted
    return pa.RecordBatch.from_pydict(found)


def is_json(kind: pa.DataType) -> bool:
    """Whether values have no type in SQL, and are kept as JSON: lists and structures."""
    return bool(T.is_struct(kind) or T.is_list(kind) or T.is_large_list(kind) or T.is_fixed_size_list(kind))


def as_stored(column: pa.Array) -> pa.Array:
    """What SQLite would keep as a float, or not at all, as a text that sorts as the values do and loses nothing."""
    kind = column.type
    if T.is_timestamp(kind):
        return iso_texts(column)
    if T.is_decimal(kind):
        return plain(column)
    return column.cast(pa.string()) if T.is_date(kind) or T.is_time(kind) else column


def _type(field: pa.Field, *, exact: bool) -> TypeEngine[Any]:
    for matches, made in TYPES if exact else (*PLAIN, *TYPES):
        if matches(field.type):
            return made(field.type)
    raise ConfigError(f"column {field.name} is {field.type}, for which a SQL table has no type")


Types = tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], TypeEngine[Any]]], ...]
TYPES: Types = (
    (lambda kind: T.is_string(kind) or T.is_large_string(kind), lambda _: Text()),
    (T.is_boolean, lambda _: Boolean()),
    (lambda kind: T.is_integer(kind) and not T.is_uint64(kind), lambda _: BigInteger()),
    (T.is_floating, lambda _: Double()),
    (lambda kind: T.is_binary(kind) or T.is_large_binary(kind), lambda _: LargeBinary()),
    (T.is_decimal, lambda kind: Numeric(kind.precision, kind.scale)),
    (T.is_date, lambda _: Date()),
    (T.is_time, lambda _: Time()),
    (T.is_timestamp, lambda kind: DateTime(timezone=kind.tz is not None)),
    (is_json, lambda _: postgresql.JSONB(none_as_null=True)),
)
TEXTS = (T.is_decimal, T.is_date, T.is_time, T.is_timestamp, is_json)
PLAIN: Types = tuple((matches, lambda _: Text()) for matches in TEXTS)


def _require_names(table: str, columns: Sequence[str]) -> None:
    for name in (table, *columns):
        if len(name.encode()) > LONGEST_NAME:
            raise ConfigError(f"'{name}' is longer than the {LONGEST_NAME} bytes that a name in SQL may have")
    same = sorted({name for name in columns if [each.lower() for each in columns].count(name.lower()) > 1})
    if same:
        raise ConfigError(f"columns {', '.join(same)} of {table} are one column in SQL, which does not tell case apart")
