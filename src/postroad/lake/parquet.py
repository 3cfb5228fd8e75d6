"""Parquet files of sorted rows: written in row groups of 50,000, of wide rows fewer, and read back in batches.

Whoever writes one passes a durable point when the file is fsynced; a crash before that leaves litter under a name
that nobody will use again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from postroad.lake.delta import Member
from postroad.lake.disk import Disk
from postroad.lake.streams import Key, Stream, key_at
from postroad.telemetry import Point

ROW_GROUP = 50_000
GROUP_BYTES = 24_000_000  # a row group is written once its rows are so large in memory, however few they are
ROWS_A_FILE = 250_000
BATCH = 12_500  # rows of each side that a comparison holds at once


class SortedFile:
    """One Parquet file being written; rows come in ascending key order."""

    def __init__(
        self, disk: Disk, name: str, schema: pa.Schema, key: Key, point: Point, group: int | None = None
    ) -> None:
        self._disk = disk
        self.name = name
        self._schema = schema
        self._key = key
        self._point = point
        self._group = group or ROW_GROUP
        self._file = disk.create(name)
        self._writer = pq.ParquetWriter(self._file, schema, **_options(schema, key))
        self._waiting: list[pa.Table] = []
        self.rows = 0
        self.first: tuple[Any, ...] | None = None
        self.last: tuple[Any, ...] | None = None

    def write(self, rows: pa.Table) -> None:
        """Append rows; they go to the file in whole row groups."""
        if not rows.num_rows:
            return
        self.first = self.first or key_at(rows, self._key, 0)
        self.last = key_at(rows, self._key, rows.num_rows - 1)
        self.rows += rows.num_rows
        self._waiting.append(rows)
        if is_group(self._waiting, self._group):
            self._flush()

    def close(self) -> int:
        """Finish the file durably; its size in bytes."""
        self._flush()
        self._writer.close()
        return self._disk.seal(self.name, self._file, self._point)

    def discard(self) -> None:
        """Drop a file that is not wanted after all."""
        self._writer.close()
        self._disk.discard(self.name, self._file)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(
                pa.concat_tables(self._waiting).select(self._schema.names), row_group_size=self._group
            )
        self._waiting = []
        pa.default_memory_pool().release_unused()


def is_group(tables: Sequence[pa.Table], most: int | None = None) -> bool:
    """Whether rows that wait are enough for a row group; more of them would only cost memory."""
    rows = sum(table.num_rows for table in tables)
    size = sum(int(table.nbytes) for table in tables)  # of a slice its own bytes, not those of all that it is cut from
    return rows >= (most or ROW_GROUP) or size >= GROUP_BYTES


def _options(schema: pa.Schema, key: Key) -> dict[str, Any]:
    """How columns are written: half the time of pyarrow's defaults, and a quarter fewer bytes.

    Keys and instants hardly repeat, so a dictionary of them is as large as they are. The lowest and highest text of a
    row group say nothing in files that are sorted by another column.
    """
    texts = {field.name for field in schema if pa.types.is_string(field.type)}
    instants = {field.name for field in schema if pa.types.is_timestamp(field.type)}
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [name for name in schema.names if name not in instants and name not in key],
        "write_statistics": [name for name in schema.names if name not in texts or name in key],
    }


def write_files(
    disk: Disk,
    folder: str,
    rows: Stream,
    schema: pa.Schema,
    key: Key,
    name: Callable[[int], str],
    point: Point,
    most: int,
) -> list[Member]:
    """Write a stream to files of at most about `most` rows; `name` gives the name of each part."""
    members: list[Member] = []
    file: SortedFile | None = None
    for table in rows:
        if file is not None and file.rows + table.num_rows > most:
            members.append(finish(file, folder, key))
            file = None
        file = file or SortedFile(disk, f"{folder}/{name(len(members))}", schema, key, point)
        file.write(table)
    if file is not None:
        members.append(finish(file, folder, key))
    return members


def finish(file: SortedFile, folder: str, key: Key) -> Member:
    """Close a file and describe it as a member of a Delta table."""
    size = file.close()
    return Member(
        file.name.removeprefix(f"{folder}/"), file.rows, size, _stats(key, file.first), _stats(key, file.last)
    )


def read_file(disk: Disk, path: str, schema: pa.Schema) -> Stream:
    """The rows of one file as tables of that schema; a column that the file lacks is null."""
    with disk.open(path) as source, pq.ParquetFile(source) as file:
        present = set(file.schema_arrow.names)
        wanted = [name for name in schema.names if name in present]
        for batch in file.iter_batches(batch_size=BATCH, columns=wanted, use_threads=False):
            if batch.num_rows:
                yield conform(pa.Table.from_batches([batch]), schema)


def read_files(disk: Disk, paths: Sequence[str], schema: pa.Schema) -> Stream:
    """The rows of several files, one after the other."""
    for path in paths:
        yield from read_file(disk, path, schema)


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows under a schema: columns in its order, missing ones null."""
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _stats(key: Key, values: tuple[Any, ...] | None) -> dict[str, Any]:
    return dict(zip(key, values or (), strict=False))
