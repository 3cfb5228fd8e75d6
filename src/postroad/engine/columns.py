"""Columns that come and go: the lake follows the declaration, and what is not sent overwrites nothing (sequence 16).

A new column is noted as due a full refresh before the tables are widened: a crash between the two notes it again. A
column that the declaration or the remote system lacks stays in the lake and keeps its values; what a dataset lacks is
noted before the commit of the first rows that lack it.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from postroad.engine.alerts import columns_added
from postroad.engine.bench import Bench
from postroad.errors import ConfigError
from postroad.lake import Dataset
from postroad.lake.delta import DeltaLog, as_stored


def widen(bench: Bench, entity: str, run: str) -> None:
    """Add the columns that are declared and that the lake lacks; ConfigError where a column has another type now."""
    dataset = bench.dataset(entity)
    if _missing(dataset, dataset.changes) or _missing(dataset, dataset.table):
        _widen(bench, dataset, run)


def note_absent(bench: Bench, entity: str, absent: Collection[str], *, refresh: bool) -> None:
    """Note what the rows at hand lack, and tell a person when that has changed."""
    declared = {*bench.declared(entity).schema.names}
    now = sorted({*absent} & declared)
    before = bench.tracking.feeds.entity(bench.connection, entity)["absent"] or []
    if now == before:
        return
    bench.tracking.feeds.note_absent(bench.connection, entity, now, refresh=refresh)
    gone, back = sorted({*now} - {*before}), sorted({*before} - {*now})
    if gone:
        bench.reporter.say(f"{bench.connection}.{entity}: not sent any more, values stay as they are: {_list(gone)}")
    if back:
        bench.reporter.say(f"{bench.connection}.{entity}: sent again: {_list(back)}")


def _widen(bench: Bench, dataset: Dataset, run: str) -> None:
    entity = dataset.entity.name
    missing = [*_missing(dataset, dataset.changes), *_missing(dataset, dataset.table)]
    names = sorted({column.name for column in missing})
    bench.reporter.say(f"{dataset.name}: new columns: {_list(names)}")
    alert = columns_added(bench.connection, entity, names)
    bench.tracking.feeds.note_added(bench.connection, entity, names, alert)
    with bench.writing(dataset, run) as hand:
        for table in (dataset.changes, dataset.table):
            columns = _missing(dataset, table)
            if columns:
                table.add_columns(columns, check=hand.check)
    bench.forget_columns(entity)


def _missing(dataset: Dataset, table: DeltaLog) -> list[pa.Field]:
    stored = table.schema()
    if stored is None:
        return []
    for column in as_stored(dataset.entity.schema):
        known = stored.field(column.name).type if column.name in stored.names else column.type
        if known != column.type:
            raise ConfigError(
                f"{dataset.name}: column {column.name} is {known} in the lake and {column.type} in its declaration; "
                "declare the old type, or the new one under another name"
            )
    return [column.with_nullable(True) for column in dataset.entity.schema if column.name not in stored.names]


def _list(names: Collection[str]) -> str:
    return ", ".join(names)
