"""One key in the files of a dataset: only files, and of them only row groups, whose key range may hold it are read.

Nothing is written. Memory holds the keys of one row group at a time, and a batch of its rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from postroad.errors import StateError
from postroad.lake.changes import versions_after
from postroad.lake.delta import Member
from postroad.lake.disk import Disk
from postroad.lake.lake import Dataset
from postroad.lake.parquet import BATCH, conform
from postroad.lake.slices import Slice
from postroad.lake.streams import key_at, key_column
from postroad.records import OP, Entity, key_texts, key_values

KeyValues = tuple[Any, ...]  # one value for each field of a key, typed as its column


@dataclass(frozen=True)
class Found:
    """A row of a key: where it lies, in the terms of a claim check, and the row itself."""

    place: Slice
    row: pa.Table

    @property
    def version(self) -> int:
        """The row's `_version`."""
        return int(self.row.column("_version")[0].as_py())


def versions_of(dataset: Dataset, key: KeyValues) -> Iterator[Found]:
    """Every version of a key in `changes`, newest first; whoever wants few stops early."""
    for _, members in reversed(versions_after(dataset, None)):
        for member in members:
            if _may_hold(member, dataset.entity.key, key):
                yield from rows_in(
                    dataset.disk, f"{dataset.changes.folder}/{member.path}", dataset.changes_schema, dataset, key
                )


def current_row(dataset: Dataset, key: KeyValues) -> Found | None:
    """The row that the table has now; None if it has none."""
    for member in dataset.table.members():
        if _may_hold(member, dataset.entity.key, key):
            path = f"{dataset.table.folder}/{member.path}"
            for found in rows_in(dataset.disk, path, dataset.table_schema, dataset, key):
                return found
    return None


def rows_in(disk: Disk, path: str, schema: pa.Schema, dataset: Dataset, key: KeyValues) -> Iterator[Found]:
    """The rows of a key in one file; FileNotFoundError if it is gone."""
    names = dataset.entity.key
    size = disk.size(path)
    with disk.open(path) as source, pq.ParquetFile(source) as file:
        first = 0
        present = [name for name in schema.names if name in set(file.schema_arrow.names)]
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if _group_may_hold(group, names, key):
                keys = file.read_row_group(number, list(names), use_threads=False)
                for at in _places(keys, names, key):
                    yield Found(Slice(path, first + at, 1, size), conform(_row(file, number, at, present), schema))
            first += group.num_rows


def _row(file: pq.ParquetFile, group: int, at: int, columns: Sequence[str]) -> pa.Table:
    """One row of a row group, which is read as far as that."""
    for batch in file.iter_batches(batch_size=BATCH, row_groups=[group], columns=columns, use_threads=False):
        if at < batch.num_rows:
            return pa.Table.from_batches([batch.slice(at, 1)])
        at -= batch.num_rows
    raise StateError("a row group has fewer rows than its key column: put its file back from a backup")


def having(rows: pa.Table, names: Sequence[str], key: KeyValues) -> pa.Table:
    """The rows of a table that have this key."""
    return rows.filter(_mask(rows, names, key))


def _places(rows: pa.Table, names: Sequence[str], key: KeyValues) -> list[int]:
    found: list[int] = pc.indices_nonzero(_mask(rows, names, key)).to_pylist()
    return found


def _mask(rows: pa.Table, names: Sequence[str], key: KeyValues) -> Any:
    columns = [rows.column(name) for name in names]
    return reduce(
        pc.and_, (pc.equal(column, pa.scalar(value, column.type)) for column, value in zip(columns, key, strict=True))
    )


def _may_hold(member: Member, names: Sequence[str], key: KeyValues) -> bool:
    """A file is sorted by its whole key: its statistics are those of its first and of its last row."""
    low, high = ([bound.get(name) for name in names] for bound in (member.minimum, member.maximum))
    if None in low or None in high:
        return True
    try:
        return tuple(low) <= key <= tuple(high)
    except TypeError:  # a type whose statistics come back as another one
        return True


