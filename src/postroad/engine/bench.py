"""One connection, opened for work: what every stage needs at hand."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from postroad.engine.heart import Heart
from postroad.lake import Dataset, Hand, Lake
from postroad.lake.parquet import conform
from postroad.project import MaxDeletes
from postroad.records import AMBIGUOUS, CHANGED_AT, OP, Entity, Feed, Payload, Refusal
from postroad.sdk.connector import Source
from postroad.telemetry import Stage
from postroad.tracking import Tracking


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
    max_deletes: Mapping[str, MaxDeletes] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)

    def count(self, entity: str) -> Counts:
        """The counts of an entity's dataset in this run."""
        return self.counts.setdefault(entity, Counts())

    def changes_feed(self, entity: str) -> Feed | None:
        """The feed that carries the changes of an entity, if the source has one."""
        return self._feed(entity, "changes")

    def walk_feed(self, entity: str) -> Feed:
        """The feed that walks an entity."""
        feed = self._feed(entity, "walk")
        if feed is None:
            raise LookupError(f"{self.connection}.{entity} cannot be walked")
        return feed

    def _feed(self, entity: str, kind: str) -> Feed | None:
        named = (feed for feed in self.feeds if feed.kind == kind)
        return next((feed for feed in named if any(each.name == entity for each in feed.entities)), None)

    def entity(self, name: str) -> Entity:
        """The entity of that name."""
        return self.walk_feed(name).entity(name)

    def dataset(self, entity: str) -> Dataset:
        """The dataset of an entity."""
        return self.lake.dataset(self.connection, self.entity(entity))

    def feed_names(self, entity: str) -> list[str]:
        """The feeds that write to an entity's dataset."""
        return [feed.name for feed in self.feeds if any(each.name == entity for each in feed.entities)]

    @contextmanager
    def writing(self, dataset: Dataset, run: str) -> Iterator[Hand]:
        """Hold a dataset's lease for one stage call."""
        with self.tracking.leases.hold(dataset.name) as lease, self.heart.keeps(self.tracking.leases.renew, lease):
            dataset.open_for_writing()
            yield Hand(run, lease.token, lambda: self.tracking.leases.check(lease))

    def parse(self, feed: Feed, row: Mapping[str, Any], entity: Entity) -> tuple[pa.Table, list[Refusal]]:
        """The accepted and refused rows of one entity in a landed payload."""
        body = self.lake.landing.get(row["path"], row["size"], row["digest"])
        return self.parse_body(feed, row, body, entity)

    def parse_body(
        self, feed: Feed, row: Mapping[str, Any], body: bytes, entity: Entity
    ) -> tuple[pa.Table, list[Refusal]]:
        """The same while the body is still in memory."""
        payload = Payload(
            body, None, row["identifier"], tuple(row["entities"]), row["meta"], row["scope"], row["closes"]
        )
        schema = parsed_schema(entity)
        tables = [schema.empty_table()]
        refusals: list[Refusal] = []
        for rows in self.source.parse(feed, payload):
            if rows.entity == entity.name:
                tables.append(conform(pa.Table.from_batches([rows.records]), schema))
                refusals += rows.refusals
        return pa.concat_tables(tables), refusals


def parsed_schema(entity: Entity) -> pa.Schema:
    """The schema of parsed rows before the lake adds version and run."""
    return pa.schema([*entity.schema, OP, CHANGED_AT, AMBIGUOUS])


def new_token() -> str:
    """A token that no other writer has."""
    return secrets.token_hex(8)
