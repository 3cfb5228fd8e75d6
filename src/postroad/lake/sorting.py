"""Rows sorted by key in bounded memory: sorted runs in temporary files, merged a few at a time.

The files vanish with the block or, after a kill, with the system's temporary folder; nothing refers to them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from postroad.lake.parquet import ROW_GROUP
from postroad.lake.streams import Key, Stream, latest, latest_of_each

FILES_AT_ONCE = 8
BATCH = 5_000  # rows of each of them


class Sorter:
    """Takes rows in any order and gives them sorted by key, of each key the row that was added last."""

    def __init__(self, schema: pa.Schema, key: Key) -> None:
        self._schema = schema
        self._key = key
        self._folder = tempfile.TemporaryDirectory(prefix="postroad-")
        self._runs: list[Path] = []
        self._written = 0
        self._tables: list[pa.Table] = []
        self._waiting = 0

    def close(self) -> None:
        """Delete the files."""
        self._folder.cleanup()

    def add(self, rows: pa.Table) -> None:
        """Add rows of the schema."""
        self._tables.append(rows)
        self._waiting += rows.num_rows
        if self._waiting >= ROW_GROUP:
            self._runs.append(self._write(self._sorted()))

    def rows(self) -> Stream:
        """All rows, sorted; called once, after the last one was added."""
        while len(self._runs) >= FILES_AT_ONCE:
            # Neighbours are merged, so that a later run still stands behind an earlier one.
            groups = [self._runs[at : at + FILES_AT_ONCE] for at in range(0, len(self._runs), FILES_AT_ONCE)]
            self._runs = [self._merged(group) for group in groups]
        return latest([*map(_read, self._runs), self._sorted()], self._key)

    def _sorted(self) -> Stream:
        rows = latest_of_each(pa.concat_tables([self._schema.empty_table(), *self._tables]), self._key)
        self._tables, self._waiting = [], 0
        return iter([rows] if rows.num_rows else [])

    def _merged(self, runs: list[Path]) -> Path:
        path = self._write(latest([*map(_read, runs)], self._key))
        for run in runs:
            run.unlink()
        return path

    def _write(self, stream: Stream) -> Path:
        path = Path(self._folder.name) / f"{self._written}.arrows"
        self._written += 1
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, self._schema, options=options) as writer:
            for rows in stream:
                writer.write_table(rows, max_chunksize=BATCH)
        pa.default_memory_pool().release_unused()
        return path


def _read(path: Path) -> Stream:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as batches:
        for batch in batches:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
