"""The accepted changes that landed since a walk began: of each key the last one, in key order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from postroad.engine.bench import Bench
from postroad.engine.stage import reject
from postroad.lake.lake import Dataset
from postroad.lake.sorting import Sorter
from postroad.lake.streams import Stream
from postroad.records import Feed, key_texts
from postroad.tracking.rejections import Origin


class Overlay:
    """Parses the changes landed since a walk began; `rows` gives them as one stream."""

    def __init__(self, bench: Bench, dataset: Dataset, walk: Mapping[str, Any], run: str) -> None:
        self._bench = bench
        self._dataset = dataset
        self._walk = walk
        self._run = run
        self._sorter = Sorter(dataset.changes_schema, dataset.entity.key)
        self._waiting = {each["key"] for each in bench.tracking.rejections.open(bench.connection, dataset.entity.name)}
        self.last_number: int | None = None
        self.absent: set[str] = set()

    def __enter__(self) -> Self:
        feed = self._bench.changes_feed(self._dataset.entity.name)
        if feed is not None:
            for row in self._landed(feed):
                self._add(feed, row)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._sorter.close()

    def rows(self) -> Stream:
        """The last change of each key, as table rows with `_op`."""
        return self._sorter.rows()

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
        elif answered := self._waiting.intersection(key_texts(landed.rows, entity.key) if self._waiting else ()):
            # Accepted long ago; but a page that landed before it may have been read, and refused, only after that.
            origin = Origin(row["connection"], entity.name, row["landing"], None, self._run)
            self._bench.tracking.rejections.answer(origin, answered)
        self.last_number = row["number"]
        self.absent |= {*landed.absent}
        self._sorter.add(self._dataset.stamped(landed.rows, 0, self._run))
