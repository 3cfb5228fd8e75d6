"""Land: fetch payloads and make each durable before the next is asked for.

File first, then one transaction with the payload's row, the feed's cursor and the walk's progress. A kill between the
two costs one request: the payload is fetched again from the unmoved cursor; its first file is litter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from postroad.engine.alerts import replaced
from postroad.engine.bench import Bench
from postroad.errors import CursorExpiredError, EntitiesFailedError
from postroad.records import ALL, Feed, Payload, Scope, Want
from postroad.telemetry import Stage
from postroad.tracking.feeds import Landed
from postroad.tracking.runs import Claim


@dataclass
class Fetch:
    """What is fetched under one claim: from which feed, of which scope, for which walk; `asked` is when, by landing."""

    bench: Bench
    claim: Claim
    feed: Feed
    scope: Scope = ALL
    walk: int | None = None
    asked: int = 0

    def payloads(
        self, cursor: Any, limit: int | None, begun: Iterator[Payload] | None = None
    ) -> Iterator[tuple[Mapping[str, Any], bytes]]:
        """Land what follows the cursor, at most `limit` payloads; yields each row with its body once it is durable.

        `begun` is a fetch from that cursor which somebody has begun already.
        """
        self.asked = self.bench.tracking.feeds.landing()
        want = Want(cursor, self._entities(), self.scope, landing=self.asked)
        answers = self.bench.source.fetch(self.feed, want) if begun is None else begun
        yield from self._landed(answers, limit)

    def rows_of(self, keys: pa.Table, cursor: Any) -> Iterator[tuple[Mapping[str, Any], bytes]]:
        """Land the rows of these keys that still exist."""
        want = Want(cursor, self._entities(), self.scope, keys)
        yield from self._landed(self.bench.source.fetch(self.feed, want), None)

    def _entities(self) -> tuple[str, ...]:
        return tuple(entity.name for entity in self.feed.entities)

    def _landed(self, answers: Iterator[Payload], limit: int | None) -> Iterator[tuple[Mapping[str, Any], bytes]]:
        name = f"{self.claim.connection}.{self.feed.name}"
        number = self.bench.tracking.feeds.last_number(self.claim.connection, self.feed.name)
        landed = 0
        while True:
            self.bench.stop.check()
            self.bench.reporter.stage(Stage.FETCH, name)
            payload = next(answers, None)
            if payload is None:
                return
            self.bench.reporter.stage(Stage.LAND, name)
            if payload.asked is not None:
                self.asked = min(self.asked, payload.asked)
            row = self._land(payload, number + 1)
            if row is not None and payload.body is not None:
                yield row, payload.body
                number += 1
                landed += 1
            if limit is not None and landed >= limit and not payload.closes:
                raise LimitReached

    def _land(self, payload: Payload, number: int) -> Mapping[str, Any] | None:
        """Make one payload durable; whether the number is still the next one is checked where the claim is."""
        feeds = self.bench.tracking.feeds
        if payload.body is None:
            return feeds.land(self.claim, payload, None, number, self.walk)
        folder = f"{self.claim.connection}/{self.feed.name}/{self.claim.run}"
        landed = Landed(*self.bench.lake.landing.put(folder, f"{number:08d}-{self.claim.token}.json", payload.body))
        row = feeds.land(self.claim, payload, landed, number, self.walk)
        for entity in payload.entities:
            self.bench.count(entity).payloads += 1
        return row


class LimitReached(Exception):  # noqa: N818 - not an error: the person asked to stop here
    """`--limit` was reached before the head of the feed."""


def poll(bench: Bench, claim: Claim, feed: Feed, limit: int | None = None) -> dict[str, Exception]:
    """Read the changes to their head; entities that failed, each with its cause.

    Positions that cannot be trusted are forgotten together with the entities' open walks, and taken anew at once; the
    entities are due a full refresh from then on (sequence 2).
    """
    try:
        return _poll_once(bench, claim, feed, limit)
    except CursorExpiredError as error:
        bench.reporter.say(f"{claim.connection}: a full refresh of {', '.join(error.entities)} is due: {error}")
        alert = replaced(claim.connection, error.entities, str(error)) if error.foreign else None
        bench.tracking.feeds.forget(
            claim.connection, feed.name, error.entities, str(error), foreign=error.foreign, alert=alert
        )
        if error.foreign:
            _forget_the_others(bench, str(error))
    return _poll_once(bench, claim, feed, limit)


def _forget_the_others(bench: Bench, reason: str) -> None:
    """Entities without changes cannot tell that their data were replaced: their walks begin again as well."""
    for feed in bench.feeds:
        name = feed.entities[0].name
        if feed.kind == "walk" and bench.changes_feed(name) is None:
            bench.tracking.feeds.reset(bench.connection, feed.name, name, reason)


def _poll_once(bench: Bench, claim: Claim, feed: Feed, limit: int | None) -> dict[str, Exception]:
    feeds = bench.tracking.feeds
    failed: dict[str, Exception] = {}
    fetch = Fetch(bench, claim, feed)
    try:
        for row, _ in fetch.payloads(feeds.cursor(claim.connection, feed.name), limit):
            bench.reporter.progress(f"{claim.connection}.{feed.name}", 0, row["size"])
    except LimitReached:
        return failed
    except EntitiesFailedError as error:
        failed = error.causes
    read = [entity.name for entity in feed.entities if entity.name not in failed]
    feeds.reached_head(claim, read, fetch.asked)
    return failed
