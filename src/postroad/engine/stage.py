"""Stage: the pages of a walk as sorted Parquet parts, beside the fetching and ahead of the close.

A part holds whole pages and is listed in tracking once it is durable. A kill costs the part being written: its pages
are parsed again from landing by the next run of the walk, or by its close.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from postroad.engine.bench import Bench, new_token
from postroad.lake.lake import Hand
from postroad.lake.names import FULL_SYNC, STAGED, twin
from postroad.lake.parquet import ROWS_A_FILE, SortedFile, is_group
from postroad.lake.streams import key_at, latest_of_each
from postroad.records import Entity, Feed, Refusal, key_texts
from postroad.telemetry import Point, Stage
from postroad.tracking.files import Part
from postroad.tracking.rejections import Origin
from postroad.tracking.runs import Claim

AHEAD = 2  # pages that may wait while one is parsed: bounds the memory of a run


class Stager:
    """Turns the pages of one walk into sorted parts."""

    def __init__(self, bench: Bench, claim: Claim, walk: Mapping[str, Any]) -> None:
        self._bench = bench
        self._claim = claim
        self._walk = walk
        self._feed: Feed = bench.feed(walk["feed"])
        self._entity: Entity = bench.entity(walk["entity"])
        self._dataset = bench.dataset(walk["entity"])
        self._hand = Hand(claim.run, new_token(), lambda: None)
        self._parts = len(bench.tracking.files.parts(walk["id"]))
        # In a first load the table will be these very rows: they are written for it at once, not read back later.
        self._twins = self._dataset.first_load(bench.feed_names(walk["entity"])) and not self._dataset.table.exists()
        self._file: SortedFile | None = None
        self._twin: SortedFile | None = None
        self._in_file: list[int] = []
        self._absent: set[str] = set()
        self._tables: list[pa.Table] = []
        self._numbers: list[int] = []
        self._added: set[int] = set()

    def catch_up(self) -> None:
        """Stage the landed pages that no part holds yet."""
        staged = {number for part in self._bench.tracking.files.parts(self._walk["id"]) for number in _numbers(part)}
        pages = self._walk["pages_of"] or self._walk["id"]
        for row in self._bench.tracking.feeds.payloads(self._walk["connection"], self._feed.name, walk=pages):
            if row["number"] not in staged:
                self.add(row, self._bench.lake.landing.get(row["path"], row["size"], row["digest"]))

    def add(self, row: Mapping[str, Any], body: bytes) -> None:
        """Parse one page and put its rows into the part being written.

        A page may come twice: one that landed while `catch_up` looked is then handed over by the fetching too.
        """
        if row["number"] in self._added:
            return
        self._added.add(row["number"])
        self._bench.reporter.stage(Stage.STAGE, self._dataset.name)
        page = self._bench.parse_body(self._feed, row, body, self._entity)
        reject(self._bench, row, self._entity, self._claim.run, page.refusals, walk=self._walk["id"])
        count = self._bench.count(self._entity.name)
        count.read += page.rows.num_rows + len(page.refusals)
        count.rejected += len(page.refusals)
        self._bench.reporter.progress(self._dataset.name, page.rows.num_rows, len(body))
        self._absent |= {*page.absent}
        self._tables.append(page.rows)
        self._numbers.append(row["number"])
        if is_group(self._tables):
            self._flush()

    def finish(self) -> None:
        """Close the part being written."""
        self._flush()
        self._close_file()

    def discard(self) -> None:
        """Drop the part being written; its pages are in landing."""
        for file in filter(None, (self._file, self._twin)):
            file.discard()
        self._file = self._twin = None

    def _flush(self) -> None:
        if not self._tables:
            return
        key = self._entity.key
        rows = latest_of_each(pa.concat_tables(self._tables), key)
        if rows.num_rows:
            stamped = self._dataset.stamped(rows, self._walk["version"], self._claim.run)
            self._file_for(rows).write(stamped)
            if self._twin is not None:
                self._twin.write(stamped)
            self._in_file += self._numbers
        self._tables, self._numbers = [], []
        if self._file is not None and self._file.rows >= ROWS_A_FILE:
            self._close_file()

    def _file_for(self, rows: pa.Table) -> SortedFile:
        """The part being written, or a new one if these rows would not keep it sorted."""
        if (
            self._file is not None
            and self._file.last is not None
            and key_at(rows, self._entity.key, 0) <= self._file.last
        ):
            self._close_file()
        if self._file is None:
            name = self._dataset.name_changes(FULL_SYNC, self._walk["version"], self._hand, self._parts)
            path = f"{self._dataset.changes.folder}/{STAGED}/{name}"
            self._file = self._new_file(path, self._dataset.changes_schema)
            self._twin = self._new_file(twin(path), self._dataset.table_schema) if self._twins else None
        return self._file

    def _new_file(self, path: str, schema: pa.Schema) -> SortedFile:
        return SortedFile(self._dataset.disk, path, schema, self._entity.key, Point.STAGED_FILE)

    def _close_file(self) -> None:
        file, self._file = self._file, None
        ready, self._twin = self._twin, None
        if file is None:
            return
        if ready is not None:
            ready.close()
        size = file.close()
        part = Part(file.name, file.rows, size, file.first, file.last, min(self._in_file), max(self._in_file))
        self._bench.tracking.files.add(self._dataset.name, self._walk["id"], part, self._fence_and_note)
        self._parts += 1
        self._in_file = []

    def _fence_and_note(self, db: Any) -> None:
        self._bench.tracking.runs.fence(db, self._claim)
        if self._absent:
            self._bench.tracking.walks.note_absent(db, self._walk["id"], self._absent)


class BesideFetching:
    """Runs a Stager in a thread of its own, so that parsing and writing overlap with fetching."""

    def __init__(self, stager: Stager) -> None:
        self._stager = stager
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="stage")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        self._waiting.append(self._pool.submit(self._stager.catch_up))
        return self

    def add(self, row: Mapping[str, Any], body: bytes) -> None:
        """Hand over a landed page; raises what went wrong with an earlier one."""
        while len(self._waiting) >= AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._stager.add, row, body))

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                while self._waiting:
                    self._waiting.popleft().result()
                self._pool.submit(self._stager.finish).result()
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._stager.discard()


def reject(
    bench: Bench,
    row: Mapping[str, Any],
    entity: Entity,
    run: str,
    refusals: Sequence[Refusal],
    *,
    walk: int | None = None,
    accepted: pa.Table | None = None,
) -> None:
    """Keep the refused rows of a payload: raw text in the lake, key and cause in tracking; both can be repeated."""
    path = _write_raw(bench, row, entity, refusals) if refusals else None
    origin = Origin(row["connection"], entity.name, row["landing"], walk, run)
    rejections = bench.tracking.rejections
    # Key texts cost a loop over the rows: only where an open rejection could close.
    open_ones = accepted is not None and bool(rejections.open(row["connection"], entity.name))
    texts = key_texts(accepted, entity.key) if accepted is not None and open_ones else []
    rejections.replace(origin, refusals, path, texts)


def _write_raw(bench: Bench, row: Mapping[str, Any], entity: Entity, refusals: Sequence[Refusal]) -> str:
    path = f"rejected/{row['connection']}/{entity.name}/{row['landing']:010d}-{new_token()}.jsonl"
    lines = [json.dumps({"row": each.row, "key": each.key, "raw": each.raw}, ensure_ascii=False) for each in refusals]
    bench.lake.disk.write_new(path, ("\n".join(lines) + "\n").encode(errors="surrogateescape"), Point.REJECTED_FILE)
    return path


def _numbers(part: Part) -> range:
    return range(part.first, part.last + 1)
