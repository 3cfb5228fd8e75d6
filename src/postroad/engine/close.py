"""Close: a walk that was fetched whole becomes the truth of its scope (design section 2, "Snapshots").

The truth is, per key, the last accepted change landed since the walk began, else the last page's row. A first load
commits its staged parts as they are. Every other close, a replay included, is compared with the table and commits the
difference. Either is one Delta commit: a kill before it leaves staged files, which the next close uses or writes
again; a kill after it leaves the walk open, and the next close finds no difference and only writes the books.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.engine.bench import Bench
from postroad.engine.columns import note_absent
from postroad.engine.guard import Guard
from postroad.engine.normalise import materialise_under, publish_under, withheld
from postroad.engine.overlay import Overlay
from postroad.engine.scope import Rule, scope_of
from postroad.engine.superseded import drop_superseded
from postroad.lake import changes
from postroad.lake.delta import Member
from postroad.lake.lake import Dataset, Hand
from postroad.lake.names import FULL_SYNC, STAGED, twin
from postroad.lake.parquet import ROWS_A_FILE, read_file, write_files
from postroad.lake.sorting import Sorter
from postroad.lake.streams import Stream, applied, difference, key_column, latest, windows
from postroad.records import ALL, DELETE, OP, UPSERT, key_texts, key_values
from postroad.telemetry import Point, Stage
from postroad.tracking.files import Part
from postroad.tracking.rejections import Origin

AT_ONCE = 4  # parts that share keys and are open beside each other, a row group of each
CARRIED = 1000  # the carried part is numbered behind all others


@dataclass
class Close:
    """One close of a walk under its dataset's lease."""

    bench: Bench
    dataset: Dataset
    walk: Mapping[str, Any]
    parts: Sequence[Part]
    hand: Hand
    kept: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scope = scope_of(self.walk)
        later = [scope_of(each) for each in self.bench.tracking.walks.closed_after(self.walk)]
        others = [each for each in later if each.name != self.scope.name and not each.sweeps]
        self.rule = Rule(self.scope, others, self.dataset.entity.key)
        self._unknown = 0

    def run(self) -> bool:
        """Close the walk; False if a guard parked it."""
        self.bench.reporter.stage(Stage.CLOSE, self.dataset.name)
        name = self.dataset.entity.name
        if self.dataset.first_load(self.bench.feed_names(name)):
            if self.scope.sweeps:  # the lake was put back since it began
                self.bench.tracking.walks.discard(self.walk["id"], "nothing is loaded that could be swept")
                return False
            self._load()
        elif not self._compare():
            return False
        self._note_absent(self.walk["absent"] or ())
        drop_superseded(self.bench, self.dataset)
        publish_under(self.bench, self.dataset, self.hand)
        return True

    # A first load

    def _load(self) -> None:
        """Commit the parts as they are, under the version of the walk's beginning."""
        parts = list(self.parts)
        if not _disjoint(parts):
            parts = self._resolved()
            for part in self.parts:
                self.dataset.disk.remove(twin(part.path))
        members = self._move(parts)
        changes.commit(self.dataset, members, self.walk["version"], self.hand, self._positions(first=True))
        self._finish(members=True)

    def _resolved(self) -> list[Part]:
        """The parts written anew with every repeated key resolved; the last page's row wins."""
        rows = self._pages()
        return self._write_parts(rows, len(self.parts))

    # Every other close

    def _compare(self) -> bool:
        """Commit what differs between the truth and the table; False if a guard parked the close."""
        if withheld(self.bench, self.dataset):
            materialise_under(self.bench, self.dataset, self.hand)
        else:
            publish_under(self.bench, self.dataset, self.hand)
        guard = Guard(self.bench, self.dataset, self.walk, self.scope, sum(part.rows for part in self.parts))
        version = self.bench.tracking.leases.version(self.dataset.changes.expected or 0)
        folder = f"{self.dataset.changes.folder}/{STAGED}"
        with Overlay(self.bench, self.dataset, self.walk, self.hand.run) as overlay:
            differences = self._stamp(guard.emitted(self._differences(overlay)), version)
            members = changes.write_changes(self.dataset, folder, differences, version, self.hand)
            last_change = overlay.last_number
        if reason := guard.objection():
            return self._park(reason, members, guard)
        if self._unknown:
            reason = f"{self._unknown:,} rows are there that no change told of"
            self.bench.tracking.feeds.owe(self.bench.connection, self.dataset.entity.name, reason)
        self._publish(members, version, guard, last_change)
        return True

    def _differences(self, overlay: Overlay) -> Iterator[tuple[pa.Table, pa.Table]]:
        entity = self.dataset.entity
        truth = applied(self._pages_as_rows(), overlay.rows(), entity.key)
        compared = self.rule.compared(windows(truth, self.dataset.current(), entity.key))
        absent = sorted({*(self.walk["absent"] or ())} | overlay.absent)
        for upserts, deletes in difference(compared, entity.key, entity.schema.names, absent):
            self._unknown += upserts.num_rows if self.scope.sweeps else 0
            yield (upserts.slice(0, 0) if self.scope.sweeps else upserts), self.rule.deletable(deletes)

    def missing(self) -> pa.Table:
        """The keys inside the scope that neither its pages nor the changes since have; in memory, as keys only."""
        publish_under(self.bench, self.dataset, self.hand)
        key = list(self.dataset.entity.key)
        with Overlay(self.bench, self.dataset, self.walk, self.hand.run) as overlay:
            gone = [deletes.select(key) for _, deletes in self._differences(overlay)]
        return pa.concat_tables([self.dataset.table_schema.empty_table().select(key), *gone])

    def _stamp(self, pairs: Iterator[tuple[pa.Table, pa.Table]], version: int) -> Stream:
        for upserts, deletes in pairs:
            rows = pa.concat_tables([_with_op(upserts, UPSERT), _tombstones(deletes, self.dataset)])
            if rows.num_rows:
                rows = rows.sort_by([(name, "ascending") for name in self.dataset.entity.key])
                yield self.dataset.stamped(rows, version, self.hand.run)

    def _publish(self, members: Sequence[Member], version: int, guard: Guard, last_change: int | None) -> None:
        if self.scope == ALL:
            self._move([*self.parts, *self._carried(guard)])
        else:
            self.kept = list(self.parts)  # of a part there is no complete file: staged, dropped once it is closed
        folder = self.dataset.changes.folder
        for member in members:
            self.dataset.disk.move(f"{folder}/{STAGED}/{member.path}", f"{folder}/{member.path}")
        self.dataset.disk.watcher(Point.CLOSE_MOVED)
        self._list_withheld(guard)
        changes.commit(self.dataset, members, version, self.hand, self._positions(last_change=last_change))
        self._finish(members=False)

    def _park(self, reason: str, members: Sequence[Member], guard: Guard) -> bool:
        for member in members:
            self.dataset.disk.remove(f"{self.dataset.changes.folder}/{STAGED}/{member.path}")
        self.hand.check()
        self.bench.tracking.walks.park(self.walk["id"], reason)
        self.bench.count(self.dataset.entity.name).parked += max(1, guard.deletes)
        self.bench.reporter.say(f"{self.dataset.name}: parked: {reason}")
        return False

    def _carried(self, guard: Guard) -> list[Part]:
        """The rows that stay although the pages lack them, as one more part of the complete file (sequence 10)."""
        if not guard.carried:
            return []
        rows = (_with_op(each, UPSERT).select(self.dataset.changes_schema.names) for each in guard.carried)
        return self._write_parts(rows, len(self.parts) + CARRIED)

    def _list_withheld(self, guard: Guard) -> None:
        if guard.withheld:
            walk = self.walk
            origin = Origin(walk["connection"], walk["entity"], walk["last_landing"], walk["id"], self.hand.run)
            self.bench.tracking.rejections.park_deletes(origin, guard.withheld)
            self.bench.count(walk["entity"]).parked += len(guard.withheld)

    # Both

    def _pages(self) -> Stream:
        """The staged rows as one stream; of a repeated key the one that landed last."""
        groups = [self.parts] if _disjoint(self.parts) else [[part] for part in self.parts]
        if len(groups) > AT_ONCE:
            return self._sorted_pages()
        streams = [self._read(sorted(group, key=lambda part: part.min_key or ())) for group in groups]
        return latest(streams, self.dataset.entity.key)

    def _sorted_pages(self) -> Stream:
        """The same of pages that came in another order than that of their keys; their parts are not held at once."""
        with closing(Sorter(self.dataset.changes_schema, self.dataset.entity.key)) as sorter:
            for part in self.parts:
                for rows in self._read([part]):
                    sorter.add(rows)
            yield from sorter.rows()

    def _pages_as_rows(self) -> Stream:
        return (rows.drop_columns([OP.name]) for rows in self._pages())

    def _read(self, parts: Sequence[Part]) -> Stream:
        for part in parts:
            yield from read_file(self.dataset.disk, self._where(part), self.dataset.changes_schema)

    def _where(self, part: Part) -> str:
        """A part's path: staged, or at its final name if a close was killed after moving it."""
        return part.path if self.dataset.disk.exists(part.path) else self._final(part)

    def _final(self, part: Part) -> str:
        return f"{self.dataset.changes.folder}/{_base(part.path)}"

    def _move(self, parts: Sequence[Part]) -> list[Member]:
        """Give the parts their final names; they may be moved already."""
        members = []
        for part in parts:
            self.dataset.disk.move(part.path, self._final(part))
            members.append(_as_member(part, self.dataset))
        self.kept = [replace(part, path=self._final(part)) for part in parts]
        self.dataset.disk.watcher(Point.CLOSE_MOVED)
        return members

    def _write_parts(self, rows: Stream, first_part: int) -> list[Part]:
        def name(part: int) -> str:
            return self.dataset.name_changes(FULL_SYNC, self.walk["version"], self.hand, first_part + part)

        folder = f"{self.dataset.changes.folder}/{STAGED}"
        schema, key = self.dataset.changes_schema, self.dataset.entity.key
        members = write_files(self.dataset.disk, folder, rows, schema, key, name, Point.STAGED_FILE, ROWS_A_FILE)
        return [
            Part(
                f"{folder}/{each.path}",
                each.rows,
                each.size,
                tuple(each.minimum.values()),
                tuple(each.maximum.values()),
            )
            for each in members
        ]

    def _positions(self, *, first: bool = False, last_change: int | None = None) -> dict[str, int]:
        """The payloads that the dataset holds after this commit.

        A first load skips the changes that landed before its walk began: its pages are newer.
        """
        feeds = self.bench.tracking.feeds
        walk_feed = self.walk["feed"]
        before = self.dataset.position(walk_feed) or 0
        last_page = feeds.last_number_before(self.walk["connection"], walk_feed, self.walk["last_landing"])
        positions = {walk_feed: max(before, last_page)}
        changes_feed = self.bench.changes_feed(self.dataset.entity.name)
        if changes_feed is not None:
            begun = feeds.last_number_before(self.walk["connection"], changes_feed.name, self.walk["begun_landing"])
            known = self.dataset.position(changes_feed.name) or 0
            positions[changes_feed.name] = begun if first else max(known, begun, last_change or 0)
        return positions

    def _finish(self, *, members: bool) -> None:
        tracking = self.bench.tracking
        walk = self.walk
        superseded = [] if self.scope.sweeps else self._answered()  # a key alone answers nothing
        whole = self._whole_since()
        owed = tracking.feeds.entity(self.bench.connection, self.dataset.entity.name)["due_landing"] or 0
        pays = whole is not None and whole >= owed
        with tracking.database.write(Point.CLOSE_DONE) as db:
            tracking.walks.close(db, walk, pays=pays)
            tracking.rejections.close_before(db, walk, whole)
            tracking.rejections.close_ids(db, superseded)
            if members:
                tracking.files.forget(db, walk["id"])
            elif self.scope == ALL:
                tracking.files.keep(db, self.dataset.name, walk["id"], self.kept)

    def _whole_since(self) -> int | None:
        """The landing number behind which every scope of the entity, moving ones aside, was read; None if one was not.

        This walk counts as closed. It pays what came due before that number.
        """
        if self.scope.moves:
            return None
        name = self.dataset.entity.name
        others = [feed.scope.name for feed in self.bench.walk_feeds(name) if not feed.scope.moves]
        begun: list[int] = [self.walk["begun_landing"]]
        for other in others:
            walk = self.bench.tracking.walks.closed(self.bench.connection, name, other)
            if other != self.scope.name and walk is None:
                return None
            if other != self.scope.name and walk is not None:
                begun.append(walk["begun_landing"])
        return min(begun)

    def _note_absent(self, absent: Sequence[str]) -> None:
        if self.walk["kind"] == "walk" and not self.scope.moves:
            note_absent(self.bench, self.dataset.entity.name, absent, refresh=self.scope != ALL)

    def _answered(self) -> list[int]:
        """Open rejections whose key a page that landed later accepted (sequence 9)."""
        tracking = self.bench.tracking
        waiting = tracking.rejections.open(self.walk["connection"], self.walk["entity"])
        waiting = [each for each in waiting if each["key"] is not None and each["cause"] != "delete_parked"]
        if not waiting:
            return []
        answered = []
        for part in self.kept:
            landed = self._first_landing(part)
            older = {
                each["key"]: each["id"]
                for each in waiting
                if each["payload"] < landed and self._covers(part, each["key"])
            }
            for rows in read_file(self.dataset.disk, part.path, self.dataset.changes_schema) if older else ():
                present = set(older) & set(_matching(rows, older, self.dataset))
                answered += [older[key] for key in present]
        return answered

    def _covers(self, part: Part, text: str) -> bool:
        key = key_values(json.loads(text), _key_fields(self.dataset))
        return (part.min_key or ()) <= key <= (part.max_key or ())

    def _first_landing(self, part: Part) -> int:
        rows = self.bench.tracking.feeds.payloads(self.walk["connection"], self.walk["feed"], after=part.first - 1)
        return int(rows[0]["landing"]) if rows and part.first else 0


