"""Runs: one command's work on one connection, feed by feed, each under its own claim.

A run is called again after any kill and does only what is missing: stages hold their positions. The order is poll,
walk what is due, poll again, publish and close; so every run ends with a poll, and a close never waits for the next
one. Entities are independent of each other: several are worked on at a time, and one that fails stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from postroad.engine.alerts import died, run_ended
from postroad.engine.bench import Bench
from postroad.engine.columns import widen
from postroad.engine.crew import Crew
from postroad.engine.land import poll
from postroad.engine.normalise import publish
from postroad.engine.recover import reconcile, require_agreement, require_parts
from postroad.engine.walk import AGAIN, finish, may_close, walk, wanted
from postroad.errors import (
    BusyError,
    ConfigError,
    LostClaimError,
    NotReadyError,
    PostroadError,
    StoppedError,
    ThrottledError,
    WaitingError,
)
from postroad.records import Feed
from postroad.tracking.runs import Claim

TRIES = 2  # to walk, where the first one finds that its cursor is foreign


@dataclass(frozen=True)
class Options:
    """What the person asked for; `parallel` is how many entities of a connection are worked on at a time."""

    full_refresh: bool = False
    limit: int | None = None
    since: str | None = None
    parallel: int = 1


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
        self._crew = Crew(options.parallel)
        self._failed: dict[str, Exception] = {}  # in the last poll
        self._broken: dict[str, Exception] = {}  # on our side: nothing more is done on them in this run
        self._foreign = False
        self._preparing: set[str] = set()  # walks that wait for the remote system alone
        self._refused_before: dict[str, int] = {}

    def run(self, entities: Sequence[str]) -> list[Outcome]:
        """Bring these entities' datasets to the head of the source."""
        require_parts(self.bench, entities, self.options.since)
        polled = [entity for entity in entities if self.bench.changes_feed(entity) is not None]
        feed = next((feed for feed in self.bench.feeds if feed.kind == "changes"), None)
        if feed is not None and polled:
            self._under_claim(feed, lambda claim: self._sync(claim, feed, polled))
        others = [entity for entity in entities if entity not in polled]
        self._crew.each([partial(self._refresh_all, self.bench.walk_feeds(entity)) for entity in others])
        return self.outcomes

    def replay(self, entity: str) -> list[Outcome]:
        """Close the last closed snapshot of each scope again, from landing, without the network (sequence 7)."""
        require_agreement(self.bench)
        walks = self.bench.tracking.walks
        feeds = self.bench.walk_feeds(entity)
        found = [(feed, walks.closed(self.bench.connection, entity, feed.scope.name)) for feed in feeds]
        sources = [(feed, source) for feed, source in found if source is not None]
        if not sources:
            raise ConfigError(f"{self.bench.connection}.{entity} has no closed snapshot to replay; run it first")

        def work(claim: Claim, source: Mapping[str, Any]) -> None:
            widen(self.bench, entity, claim.run)
            version = self.bench.tracking.leases.version(self.bench.dataset(entity).fence())
            finish(self.bench, claim, walks.begin_replay(claim, source, version))

        for feed, source in sorted(sources, key=lambda pair: int(pair[1]["id"])):
            self._under_claim(feed, partial(work, source=source))
        return self.outcomes

    def retry_parked(self, entity: str) -> list[Outcome]:
        """Compare the parked closes anew with all that landed since and let them pass their guards (sequence 6)."""
        require_agreement(self.bench)
        walks = self.bench.tracking.walks
        parked = walks.parked(self.bench.connection, entity)
        if not parked:
            raise ConfigError(f"{self.bench.connection}.{entity} has no parked close; `postroad status` shows them")
        if any(walks.open(self.bench.connection, entity, each["scope"]) is not None for each in parked):
            raise ConfigError(f"{self.bench.connection}.{entity}: a newer walk is open and will replace it; run that")

        def work(claim: Claim, walk: Mapping[str, Any]) -> None:
            if walk["kind"] != "replay":
                walks.allow(walk["id"])
            finish(self.bench, claim, {**walk, "status": "open", "allowed": True})

        for each in parked:
            self._under_claim(self.bench.feed(each["feed"]), partial(work, walk=each))
        return self.outcomes

    def work_on(self, feed: Feed, work: Callable[[Claim], object]) -> list[Outcome]:
        """Do one piece of work under a feed's claim."""
        self._under_claim(feed, work)
        return self.outcomes

    def _sync(self, claim: Claim, feed: Feed, entities: Sequence[str]) -> None:
        """Entities that have a feed of changes: poll, walk what is due, poll again, close."""
        feeds = {entity: self.bench.walk_feeds(entity) for entity in entities}
        self._each(entities, lambda entity: widen(self.bench, entity, claim.run))
        sound = tuple(entity for entity in feed.entities if entity.name not in self._broken)
        walks = chain(*(feeds.get(entity.name, ()) for entity in sound))
        reconcile(self.bench, [replace(feed, entities=sound), *walks])
        self._poll(claim, feed)
        self._each(entities, lambda entity: publish(self.bench, entity, claim.run))
        for _ in range(TRIES):
            if self._walk_due([feeds[entity] for entity in entities if entity not in self._broken]):
                self._poll(claim, feed)
            if not self._foreign:
                break
        self._each(entities, lambda entity: self._close(feeds[entity]))
        self._each(entities, lambda entity: publish(self.bench, entity, claim.run))

    def _each(self, entities: Sequence[str], work: Callable[[str], object]) -> None:
        """Do it for every entity that is not broken; one where it fails is left out from here on."""

        def attempt(entity: str) -> None:
            self.bench.stop.check()
            error = _failure(partial(work, entity))
            if error is not None:
                self._broken[entity] = error

        self._crew.each([partial(attempt, entity) for entity in entities if entity not in self._broken])

    def _close(self, feeds: Sequence[Feed]) -> None:
        for walked in feeds:
            current = may_close(self.bench, walked)
            if current is not None:
                self._under_claim(walked, partial(finish, self.bench, current=current))

    def _refresh_all(self, feeds: Sequence[Feed]) -> None:
        """The scopes of an entity without changes, one after another: they share its dataset."""
        for walked in feeds:
            self._refresh(walked)

    def _refresh(self, feed: Feed) -> None:
        """An entity without changes: walk a scope and close it, under one claim, or end what a killed run left."""
        reason = self._wanted(feed)
        current = may_close(self.bench, feed)
        if reason is None and current is None and not self._was_killed(feed):
            return

        def work(claim: Claim) -> None:
            reconcile(self.bench, [feed])
            widen(self.bench, feed.entities[0].name, claim.run)
            if current is not None:
                finish(self.bench, claim, current)
            if current is None or feed.revalidates:  # what a killed run fetched may be old by now
                self._look(claim, feed, reason if current is None else AGAIN)

        self._under_claim(feed, work)

    def _was_killed(self, feed: Feed) -> bool:
        active = self.bench.tracking.runs.active(self.bench.connection, feed.name)
        return active is not None and active["status"] == "lost"

    def _look(self, claim: Claim, feed: Feed, reason: str | None) -> None:
        for _ in range(TRIES):
            if reason is None or self._walk(claim, feed, reason):
                break
        ready = may_close(self.bench, feed)
        if ready is not None:
            finish(self.bench, claim, ready)
        else:  # a close that was killed may have left the table behind
            publish(self.bench, feed.entities[0].name, claim.run)

    def _poll(self, claim: Claim, feed: Feed) -> None:
        self._failed = poll(self.bench, claim, feed, self.options.limit)

    def _walk_due(self, feeds: Sequence[Sequence[Feed]]) -> bool:
        """Walk what is due, each entity's feeds in turn; whether that leaves something that needs one more poll."""
        self._foreign = False
        self._crew.each([partial(self._walk_all, each) for each in feeds])
        return self._foreign or any(self._waits(walked) for each in feeds for walked in each)

    def _walk_all(self, feeds: Sequence[Feed]) -> None:
        for feed in feeds:
            reason = self._wanted(feed)
            if reason is not None:
                self._under_claim(feed, partial(self._walk, feed=feed, reason=reason))

    def _waits(self, feed: Feed) -> bool:
        """Whether a walk of the feed is open and may not close yet, unless nothing of it is there to be closed."""
        if feed.name in self._preparing:
            return False
        is_open = self.bench.tracking.walks.open(self.bench.connection, feed.entities[0].name, feed.scope.name)
        return is_open is not None and may_close(self.bench, feed) is None

    def _wanted(self, feed: Feed) -> str | None:
        asked = self._asked(feed)
        return wanted(self.bench, feed, full_refresh=asked.full_refresh, since=asked.since)

    def _asked(self, feed: Feed) -> Options:
        """What was asked of a feed: now, or when its run began that waited since and may not have begun its walk."""
        active = self.bench.tracking.runs.active(self.bench.connection, feed.name)
        if active is None or active["status"] == "lost":
            return self.options
        before = active["options"]
        return replace(
            self.options,
            full_refresh=self.options.full_refresh or bool(before.get("full_refresh")),
            since=self.options.since or before.get("since"),
        )

    def _walk(self, claim: Claim, feed: Feed, reason: str | None) -> bool:
        """Walk a feed; False if its cursor was foreign: its position is forgotten, and it has to begin again."""
        if reason != AGAIN:
            self.bench.reporter.say(f"{self.bench.connection}.{feed.name}: {feed.work}: {reason}")
        since = self._asked(feed).since
        done = walk(self.bench, claim, feed, self.options.limit, anew=reason != AGAIN, since=since)
        self._foreign = self._foreign or not done
        return done

    def _under_claim(self, feed: Feed, work: Callable[[Claim], object]) -> None:
        """Claim a feed, work, and give the run a final status whatever happens."""
        self.bench.stop.check()
        runs = self.bench.tracking.runs
        try:
            alert = died(self.bench.connection, feed)
            claim = runs.claim(self.bench.connection, feed.name, vars(self.options), alert)
        except (BusyError, WaitingError) as error:
            status = "waiting" if isinstance(error, WaitingError) else "busy"
            self._note("", feed, status, str(error), error.until)
            return
        self._refused_before[feed.name] = self._refused(feed)
        with self.bench.heart.keeps(runs.renew, claim):
            self._attempt(claim, feed, work)

    def _attempt(self, claim: Claim, feed: Feed, work: Callable[[Claim], object]) -> None:
        try:
            error = _failure(partial(work, claim))
            self._note_end(claim, feed, error)
        except LostClaimError as lost:
            self._note(claim.run, feed, "lost", str(lost))
        except (KeyboardInterrupt, StoppedError):
            self._end(claim, feed, "cancelled", "stopped by a person or a signal")
            raise
        else:
            _raise_bugs([error, *self._broken.values()])

    def _note_end(self, claim: Claim, feed: Feed, error: Exception | None) -> None:
        """How the run ended; it waits without us if the remote system asked for so long a pause."""
        if isinstance(error, NotReadyError):
            self._preparing.add(feed.name)
        if isinstance(error, ThrottledError):
            until = self.bench.tracking.runs.wait(claim, error.wait, self._counts(feed), str(error))
            self._note(claim.run, feed, "waiting", str(error), until)
        elif error is not None:
            self._end(claim, feed, "failed", str(error) or type(error).__name__, isinstance(error, ConfigError))
        else:
            self._end(claim, feed, *self._verdict(feed))

    def _refused(self, feed: Feed) -> int:
        counts = [self.bench.count(entity.name) for entity in feed.entities]
        return sum(count.rejected + count.parked for count in counts)

    def _verdict(self, feed: Feed) -> tuple[str, str | None, bool]:
        """The status of a run that came to its end, its reason, and whether a person has to edit the project."""
        failed = self._failures(feed)
        if failed:
            causes = "; ".join(f"{entity}: {cause}" for entity, cause in failed.items())
            everything = len(failed) == len(feed.entities)
            edit = any(isinstance(cause, ConfigError) for cause in self._broken.values())
            return ("failed" if everything else "partly_succeeded"), causes, edit
        refused = self._refused(feed) - self._refused_before[feed.name]
        return ("partly_succeeded", f"{refused} rejected or parked", False) if refused else ("succeeded", None, False)

    def _end(self, claim: Claim, feed: Feed, status: str, reason: str | None, configuration: bool = False) -> None:
        runs, failed = self.bench.tracking.runs, self._failures(feed)
        before = runs.failures(claim.connection, [feed.name]).get(feed.name) if status == "failed" else None
        alert = run_ended(claim.connection, feed, status, reason, failed, before)
        if not runs.end(claim, status, self._counts(feed), reason, alert):
            reason = "; ".join(filter(None, (reason, "somebody else ended the run meanwhile")))
            status, configuration = "lost", False
        self.outcomes.append(
            Outcome(claim.run, self.bench.connection, feed.name, status, reason, configuration=configuration)
        )

    def _note(self, run: str, feed: Feed, status: str, reason: str | None, until: datetime | None = None) -> None:
        self.outcomes.append(Outcome(run, self.bench.connection, feed.name, status, reason, until))

    def _counts(self, feed: Feed) -> dict[str, dict[str, Any]]:
        """What this command did so far on the feed's entities, and what failed of those that it carries together."""
        failed = self._failures(feed)
        return {
            entity.name: {
                **self.bench.count(entity.name).as_dict(),
                **({"error": str(failed[entity.name])} if entity.name in failed else {}),
            }
            for entity in feed.entities
        }

    def _failures(self, feed: Feed) -> dict[str, Exception]:
        return {**self._failed, **self._broken} if feed.kind == "changes" else {}


def _failure(work: Callable[[], object]) -> Exception | None:
    """What went wrong, whatever it is; a lost claim and a stop concern the whole run and are raised."""
    try:
        work()
    except (LostClaimError, StoppedError):
        raise
    except Exception as error:  # noqa: BLE001 - it is the run's reason, and what nobody foresaw is raised after that
        return error
    return None


def _raise_bugs(errors: Sequence[Exception | None]) -> None:
    """What nobody foresaw is shown with its trace, once the run has its status."""
    for error in errors:
        if error is not None and not isinstance(error, PostroadError | OSError):
            raise error
