"""The accepted changes that landed since a walk began: of each key the last one, in key order.

Spilled to temporary files when there are many, which vanish with the block or, after a kill, with the system's
temporary folder; nothing refers to them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from postroad.engine.bench import Bench, parsed_schema
from postroad.engine.stage import reject
from postroad.lake.lake import Dataset
from postroad.lake.parquet import BATCH, ROW_GROUP
from postroad.lake.streams import Stream, latest, latest_of_each
from postroad.records import Feed


class Overlay:
    """Parses the changes landed since a walk began; `rows` gives them as one stream."""

    def __init__(self, bench: Bench, dataset: Dataset, walk: Mapping[str, Any], run: str) -> None:
        self._bench = bench
        self._dataset = dataset
        self._walk = walk
        self._run = run
        self._folder = tempfile.TemporaryDirectory(prefix="postroad-")
        self._spilled: list[Path] = []
        self._tables: list[pa.Table] = []
        self.last_number: int | None = None
        self.absent: set[str] = set()

    def __enter__(self) -> Self:
        feed = self._bench.changes_feed(self._dataset.entity.name)
        if feed is not None:
            for row in self._landed(feed):
                self._add(feed, row)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._folder.cleanup()

    def rows(self) -> Stream:
        """The last change of each key, as table rows with `_op`."""
        streams: list[Stream] = [_read(path) for path in self._spilled]
        rest = self._sorted()
        if rest.num_rows:
            streams.append(iter([rest]))
        return latest(streams, self._dataset.entity.key)

    def _landed(self, feed: Feed) -> Sequence[Mapping[str, Any]]:
        since = self._walk["begun_landing"]
        rows = self._bench.tracking.feeds.payloads(self._bench.connection, feed.name, since_landing=since)
        return [row for row in rows if self._dataset.entity.name in row["entities"]]

    def _add(self, feed: Feed, row: Mapping[str, Any]) -> None:
        entity = self._dataset.entity
        landed = self._bench.parse(feed, row, entity)
        if row["number"] > (self._dataset.position(feed.name) or 0):
            # Withheld until now: nobody else will normalise this payload.
            reject(self._bench, row, entity, self._run, landed.refusals, accepted=landed.rows)
        self.last_number = row["number"]
        self.absent |= {*landed.absent}
        self._tables.append(landed.rows)
        if sum(table.num_rows for table in self._tables) >= ROW_GROUP:
            self._spill()

    def _sorted(self) -> pa.Table:
        schema = parsed_schema(self._dataset.entity)
        rows = latest_of_each(pa.concat_tables([schema.empty_table(), *self._tables]), self._dataset.entity.key)
        return self._dataset.stamped(rows, 0, self._run)

    def _spill(self) -> None:
        path = Path(self._folder.name) / f"{len(self._spilled)}.parquet"
        pq.write_table(self._sorted(), path, compression="zstd")
        self._spilled.append(path)
        self._tables = []


def _read(path: Path) -> Stream:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            yield pa.Table.from_batches([batch])