def close(bench: Bench, walk: Mapping[str, Any], run: str) -> bool:
    """Close a walk whose pages are all staged; False if a guard parked it."""
    dataset = bench.dataset(walk["entity"])
    with bench.writing(dataset, run) as hand:
        return Close(bench, dataset, walk, _parts(bench, dataset, walk), hand).run()


def missing_keys(bench: Bench, walk: Mapping[str, Any], run: str) -> pa.Table:
    """The keys of the current rows that a fetched walk's scope lacks (sequence 12)."""
    dataset = bench.dataset(walk["entity"])
    with bench.writing(dataset, run) as hand:
        return Close(bench, dataset, walk, _parts(bench, dataset, walk), hand).missing()


def _parts(bench: Bench, dataset: Dataset, walk: Mapping[str, Any]) -> list[Part]:
    """The staged parts with their keys as values."""
    fields = _key_fields(dataset)
    return [
        replace(part, min_key=key_values(part.min_key, fields), max_key=key_values(part.max_key, fields))
        if part.min_key is not None and part.max_key is not None
        else part
        for part in bench.tracking.files.parts(walk["id"])
    ]


def _key_fields(dataset: Dataset) -> list[pa.Field]:
    return [dataset.changes_schema.field(name) for name in dataset.entity.key]


def _disjoint(parts: Sequence[Part]) -> bool:
    ordered = sorted(parts, key=lambda part: part.min_key or ())
    return all((one.max_key or ()) < (other.min_key or ()) for one, other in pairwise(ordered))


