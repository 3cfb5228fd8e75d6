"""Walk: fetch every page of a scope, staged as they land; decide when a walk is due and when it may close."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from postroad.engine.alerts import replaced
from postroad.engine.bench import Bench
from postroad.engine.close import close, missing_keys
from postroad.engine.land import Fetch, LimitReached
from postroad.engine.scope import scope_of
from postroad.engine.stage import BesideFetching, Stager
from postroad.errors import CursorExpiredError
from postroad.project.days import since_day
from postroad.records import ALL, Feed, Payload, Scope, Want
from postroad.tracking.runs import Claim

AGAIN = "looked at again"


def wanted(bench: Bench, feed: Feed, *, full_refresh: bool, since: str | None = None) -> str | None:
    """Why a walk of this feed is to be begun or gone on with; None if it is not."""
    entity = feed.entities[0].name
    changes = bench.changes_feed(entity)
    if changes is not None and entity not in (bench.tracking.feeds.cursor(bench.connection, changes.name) or {}):
        return None  # Its position could not be taken: a walk begun now could never close.
    walk = bench.tracking.walks.open(bench.connection, entity, feed.scope.name)
    if walk is not None:
        return None if walk["fetched"] and walk["confirmed"] else "its walk is open"
    if feed.scope.moves:
        return _sweep(bench, feed, entity) if feed.scope.sweeps else _reload(bench, feed, entity, since)
    if full_refresh:
        return "asked for"
    if never_loaded(bench, feed, entity):
        return "first load"
    return _due(bench, feed, entity) or (None if changes is not None else _again(bench, feed, entity))


def never_loaded(bench: Bench, feed: Feed, entity: str) -> bool:
    """Whether nothing of this feed's scope is in the lake yet; judged from the lake."""
    dataset = bench.dataset(entity)
    if feed.scope.column is None:
        return dataset.first_load(bench.feed_names(entity))
    return dataset.position(feed.name) is None


def _due(bench: Bench, feed: Feed, entity: str) -> str | None:
    state = bench.tracking.feeds.entity(bench.connection, entity)
    owed = state["due_landing"] or 0
    for last in (bench.tracking.walks.decided, bench.tracking.walks.closed):
        walk = last(bench.connection, entity, feed.scope.name)
        if walk is not None and state["due_reason"] and walk["begun_landing"] >= owed:
            # A person decides on the one that we have, or dropped it: another would only park again.
            return None
    reason: str | None = state["due_reason"]
    return reason


def _again(bench: Bench, feed: Feed, entity: str) -> str | None:
    """Without a feed of changes, looking again is the only way to see them."""
    if feed.revalidates:
        return AGAIN if feed.every is None or _long_ago(bench, feed, feed.every) else None
    last = bench.tracking.walks.closed(bench.connection, entity, feed.scope.name)
    over = last is None or feed.every is None or bench.now() >= last["begun_at"] / 1e6 + feed.every
    return "no feed of changes: refreshed and compared" if over else None


def _long_ago(bench: Bench, feed: Feed, every: float) -> bool:
    """Whether the last good look, which leaves no walk where nothing changed, is so many seconds ago."""
    looked = bench.tracking.runs.looked(bench.connection, [feed.name]).get(feed.name)
    return looked is None or bench.now() >= looked.timestamp() + every


def _reload(bench: Bench, feed: Feed, entity: str, since: str | None) -> str | None:
    """A part is reloaded when somebody asks, or when the flow says so and it is time; never before the whole."""
    if any(never_loaded(bench, each, entity) for each in bench.walk_feeds(entity) if not each.scope.moves):
        return None
    if bench.tracking.feeds.entity(bench.connection, entity)["due_reason"]:
        return None
    if since is not None:
        return f"since {since} asked for"
    reload = bench.rule(entity).reload
    if reload is None:
        return None
    last = bench.tracking.walks.closed(bench.connection, entity, feed.scope.name)
    over = last is None or bench.now() >= last["begun_at"] / 1e6 + reload.every
    return f"since {since_day(reload.since, bench.now())}, every {reload.every / 3600:g} h" if over else None


def _sweep(bench: Bench, feed: Feed, entity: str) -> str | None:
    """Keys are compared when the flow says so and it is time; never while rows are walked, or are due to be."""
    every = bench.rule(entity).sweep_deletes
    walks = bench.tracking.walks
    rows = [each for each in bench.walk_feeds(entity) if not each.scope.moves]
    if every is None or bench.tracking.feeds.entity(bench.connection, entity)["due_reason"]:
        return None
    if any(never_loaded(bench, each, entity) or walks.open(bench.connection, entity, each.scope.name) for each in rows):
        return None
    swept = [look(bench.connection, entity, feed.scope.name) for look in (walks.closed, walks.decided)]
    walked = [walks.closed(bench.connection, entity, each.scope.name) for each in rows]  # which finds what is gone too
    begun = [each["begun_at"] for each in swept if each is not None]
    begun.append(min(each["begun_at"] if each is not None else 0 for each in walked))
    over = bench.now() >= max(begun) / 1e6 + every
    return (f"every {every / 3600:g} h" if every else "at each run") if over else None


