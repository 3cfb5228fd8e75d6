"""A project's lake and its datasets: where files lie and how they are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from postroad.lake import names
from postroad.lake.delta import FENCE, DeltaLog, Member, Pinned
from postroad.lake.disk import Disk
from postroad.lake.landing import Landing
from postroad.lake.parquet import read_files
from postroad.lake.streams import Stream
from postroad.records import Entity, stored_schema

FEED = "feed:"  # the action that says which payload of a feed was applied last
CHANGES = "changes"  # the action of a table that says which version of `changes` it shows


@dataclass(frozen=True)
class Hand:
    """Who writes: the run, a token that no other writer has, and a check that the lease is still held."""

    run: str
    token: str
    check: Callable[[], None]


class Lake:
    """The files of a project, wherever they lie; `pinned` says which folders hold files that messages name."""

    def __init__(self, disk: Disk, pinned: Pinned = lambda _: False) -> None:
        self.disk = disk
        self.landing = Landing(disk)
        self._pinned = pinned

    def dataset(self, connection: str, entity: Entity) -> Dataset:
        """The dataset of one entity of a connection."""
        return Dataset(self.disk, connection, entity, self._pinned)


class Dataset:
    """The history and the current state of one entity."""

    def __init__(self, disk: Disk, connection: str, entity: Entity, pinned: Pinned = lambda _: False) -> None:
        self.disk = disk
        self.entity = entity
        self.connection = connection
        self.name = f"{connection}.{entity.name}"
        self.changes = DeltaLog(disk, f"changes/{connection}/{entity.name}", pinned)
        self.table = DeltaLog(disk, f"tables/{connection}/{entity.name}", pinned)
        self.changes_schema = stored_schema(entity.schema, ops=True)
        self.table_schema = stored_schema(entity.schema, ops=False)

    def open_for_writing(self) -> None:
        """Note where both tables stand; called right after the dataset's lease was taken."""
        self.changes.open_for_writing()
        self.table.open_for_writing()

    def position(self, feed: str) -> int | None:
        """The last payload of a feed that `changes` holds; None if it never held one."""
        return self.changes.action(FEED + feed)

    def first_load(self, feeds: Sequence[str]) -> bool:
        """Whether `changes` never took anything in: no feed has a position in its log (sequence 1)."""
        found = self.changes.actions([FEED + feed for feed in feeds])
        return all(position is None for position in found.values())

    def fence(self) -> int:
        """The highest version that either table ever took; 0 for none."""
        return max(self.changes.action(FENCE) or 0, self.table.action(FENCE) or 0)

    def rows(self) -> int:
        """How many rows the table has."""
        return sum(member.rows for member in self.table.members())

    def current(self, columns: Sequence[str] | None = None) -> Stream:
        """The current rows in key order; only some of their columns."""
        schema = (
            self.table_schema if columns is None else pa.schema([self.table_schema.field(each) for each in columns])
        )
        paths = [f"{self.table.folder}/{member.path}" for member in in_key_order(self.table.members(), self.entity)]
        return read_files(self.disk, paths, schema)

    def name_changes(self, kind: str, version: int, hand: Hand, part: int) -> str:
        """The path of a member of `changes`, relative to its table."""
        return names.file_name(kind, self.entity.name, version, hand.run, hand.token, part)

    def stamped(self, rows: pa.Table, version: int, run: str) -> pa.Table:
        """The rows with `_version` and `_run`, as `changes` stores them."""
        count = rows.num_rows
        columns = {name: rows.column(name) for name in rows.column_names}
        columns["_version"] = pa.chunked_array([pa.repeat(pa.scalar(version, pa.int64()), count)])
        columns["_run"] = pa.chunked_array([pa.repeat(pa.scalar(run), count)])
        return pa.table([columns[name] for name in self.changes_schema.names], schema=self.changes_schema)


def in_key_order(members: Sequence[Member], entity: Entity) -> list[Member]:
    """Members sorted by their first key; the files of a table never overlap."""
    return sorted(members, key=lambda member: tuple(member.minimum[name] for name in entity.key))