def _as_member(part: Part, dataset: Dataset) -> Member:
    key = dataset.entity.key
    low, high = dict(zip(key, part.min_key or (), strict=False)), dict(zip(key, part.max_key or (), strict=False))
    return Member(_base(part.path), part.rows, part.size, low, high)


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _with_op(rows: pa.Table, op: str) -> pa.Table:
    return rows.append_column(OP, pa.chunked_array([pa.repeat(pa.scalar(op), rows.num_rows)]))


def _tombstones(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """Deletes: the key and nothing else."""
    key = dataset.entity.key
    columns = [
        rows.column(name)
        if name in key or name in ("_version", "_run")
        else pa.nulls(rows.num_rows, rows.schema.field(name).type)
        for name in rows.column_names
    ]
    return _with_op(pa.table(columns, schema=rows.schema), DELETE)


def _matching(rows: pa.Table, texts: Mapping[str, int], dataset: Dataset) -> list[str]:
    """The key texts of the rows whose key is among a few."""
    entity = dataset.entity
    fields = _key_fields(dataset)
    keys = (key_values(json.loads(text), fields) for text in texts)
    wanted = pa.Table.from_pylist([dict(zip(entity.key, key, strict=True)) for key in keys], schema=pa.schema(fields))
    found = pc.is_in(key_column(rows, entity.key), key_column(wanted, entity.key).combine_chunks())
    return key_texts(rows.filter(found), entity.key)
