"""Runs: one command's work on one connection, feed by feed, each under its own claim.

A run is called again after any kill and does only what is missing: stages hold their positions. The order is poll,
walk what is due, poll again, publish and close; so every run ends with a poll, and a close never waits for the next
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from postroad.engine.bench import Bench
from postroad.engine.land import poll
from postroad.engine.normalise import publish
from postroad.engine.recover import reconcile, require_agreement
from postroad.engine.walk import finish, may_close, walk, wanted
from postroad.errors import BusyError, ConfigError, LostClaimError, PostroadError, ThrottledError, WaitingError
from postroad.records import Feed
from postroad.tracking.runs import Claim

TRIES = 2  # to walk, where the first one finds that its cursor is foreign


@dataclass(frozen=True)
class Options:
    """What the person asked for."""

    full_refresh: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How the run of one feed ended. `until` is set while it waits; `configuration` says that a person has to edit."""

    run: str
    connection: str
    feed: str
    status: str
    reason: str | None = None
    until: datetime | None = None
    configuration: bool = False


class Runner:
    """Does the work of one connection and notes how each feed's run ended."""

    def __init__(self, bench: Bench, options: Options) -> None:
        self.bench = bench
        self.options = options
        self.outcomes: list[Outcome] = []
        self._failed: dict[str, Exception] = {}
        self._foreign = False

    def run(self, entities: Sequence[str]) -> list[Outcome]:
        """Bring these entities' datasets to the head of the source."""
        feed = next((feed for feed in self.bench.feeds if feed.kind == "changes"), None)
        if feed is not None:
            self._under_claim(feed, lambda claim: self._sync(claim, feed, entities))
        else:
            reconcile(self.bench)
            self._walk_due(entities)
            self._close_ready(entities)
        return self.outcomes

    def replay(self, entity: str) -> list[Outcome]:
        """Close the last closed snapshot of an entity again, from landing, without the network (sequence 7)."""
        require_agreement(self.bench)
        walks = self.bench.tracking.walks
        source = walks.closed(self.bench.connection, entity)
        if source is None:
            raise ConfigError(f"{self.bench.connection}.{entity} has no closed snapshot to replay; run it first")

        def work(claim: Claim) -> None:
            version = self.bench.tracking.leases.version(self.bench.dataset(entity).fence())
            finish(self.bench, claim, walks.begin_replay(claim, source, version))

        self._under_claim(self.bench.walk_feed(entity), work)
        return self.outcomes

    def retry_parked(self, entity: str) -> list[Outcome]:
        """Compare a parked close anew with all that landed since and let it pass its guards (sequence 6)."""
        require_agreement(self.bench)
        walks = self.bench.tracking.walks
        parked = walks.parked(self.bench.connection, entity)
        if parked is None:
            raise ConfigError(f"{self.bench.connection}.{entity} has no parked close; `postroad status` shows them")
        if walks.open(self.bench.connection, entity) is not None:
            raise ConfigError(f"{self.bench.connection}.{entity}: a newer walk is open and will replace it; run that")

        def work(claim: Claim) -> None:
            walks.allow(parked["id"])
            finish(self.bench, claim, {**parked, "status": "open", "allowed": True})

        self._under_claim(self.bench.walk_feed(entity), work)
        return self.outcomes

    def _sync(self, claim: Claim, feed: Feed, entities: Sequence[str]) -> None:
        reconcile(self.bench)
        self._poll(claim, feed)
        for entity in entities:
            publish(self.bench, entity, claim.run)
        for _ in range(TRIES):
            if self._walk_due(entities):
                self._poll(claim, feed)
            if not self._foreign:
                break
        self._close_ready(entities)
        for entity in entities:
            publish(self.bench, entity, claim.run)

    def _poll(self, claim: Claim, feed: Feed) -> None:
        self._failed = poll(self.bench, claim, feed, self.options.limit)

    def _walk_due(self, entities: Sequence[str]) -> bool:
        """Walk what is due; whether that leaves something that needs one more poll."""
        waiting = False
        self._foreign = False
        for entity in entities:
            reason = wanted(self.bench, entity, full_refresh=self.options.full_refresh)
            if reason is not None:
                self.bench.reporter.say(f"{self.bench.connection}.{entity}: full refresh: {reason}")
                self._under_claim(self.bench.walk_feed(entity), partial(self._walk, entity=entity))
            is_open = self.bench.tracking.walks.open(self.bench.connection, entity) is not None
            waiting = waiting or (is_open and may_close(self.bench, entity) is None)
        return waiting or self._foreign

    def _walk(self, claim: Claim, entity: str) -> None:
        # A walk whose cursor was foreign has forgotten its position: one more poll takes it anew, and it begins again.
        self._foreign = not walk(self.bench, claim, entity, self.options.limit) or self._foreign

    def _close_ready(self, entities: Sequence[str]) -> None:
        for entity in entities:
            current = may_close(self.bench, entity)
            if current is not None:
                self._under_claim(self.bench.walk_feed(entity), partial(finish, self.bench, current=current))

    def _under_claim(self, feed: Feed, work: Callable[[Claim], object]) -> None:
        """Claim a feed, work, and give the run a final status whatever happens."""
        runs = self.bench.tracking.runs
        try:
            claim = runs.claim(self.bench.connection, feed.name, vars(self.options))
        except (BusyError, WaitingError) as error:
            status = "waiting" if isinstance(error, WaitingError) else "busy"
            self._note("", feed, status, str(error), error.until)
            return
        with self.bench.heart.keeps(runs.renew, claim):
            self._attempt(claim, feed, work)

    def _attempt(self, claim: Claim, feed: Feed, work: Callable[[Claim], object]) -> None:
        try:
            paused = self._paused(claim, feed, work)
        except LostClaimError as error:
            self._note(claim.run, feed, "lost", str(error))
        except KeyboardInterrupt:
            self._end(claim, feed, "cancelled", "stopped by a person or a signal")
            raise
        except Exception as error:
            self._end(claim, feed, "failed", str(error) or type(error).__name__, isinstance(error, ConfigError))
            if not isinstance(error, PostroadError):
                raise
        else:
            if not paused:
                self._end(claim, feed, *self._verdict(feed))

    def _paused(self, claim: Claim, feed: Feed, work: Callable[[Claim], object]) -> bool:
        """Work; True if the remote system asked for so long a pause that the run waits without us."""
        try:
            work(claim)
        except ThrottledError as error:
            until = self.bench.tracking.runs.wait(claim, error.wait, self._counts(), str(error))
            self._note(claim.run, feed, "waiting", str(error), until)
            return True
        return False

    def _verdict(self, feed: Feed) -> tuple[str, str | None]:
        if feed.kind == "changes" and self._failed:
            causes = "; ".join(f"{entity}: {cause}" for entity, cause in self._failed.items())
            everything = len(self._failed) == len(feed.entities)
            return ("failed" if everything else "partly_succeeded"), causes
        refused = sum(count.rejected + count.parked for count in self.bench.counts.values())
        return ("partly_succeeded", f"{refused} rejected or parked") if refused else ("succeeded", None)

    def _end(self, claim: Claim, feed: Feed, status: str, reason: str | None, configuration: bool = False) -> None:
        if not self.bench.tracking.runs.end(claim, status, self._counts(), reason):
            reason = "; ".join(filter(None, (reason, "somebody else ended the run meanwhile")))
            status, configuration = "lost", False
        self.outcomes.append(
            Outcome(claim.run, self.bench.connection, feed.name, status, reason, configuration=configuration)
        )

    def _note(self, run: str, feed: Feed, status: str, reason: str | None, until: datetime | None = None) -> None:
        self.outcomes.append(Outcome(run, self.bench.connection, feed.name, status, reason, until))

    def _counts(self) -> dict[str, dict[str, int]]:
        return {entity: count.as_dict() for entity, count in self.bench.counts.items()}
