"""One connection, opened for work: what every stage needs at hand."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from postroad.engine.heart import Heart
from postroad.engine.stop import Stop
from postroad.errors import ConfigError
from postroad.lake import Dataset, Hand, Lake
from postroad.lake.nesting import unlike
from postroad.lake.parquet import conform
from postroad.project import Sync
from postroad.records import AMBIGUOUS, CHANGED_AT, OP, RUN, VERSION, Entity, Feed, Payload, Refusal
from postroad.sdk.connector import Source
from postroad.telemetry import Stage
from postroad.tracking import Tracking

RESERVED = {field.name for field in (OP, CHANGED_AT, AMBIGUOUS, VERSION, RUN)}


class Reporter(Protocol):
    """Who is told how the work goes on."""

    def stage(self, stage: Stage, dataset: str) -> None:
        """A stage begins on a dataset or feed."""
        ...

    def progress(self, dataset: str, rows: int, size: int) -> None:
        """So many more rows were read, from so many bytes."""
        ...

    def say(self, sentence: str) -> None:
        """Something that a person should know."""
        ...


@dataclass
class Counts:
    """What a run did, for its row in the closing table."""

    payloads: int = 0
    read: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    rejected: int = 0
    parked: int = 0

    def as_dict(self) -> dict[str, int]:
        """For the run's row in tracking."""
        return dict(vars(self))


@dataclass(frozen=True)
class Parsed:
    """The accepted and refused rows of one entity in one payload, and the columns that it lacks."""

    rows: pa.Table
    refusals: list[Refusal]
    absent: tuple[str, ...] = ()


@dataclass
class Bench:
    """A connection with its source, feeds, books, lake, and the counts of the work done."""

    connection: str
    source: Source
    feeds: tuple[Feed, ...]
    tracking: Tracking
    lake: Lake
    heart: Heart
    reporter: Reporter
    stop: Stop = field(default_factory=Stop)
    rules: Mapping[str, Sync] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    _entities: dict[str, Entity] = field(default_factory=dict)

    def count(self, entity: str) -> Counts:
        """The counts of an entity's dataset in this run."""
        return self.counts.setdefault(entity, Counts())

    def now(self) -> float:
        """The clock of the tracking database, in seconds since 1970."""
        with self.tracking.database.read() as db:
            return self.tracking.database.now(db) / 1_000_000

    def rule(self, entity: str) -> Sync:
        """What the project says of an entity: how many deletes a close may make, what is reloaded now and then."""
        return self.rules.get(entity) or Sync(self.connection, (entity,))

    def changes_feed(self, entity: str) -> Feed | None:
        """The feed that carries the changes of an entity, if the source has one."""
        return next((feed for feed in self.feeds if feed.kind == "changes" and _holds(feed, entity)), None)

    def walk_feeds(self, entity: str) -> list[Feed]:
        """The feeds that walk an entity, one for each of its scopes."""
        return [feed for feed in self.feeds if feed.kind == "walk" and _holds(feed, entity)]

    def feed(self, name: str) -> Feed:
        """The feed of that name; ConfigError if the connection has it no more."""
        for feed in self.feeds:
            if feed.name == name:
                return feed
        raise ConfigError(f"{self.connection} has no feed '{name}' any more; put it back, or reset its entity")

    def entity(self, name: str) -> Entity:
        """The entity of that name, with the columns that only the lake still has."""
        known = self._entities.get(name)
        if known is None:
            known = self._entities[name] = self._with_stored(self.declared(name))
        return known

    def declared(self, name: str) -> Entity:
        """The same as the source declares it."""
        return next(feed.entity(name) for feed in self.feeds if _holds(feed, name))

    def _with_stored(self, entity: Entity) -> Entity:
        stored = self.lake.dataset(self.connection, entity).changes.schema() or pa.schema([])
        names = {*entity.schema.names, *RESERVED}
        extra = [column.with_nullable(True) for column in stored if column.name not in names]
        known = [_whole(column, stored) for column in entity.schema]
        changed = bool(extra) or any(one is not other for one, other in zip(known, entity.schema, strict=True))
        return replace(entity, schema=pa.schema([*known, *extra])) if changed else entity

    def forget_columns(self, name: str) -> None:
        """Look at the lake's columns again: they have changed."""
        self._entities.pop(name, None)

    def dataset(self, entity: str) -> Dataset:
        """The dataset of an entity."""
        return self.lake.dataset(self.connection, self.entity(entity))

    def feed_names(self, entity: str) -> list[str]:
        """The feeds that write to an entity's dataset."""
        return [feed.name for feed in self.feeds if _holds(feed, entity)]

    @contextmanager
    def writing(self, dataset: Dataset, run: str) -> Iterator[Hand]:
        """Hold a dataset's lease for one stage call."""
        with self.tracking.leases.hold(dataset.name) as lease, self.heart.keeps(self.tracking.leases.renew, lease):
            dataset.open_for_writing()
            yield Hand(run, lease.token, lambda: self.tracking.leases.check(lease))

    def parse(self, feed: Feed, row: Mapping[str, Any], entity: Entity) -> Parsed:
        """The accepted and refused rows of one entity in a landed payload."""
        body = self.lake.landing.get(row["path"], row["size"], row["digest"])
        return self.parse_body(feed, row, body, entity)

    def parse_body(self, feed: Feed, row: Mapping[str, Any], body: bytes, entity: Entity) -> Parsed:
        """The same while the body is still in memory."""
        payload = Payload(
            body, None, row["identifier"], tuple(row["entities"]), row["meta"], row["scope"], row["closes"]
        )
        schema = parsed_schema(entity)
        tables = [schema.empty_table()]
        refusals: list[Refusal] = []
        absent = {*entity.schema.names} - {*self.declared(entity.name).schema.names}
        for rows in self.source.parse(feed, payload):
            if rows.entity == entity.name:
                tables.append(conform(pa.Table.from_batches([rows.records]), schema))
                refusals += rows.refusals
                absent |= {*rows.absent}
        return Parsed(pa.concat_tables(tables), refusals, tuple(sorted(absent)))


def parsed_schema(entity: Entity) -> pa.Schema:
    """The schema of parsed rows before the lake adds version and run."""
    return pa.schema([*entity.schema, OP, CHANGED_AT, AMBIGUOUS])


def _whole(column: pa.Field, stored: pa.Schema) -> pa.Field:
    """A column of lists or structures as the lake has it, if the declaration lacks one of the members there.

    No run goes on so (`columns.widen`); but what the lake has is read and delivered whole.
    """
    if not pa.types.is_nested(column.type) or column.name not in stored.names:
        return column
    there = stored.field(column.name).type
    lost = any(each.other is None for each in unlike(column.name, there, column.type))
    return column.with_type(there) if lost else column


def _holds(feed: Feed, entity: str) -> bool:
    return any(each.name == entity for each in feed.entities)


def new_token() -> str:
    """A token that no other writer has."""
    return secrets.token_hex(8)
