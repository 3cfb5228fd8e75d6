"""Columns that come and go: the lake follows the declaration, and what is not sent overwrites nothing (sequence 16).

A new column is noted as due a full refresh before the tables are widened: a crash between the two notes it again. A
column that the declaration or the remote system lacks stays in the lake and keeps its values; what a dataset lacks is
noted before the commit of the first rows that lack it. What stands in lists and structures may get further members in
the same way; it cannot lose one, for a value is written whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from postroad.engine.alerts import columns_added
from postroad.engine.bench import Bench
from postroad.errors import ConfigError
from postroad.lake import Dataset
from postroad.lake.delta import DeltaLog, as_stored
from postroad.lake.nesting import Difference, unlike


def widen(bench: Bench, entity: str, run: str) -> None:
    """Add the columns that are declared and that the lake lacks; ConfigError where a column has another type now."""
    dataset = bench.dataset(entity)
    wanted = _wanted(bench, dataset)
    if _missing(dataset, dataset.changes, wanted) or _missing(dataset, dataset.table, wanted):
        _widen(bench, dataset, wanted, run)


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


def _wanted(bench: Bench, dataset: Dataset) -> pa.Schema:
    """The columns with the types that are declared, and those that only the lake still has."""
    declared = bench.declared(dataset.entity.name).schema
    known = {*declared.names}
    return pa.schema([declared.field(each.name) if each.name in known else each for each in dataset.entity.schema])


def _widen(bench: Bench, dataset: Dataset, wanted: pa.Schema, run: str) -> None:
    entity = dataset.entity.name
    tables = (dataset.changes, dataset.table)
    names = sorted({name for table in tables for name in _missing(dataset, table, wanted)})
    bench.reporter.say(f"{dataset.name}: new columns: {_list(names)}")
    alert = columns_added(bench.connection, entity, names)
    bench.tracking.feeds.note_added(bench.connection, entity, names, alert)
    with bench.writing(dataset, run) as hand:
        for table in tables:
            columns = {name.partition(".")[0] for name in _missing(dataset, table, wanted)}
            if columns:
                fields = [each.with_nullable(True) for each in wanted if each.name in columns]
                table.add_columns(fields, check=hand.check)
    bench.forget_columns(entity)


def _missing(dataset: Dataset, table: DeltaLog, wanted: pa.Schema) -> Sequence[str]:
    """The columns, or `column.member`, that a table lacks."""
    stored = table.schema()
    if stored is None:
        return []
    missing = []
    for column in as_stored(wanted):
        if column.name not in stored.names:
            missing.append(column.name)
            continue
        for difference in unlike(column.name, stored.field(column.name).type, column.type):
            if difference.one is not None:
                raise ConfigError(f"{dataset.name}: {_told(difference)}")
            missing.append(difference.path)
    return missing


def _told(difference: Difference) -> str:
    place, stored, declared = difference.path, difference.one, difference.other
    if declared is None:
        return f"{place} is {stored} in the lake, and its declaration lacks it; declare it again"
    return (
        f"column {place} is {stored} in the lake and {declared} in its declaration; "
        "declare the old type, or the new one under another name"
    )


def _list(names: Collection[str]) -> str:
    return ", ".join(names)
