"""Reading a target back: what `values_of` put into a table becomes Arrow again, typed as the dataset has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine, Row, Select, Table, inspect, not_, select, tuple_

from postroad.connectors.sql.tables import DELETED, as_stored, is_json, table_of
from postroad.errors import ConfigError
from postroad.records import VERSION, Entity
from postroad.sdk.jsontext import from_texts

ROWS = 10_000  # of a batch of keys
KEYS = 300  # of one question: old versions of SQLite take 999 parameters


def keys(engine: Engine, target: Entity, *, exact: bool) -> Iterator[pa.RecordBatch]:
    """The live keys of a target with their versions; nothing if there is no such table."""
    table = _there(engine, target, exact=exact)
    if table is None:
        return
    wanted = select(*(table.c[name] for name in (*target.key, VERSION.name))).where(not_(table.c[DELETED]))
    fields = [*(target.schema.field(name) for name in target.key), VERSION]
    with engine.connect().execution_options(stream_results=True, yield_per=ROWS) as db:
        for rows in db.execute(wanted).partitions():
            yield _batch(rows, fields)


def read(engine: Engine, target: Entity, wanted: pa.Table, *, exact: bool) -> pa.RecordBatch:
    """The live records of some keys, with the columns that the table has."""
    table = _there(engine, target, exact=exact)
    if table is None:
        return _batch([], [*target.schema, VERSION])
    fields = [*(field for field in target.schema if field.name in table.c), VERSION]
    chosen = select(*(table.c[field.name] for field in fields)).where(not_(table.c[DELETED]))
    found: list[Row[Any]] = []
    with engine.connect() as db:
        for start in range(0, wanted.num_rows, KEYS):
            found += db.execute(_of_keys(chosen, table, target.key, wanted.slice(start, KEYS), exact=exact)).all()
    return _batch(found, fields)


def _there(engine: Engine, target: Entity, *, exact: bool) -> Table | None:
    """The table with the columns that it really has; None if nothing was delivered yet."""
    looked = inspect(engine)
    if not looked.has_table(target.name):
        return None
    names = {each["name"] for each in looked.get_columns(target.name)}
    if not {VERSION.name, DELETED, *target.key} <= names:
        raise ConfigError(f"table {target.name} is none of ours, or has another key: name another target")
    here = pa.schema([field for field in target.schema if field.name in names])
    return table_of(Entity(target.name, target.key, here), exact=exact)


def _of_keys(chosen: Select[Any], table: Table, key: Sequence[str], wanted: pa.Table, *, exact: bool) -> Select[Any]:
    columns = [wanted.column(name).combine_chunks() for name in key]
    values = [(column if exact else as_stored(column)).to_pylist() for column in columns]
    if len(key) == 1:
        return chosen.where(table.c[key[0]].in_(values[0]))
    return chosen.where(tuple_(*(table.c[name] for name in key)).in_(list(zip(*values, strict=True))))


def _batch(rows: Sequence[Row[Any]], fields: Sequence[pa.Field]) -> pa.RecordBatch:
    """Rows as Arrow. A column that somebody else wrote into, so that it cannot be read as ours, is one of texts."""
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [_array(list(values), field) for values, field in zip(columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, [field.name for field in fields])


def _array(values: list[Any], field: pa.Field) -> pa.Array:
    try:
        if is_json(field.type):
            return from_texts(values, field.type)
        texts = any(isinstance(value, str) for value in values)
        return (pa.array(values, pa.string()) if texts else pa.array(values, field.type)).cast(field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