def _group_may_hold(group: Any, names: Sequence[str], key: KeyValues) -> bool:
    """Of a row group each column has a range of its own."""
    ranges = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema in names and column.is_stats_set and column.statistics.has_min_max:
            ranges[column.path_in_schema] = column.statistics
    try:
        return all(
            name not in ranges or ranges[name].min <= value <= ranges[name].max
            for name, value in zip(names, key, strict=True)
        )
    except TypeError:
        return True


@dataclass(frozen=True)
class Newest:
    """The newest version of a key: where it lies, and whether it is a delete."""

    place: Slice
    version: int
    op: str


def newest_of(dataset: Dataset, wanted: pa.Table) -> dict[str, Newest]:
    """The newest version of each of some keys, by its text; a key that `changes` never held is left out.

    Only keys and `_op` are read, from the newest file to the oldest, until all are found.
    """
    found: dict[str, Newest] = {}
    bounds = _bounds(wanted, dataset.entity.key)
    for version, members in reversed(versions_after(dataset, None)):
        for member in members:
            path = f"{dataset.changes.folder}/{member.path}"
            if bounds is not None and wanted.num_rows and _overlaps(member, dataset.entity.key, bounds):
                found |= {text: Newest(place, version, op) for text, place, op in _places_of(dataset, path, wanted)}
        texts = key_texts(wanted, dataset.entity.key)
        wanted = wanted.filter(pa.array([text not in found for text in texts], pa.bool_()))
    return found


def rows_of(dataset: Dataset, path: str, wanted: pa.Table) -> Iterator[tuple[str, int]]:
    """Of each of some keys that a file of `changes` holds: its text, and the row in the file."""
    for text, place, _ in _places_of(dataset, path, wanted):
        yield text, place.first


def overlapping(members: Sequence[Member], names: Sequence[str], wanted: pa.Table) -> list[Member]:
    """The members that may hold some of these keys."""
    bounds = _bounds(wanted, names)
    return [member for member in members if bounds is not None and _overlaps(member, names, bounds)]


def key_table(entity: Entity, texts: Sequence[str]) -> pa.Table:
    """Keys that were kept as texts, as a table of their typed columns."""
    fields = [entity.schema.field(name) for name in entity.key]
    keys = [key_values(json.loads(text), fields) for text in texts]
    columns = [pa.array([key[at] for key in keys], each.type) for at, each in enumerate(fields)]
    return pa.table(columns, names=list(entity.key))


def _places_of(dataset: Dataset, path: str, wanted: pa.Table) -> Iterator[tuple[str, Slice, str]]:
    key, size, first = list(dataset.entity.key), dataset.disk.size(path), 0
    with dataset.disk.open(path) as source, pq.ParquetFile(source) as file:
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number, [*key, OP.name], use_threads=False)
            there = pc.is_in(key_column(rows, key), key_column(wanted, key).combine_chunks())
            places = pc.indices_nonzero(there).to_pylist()
            taken = rows.take(pa.array(places, pa.int64()))
            for at, text, op in zip(places, key_texts(taken, key), taken.column(OP.name).to_pylist(), strict=True):
                yield text, Slice(path, first + at, 1, size), op
            first += rows.num_rows


_Bounds = tuple[KeyValues, KeyValues]


def _bounds(wanted: pa.Table, names: Sequence[str]) -> _Bounds | None:
    """The first and the last of some keys; None if there are none."""
    keys = [key_at(wanted, names, at) for at in range(wanted.num_rows)]
    return (min(keys), max(keys)) if keys else None


def _overlaps(member: Member, names: Sequence[str], bounds: _Bounds) -> bool:
    low, high = ([bound.get(name) for name in names] for bound in (member.minimum, member.maximum))
    try:
        return tuple(low) <= bounds[1] and bounds[0] <= tuple(high)
    except TypeError:
        return True
