"""Which payload a version came from: the commit names the last payload of each feed that it applied, and parsing the
payloads between tells the row's own.

A poll's commit holds some payloads, a walk's all of its pages; pages that are sorted are found by halving. A walk can
be long, so no more is parsed than `MOST_BYTES` for one question; what is left is told as "one of payloads 12-14".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from postroad.engine.bench import Bench
from postroad.errors import PostroadError
from postroad.lake import Dataset
from postroad.lake.commits import Commits
from postroad.lake.finding import Found, KeyValues, having, rows_in
from postroad.lake.lake import FEED
from postroad.lake.streams import key_at
from postroad.records import DELETE, Feed, key_values
from postroad.store.rows import Row
from postroad.tracking.files import Part
from postroad.tracking.runs import moment

MOST_BYTES = 100_000_000  # of raw payloads that one question parses
ADOPTED = "adopt:"


@dataclass(frozen=True)
class Origin:
    """The payload that a row came from, or the payloads of which it is one: numbers `first` to `last` of a feed.

    `lacking`: the row is a delete, because these pages of a walk lack its key. `path` is the one payload's file.
    """

    feed: str
    first: int
    last: int
    received_at: datetime
    path: str | None = None
    lacking: bool = False
    adopted: bool = False

    @property
    def sentence(self) -> str:
        """For people."""
        several = f"payloads {self.first}-{self.last}" if self.first != self.last else f"payload {self.first}"
        at = f"received {self.received_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.adopted:
            return f"taken over from another program's files, {at}"
        if self.lacking:
            return f"{several} of {self.feed}, a full refresh, lack it, the last one {at}"
        if self.path is None and self.first != self.last:
            return f"one of {several} of {self.feed}, the last one {at}"
        return f"{several} of {self.feed}, {at}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "received_at": self.received_at.isoformat(), "sentence": self.sentence}


class Finder:
    """Looks for one key in landed payloads."""

    def __init__(self, bench: Bench, dataset: Dataset, key: KeyValues) -> None:
        self._bench = bench
        self._dataset = dataset
        self._key = key
        self._commits = Commits(dataset.disk, dataset.changes)
        self._left = MOST_BYTES

    def origin(self, found: Found) -> Origin | None:
        """Where a version of `changes` came from; None if its commit does not say."""
        commit = self._commits.of(found.version)
        if commit is None:
            return None
        positions = {
            name.removeprefix(FEED): number
            for name, number in self._commits.positions(commit).items()
            if name.startswith(FEED)
        }
        walks = [feed for feed in self._bench.walk_feeds(self._dataset.entity.name) if feed.name in positions]
        changes = self._bench.changes_feed(self._dataset.entity.name)
        told: Origin | None = None
        if changes is not None and changes.name in positions:
            before = self._commits.before(commit, FEED + changes.name)
            if before is not None or not walks:  # a first load begins behind the changes that it names
                told = self._changed(changes, before or 0, positions[changes.name])
        if told is not None and (told.path is not None or told.adopted or not walks):
            return told
        deleted = found.row.column("_op")[0].as_py() == DELETE
        return next(filter(None, (self._walked(feed, positions[feed.name], deleted=deleted) for feed in walks)), told)

    def landed(self) -> Origin | None:
        """The payload of the changes that holds the key and is not published yet."""
        feed = self._bench.changes_feed(self._dataset.entity.name)
        if feed is None:
            return None
        position = self._dataset.position(feed.name) or 0
        rows = self._bench.tracking.feeds.payloads(self._bench.connection, feed.name, after=position)
        holding = self._holding(feed, list(reversed(self._mine(rows))))
        return self._told(feed, [holding]) if holding is not None else None

    def staged(self, walk: Row) -> bool:
        """Whether the pages of a walk that is not closed hold the key, as far as it costs little to tell."""
        parts = self._bench.tracking.files.parts(walk["id"])
        if any(self._in_part(part) for part in parts):
            return True
        done = {number for part in parts for number in range(part.first, part.last + 1)}
        pages = self._bench.tracking.feeds.pages(walk["pages_of"] or walk["id"])
        rest = [row for row in pages if row["number"] not in done]
        feed = next((each for each in self._bench.feeds if each.name == walk["feed"]), None)
        return feed is not None and self._holding(feed, rest) is not None

    def _changed(self, feed: Feed, before: int, last: int) -> Origin | None:
        rows = self._bench.tracking.feeds.numbered(self._bench.connection, feed.name, before + 1, last)
        adopted = next((row for row in rows if row["identifier"].startswith(ADOPTED)), None)
        mine = self._mine(rows)
        if not mine and adopted is not None:
            return self._told(feed, [adopted], adopted=True)
        return self._searched(feed, list(reversed(mine)))

    def _walked(self, feed: Feed, number: int, *, deleted: bool) -> Origin | None:
        (last,) = self._bench.tracking.feeds.numbered(self._bench.connection, feed.name, number, number) or (None,)
        if last is None:
            return None
        pages = self._bench.tracking.feeds.pages(last["walk"]) if last["walk"] is not None else [last]
        if deleted:
            return self._told(feed, pages, lacking=True)
        return self._halved(feed, pages) or self._searched(feed, list(reversed(pages)))

    def _halved(self, feed: Feed, pages: Sequence[Row]) -> Origin | None:
        """The page of a sorted walk; None if it is not sorted, or not in these."""
        low, high = 0, len(pages) - 1
        while low <= high:
            middle = (low + high) // 2
            rows = self._parsed(feed, pages[middle])
            if rows is None or not rows.num_rows:
                return None
            if having(rows, self._dataset.entity.key, self._key).num_rows:
                return self._told(feed, [pages[middle]], exact=True)
            ends = [key_at(rows, self._dataset.entity.key, at) for at in (0, rows.num_rows - 1)]
            if self._key < min(ends):
                high = middle - 1
            elif self._key > max(ends):
                low = middle + 1
            else:
                return None
        return None

    def _searched(self, feed: Feed, rows: Sequence[Row]) -> Origin | None:
        """The first of these payloads that holds the key, or all of those that it may be."""
        maybe = []
        for row in rows:
            parsed = self._parsed(feed, row)
            if parsed is None:
                maybe.append(row)
            elif having(parsed, self._dataset.entity.key, self._key).num_rows:
                maybe.append(row)
                return self._told(feed, sorted(maybe, key=_number), exact=len(maybe) == 1)
        return self._told(feed, sorted(maybe, key=_number)) if maybe else None

    def _holding(self, feed: Feed, rows: Sequence[Row]) -> Row | None:
        for row in rows:
            parsed = self._parsed(feed, row)
            if parsed is not None and having(parsed, self._dataset.entity.key, self._key).num_rows:
                return row
        return None

    def _parsed(self, feed: Feed, row: Row) -> pa.Table | None:
        """The rows of a payload; None if that costs too much, or if it cannot be read any more."""
        if row["size"] > self._left:
            return None
        self._left -= row["size"]
        try:
            return self._bench.parse(feed, row, self._dataset.entity).rows
        except PostroadError:
            return None

    def _in_part(self, part: Part) -> bool:
        fields = [self._dataset.entity.schema.field(name) for name in self._dataset.entity.key]
        if part.min_key is None or part.max_key is None:
            return False
        low, high = key_values(part.min_key, fields), key_values(part.max_key, fields)
        if not low <= self._key <= high:
            return False
        try:
            found = rows_in(self._dataset.disk, part.path, self._dataset.changes_schema, self._dataset, self._key)
            return next(iter(found), None) is not None
        except FileNotFoundError:
            return False

    def _mine(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if self._dataset.entity.name in row["entities"]]

    def _told(
        self, feed: Feed, rows: Sequence[Row], *, exact: bool = False, lacking: bool = False, adopted: bool = False
    ) -> Origin:
        first, last = rows[0], rows[-1]
        path = last["path"] if exact or (len(rows) == 1 and not lacking) else None
        name = f"{self._bench.connection}.{feed.name}"
        return Origin(name, first["number"], last["number"], moment(last["received_at"]), path, lacking, adopted)


def _number(row: Row) -> int:
    return int(row["number"])