def walk(bench: Bench, claim: Claim, feed: Feed, limit: int | None, *, anew: bool, since: str | None = None) -> bool:
    """Fetch the pages of a scope from where its open walk stands; False if its cursor turned out to be foreign.

    `anew` fetches a scope again even if its source says that it is unchanged.
    """
    entity = feed.entities[0].name
    tracking = bench.tracking
    current = tracking.walks.open(claim.connection, entity, feed.scope.name)
    first: Iterator[Payload] | None = None
    try:
        if current is None and feed.revalidates and not anew:
            first = _changed(bench, claim, feed)
            if first is None:
                bench.reporter.say(f"{claim.connection}.{feed.name}: unchanged")
                return True
        if current is None:
            current = _begin(bench, claim, feed, since)
        fetch = Fetch(bench, claim, feed, scope_of(current), current["id"])
        if not current["fetched"]:
            _pages(bench, claim, fetch, current, first, limit)
        _confirm(bench, claim, fetch, current["id"])
    except CursorExpiredError as error:
        _forget(bench, feed, entity, error)
        return False
    return True


def _changed(bench: Bench, claim: Claim, feed: Feed) -> Iterator[Payload] | None:
    """The fetch of a source that can tell whether it has changed; None if it has not.

    What only moves the cursor is no change: the same content under another tag, which a later look asks by.
    """
    feeds = bench.tracking.feeds
    cursor = feeds.cursor(claim.connection, feed.name)
    answers = bench.source.fetch(feed, Want(cursor, tuple(entity.name for entity in feed.entities), feed.scope))
    for payload in answers:
        if payload.body is not None:
            return chain([payload], answers)
        feeds.land(claim, payload, None, 0, None)
    return None


def _pages(
    bench: Bench,
    claim: Claim,
    fetch: Fetch,
    current: Mapping[str, Any],
    first: Iterator[Payload] | None,
    limit: int | None,
) -> None:
    name = f"{claim.connection}.{fetch.feed.name}"
    cursor = bench.tracking.feeds.cursor(claim.connection, fetch.feed.name)
    with BesideFetching(Stager(bench, claim, current)) as staging:
        try:
            for row, body in fetch.payloads(cursor, limit, first):
                staging.add(row, body)
        except LimitReached:
            bench.reporter.say(f"{name}: --limit reached, the walk stays open")


def _confirm(bench: Bench, claim: Claim, fetch: Fetch, number: int) -> None:
    """Ask for the keys that a scope's pages lack, where a row can leave the scope alive (sequence 12).

    What comes back is one more page of the walk. A kill asks again for the keys that are still missing.
    """
    current = bench.tracking.walks.get(number)
    if not current["fetched"] or current["confirmed"]:
        return
    keys = missing_keys(bench, current, claim.run)
    if keys.num_rows:
        bench.reporter.say(f"{bench.connection}.{current['entity']}: asking for {keys.num_rows:,} rows that left")
        cursor = bench.tracking.feeds.cursor(claim.connection, fetch.feed.name)
        with BesideFetching(Stager(bench, claim, current)) as staging:
            for row, body in fetch.rows_of(keys, cursor):
                staging.add(row, body)
    bench.tracking.walks.confirm(claim, number)


def may_close(bench: Bench, feed: Feed) -> Mapping[str, Any] | None:
    """The open walk of a scope, if its pages and a poll asked after the last of them have landed (sequence 5)."""
    tracking = bench.tracking
    entity = feed.entities[0].name
    current = tracking.walks.open(bench.connection, entity, feed.scope.name)
    if current is None or not current["fetched"] or not current["confirmed"]:
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
    return close(bench, {**bench.tracking.walks.get(current["id"]), "allowed": current["allowed"]}, claim.run)


def _begin(bench: Bench, claim: Claim, feed: Feed, since: str | None) -> Mapping[str, Any]:
    entity = feed.entities[0].name
    if feed.scope == ALL:
        forecast = bench.source.forecast(feed)
        if forecast:
            bench.reporter.say(f"{claim.connection}.{forecast}")
    version = bench.tracking.leases.version(bench.dataset(entity).fence())
    return bench.tracking.walks.begin(claim, entity, version, _bounded(bench, feed, entity, since))


def _bounded(bench: Bench, feed: Feed, entity: str, since: str | None) -> Scope:
    """The scope of a walk that begins now: a moving one gets its first day."""
    if not feed.scope.moves or feed.scope.sweeps:
        return feed.scope
    reload = bench.rule(entity).reload
    said = since or (reload.since if reload else None)
    if said is None:
        raise LookupError(f"{feed.name} was begun without a day")
    return Scope(feed.scope.name, feed.scope.column, at_least=since_day(said, bench.now()), moves=True)


def _forget(bench: Bench, feed: Feed, entity: str, error: CursorExpiredError) -> None:
    tracking = bench.tracking
    changes = bench.changes_feed(entity)
    bench.reporter.say(f"{bench.connection}.{entity}: {error}; its full refresh begins again")
    alert = replaced(bench.connection, [entity], str(error)) if error.foreign else None
    if changes is None:
        tracking.feeds.reset(bench.connection, feed.name, entity, str(error), alert=alert)
    else:
        names, foreign = [entity], error.foreign
        tracking.feeds.forget(bench.connection, changes.name, names, str(error), foreign=foreign, alert=alert)
