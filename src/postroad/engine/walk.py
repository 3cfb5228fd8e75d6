"""Walk: fetch every page of an entity, staged as they land; decide when a walk is due and when it may close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postroad.engine.bench import Bench
from postroad.engine.close import close
from postroad.engine.land import Fetch, LimitReached
from postroad.engine.stage import BesideFetching, Stager
from postroad.errors import CursorExpiredError
from postroad.tracking.runs import Claim


def wanted(bench: Bench, entity: str, *, full_refresh: bool) -> str | None:
    """Why a walk of this entity is to be begun or gone on with; None if it is not."""
    tracking = bench.tracking
    changes = bench.changes_feed(entity)
    if changes is not None and entity not in (tracking.feeds.cursor(bench.connection, changes.name) or {}):
        return None  # Its position could not be taken: a walk begun now could never close.
    walk = tracking.walks.open(bench.connection, entity)
    if walk is not None:
        return None if walk["fetched"] else "its walk is open"
    if full_refresh:
        return "asked for"
    if bench.dataset(entity).first_load(bench.feed_names(entity)):
        return "first load"
    state = tracking.feeds.entity(bench.connection, entity)
    decided = tracking.walks.decided(bench.connection, entity)
    if decided is not None and decided["begun_landing"] >= (state["due_landing"] or 0):
        return None  # A person decides on the one that we have, or dropped it: another would only park again.
    reason: str | None = state["due_reason"]
    return reason


def walk(bench: Bench, claim: Claim, entity: str, limit: int | None) -> bool:
    """Fetch the pages of an entity from where its open walk stands; False if its cursor turned out to be foreign."""
    tracking = bench.tracking
    feed = bench.walk_feed(entity)
    current = tracking.walks.open(claim.connection, entity) or _begin(bench, claim, entity)
    fetch = Fetch(bench, claim, feed, current["id"])
    try:
        with BesideFetching(Stager(bench, claim, current)) as staging:
            try:
                for row, body in fetch.payloads(tracking.feeds.cursor(claim.connection, feed.name), limit):
                    staging.add(row, body)
            except LimitReached:
                bench.reporter.say(f"{claim.connection}.{entity}: --limit reached, the walk stays open")
    except CursorExpiredError as error:
        _forget(bench, entity, error)
        return False
    return True


def may_close(bench: Bench, entity: str) -> Mapping[str, Any] | None:
    """The open walk of an entity, if its pages and a poll asked after the last of them have landed (sequence 5)."""
    tracking = bench.tracking
    current = tracking.walks.open(bench.connection, entity)
    if current is None or not current["fetched"]:
        return None
    if bench.changes_feed(entity) is None:
        return current
    head = tracking.feeds.entity(bench.connection, entity)["head_landing"]
    return current if head is not None and head >= current["last_landing"] else None


def finish(bench: Bench, claim: Claim, current: Mapping[str, Any]) -> bool:
    """Stage what is missing and close a walk; False if a guard parked it."""
    stager = Stager(bench, claim, current)
    stager.catch_up()
    stager.finish()
    return close(bench, current, claim.run)


def _begin(bench: Bench, claim: Claim, entity: str) -> Mapping[str, Any]:
    forecast = bench.source.forecast(bench.walk_feed(entity))
    if forecast:
        bench.reporter.say(f"{claim.connection}.{forecast}")
    version = bench.tracking.leases.version(bench.dataset(entity).fence())
    return bench.tracking.walks.begin(claim, entity, version)


def _forget(bench: Bench, entity: str, error: CursorExpiredError) -> None:
    tracking = bench.tracking
    changes = bench.changes_feed(entity)
    bench.reporter.say(f"{bench.connection}.{entity}: {error}; its full refresh begins again")
    if changes is None:
        tracking.feeds.reset(bench.connection, bench.walk_feed(entity).name, entity, str(error))
    else:
        tracking.feeds.forget(bench.connection, changes.name, [entity], str(error), foreign=error.foreign)
