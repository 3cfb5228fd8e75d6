"""Runs: claim, renew, wait, end (run_engine.md).

Written only here: the table `runs`. A claim is one transaction; a crash just before it leaves nothing, a crash after
it leaves a `running` run whose lease runs out or whose holder is proven dead, and the next claim of that feed marks it
`lost` and names its successor. Statuses that a crash could make false are computed when shown (`true_status`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from postroad.errors import BusyError, LostClaimError, WaitingError
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import payloads, runs
from postroad.telemetry import Point
from postroad.tracking.alerts import Alert, Alerts
from postroad.tracking.holder import proven_dead, this_process

LEASE = 60_000_000  # microseconds; renewed at a quarter of it
DAY = 24 * 3600 * 1_000_000
KEEP_SUCCEEDED, KEEP_OTHERS = 30 * DAY, 180 * DAY
AT_ONCE = 100  # old runs that a claim forgets: a small transaction
GOOD = ("succeeded", "partly_succeeded")
FINAL = ("succeeded", "partly_succeeded", "failed", "cancelled", "lost")

# Statements of every payload, stage and status are made once: making one costs SQLAlchemy more than executing it.
_MINE = (runs.c.id == bindparam("claimed")) & (runs.c.token == bindparam("by")) & (runs.c.status == "running")
_FENCE = select(runs.c.cancel).where(_MINE)
_RENEW = update(runs).where(_MINE & runs.c.cancel.is_(False)).values(lease_until=bindparam("until"))
_OF_FEED = (runs.c.connection == bindparam("of_connection")) & (runs.c.feed == bindparam("of_feed"))
_IS_ACTIVE = _OF_FEED & runs.c.status.in_(("running", "waiting"))
_ACTIVE = select(runs).where(_IS_ACTIVE)
_LAST_ENDED = (
    select(runs).where(_OF_FEED & runs.c.status.in_((*GOOD, "failed"))).order_by(runs.c.ended_at.desc()).limit(1)
)
_OF_FEEDS = (runs.c.connection == bindparam("of_connection")) & runs.c.feed.in_(bindparam("feeds", expanding=True))
# The end of the last run of each feed that did not fail.
_GOOD = (
    select(runs.c.feed, func.max(runs.c.ended_at).label("at"))
    .where(_OF_FEEDS & runs.c.status.in_(GOOD))
    .group_by(runs.c.feed)
)


def _failures() -> Select[tuple[str, int, str]]:
    good = _GOOD.subquery()
    failed = _OF_FEEDS & (runs.c.status == "failed")
    later = failed & (good.c.at.is_(None) | (runs.c.ended_at > good.c.at))
    first_and_last = (func.min(runs.c.ended_at).label("since"), func.max(runs.c.ended_at).label("last"))
    beside = runs.outerjoin(good, runs.c.feed == good.c.feed)
    spans = select(runs.c.feed, *first_and_last).select_from(beside).where(later).group_by(runs.c.feed).subquery()
    last = failed & (runs.c.feed == spans.c.feed) & (runs.c.ended_at == spans.c.last)
    return select(runs.c.feed, spans.c.since, runs.c.reason).join(spans, last)


_FAILURES = _failures()


@dataclass(frozen=True)
class Claim:
    """Our right to work on one feed, proven by a token that no other claim ever had."""

    run: str
    connection: str
    feed: str
    token: str


@dataclass(frozen=True)
class Failure:
    """That the runs of a feed fail: since when (UTC), and why the last one did."""

    since: datetime
    reason: str


class Runs:
    """All runs of a project."""

    def __init__(self, database: Database, product_version: str, alerts: Alerts) -> None:
        self._database = database
        self._product_version = product_version
        self._alerts = alerts

    def claim(self, connection: str, feed: str, options: Mapping[str, Any], died: Alert | None = None) -> Claim:
        """Claim the feed for this process; goes on with a run that waited, succeeds one that was lost.

        `died` is noted where that one had succeeded a lost one itself. Raises BusyError while another live process
        holds it, WaitingError until the time that a waiting run waits for.
        """
        with self._database.write(Point.RUN_CLAIMED) as db:
            now = self._database.now(db)
            db.execute(delete(runs).where(runs.c.id.in_(_outlived(now))))
            active = self._active(db, connection, feed)
            if active is not None and active["status"] == "waiting":
                return self._resume(db, active, now)
            run = _run_id(now)
            if active is not None:
                self._lose(db, active, run, now)
                if died is not None and db.execute(select(runs.c.id).where(runs.c.successor == active["id"])).first():
                    self._alerts.note(db, replace(died, since=active["started_at"]))
            claim = Claim(run, connection, feed, secrets.token_hex(8))
            db.execute(
                insert(runs).values(
                    id=run,
                    connection=connection,
                    feed=feed,
                    status="running",
                    product_version=self._product_version,
                    options=dict(options),
                    counts={},
                    started_at=now,
                    cancel=False,
                    **_held(claim.token, now),
                )
            )
            return claim

    def renew(self, claim: Claim) -> bool:
        """Push the lease out; False if the claim is not ours any more or the run was cancelled."""
        with self._database.write(Point.RUN_RENEWED) as db:
            mine = {"claimed": claim.run, "by": claim.token}
            return db.execute(_RENEW, {**mine, "until": self._database.now(db) + LEASE}).rowcount == 1

    def fence(self, db: Connection, claim: Claim) -> None:
        """Within a write transaction: LostClaimError unless the claim is still ours and nobody cancelled the run."""
        row = db.execute(_FENCE, {"claimed": claim.run, "by": claim.token}).first()
        if row is None or row.cancel:
            raise _gone(claim)

    def end(
        self,
        claim: Claim,
        status: str,
        counts: Mapping[str, Any],
        reason: str | None = None,
        alert: Alert | None = None,
    ) -> bool:
        """Give the run its final status, and note what is to be told of it; False if the claim is not ours any more."""
        with self._database.write(Point.RUN_ENDED) as db:
            values = {"status": status, "reason": reason, "counts": dict(counts), "token": None, "lease_until": None}
            done = db.execute(update(runs).where(_mine(claim)).values(ended_at=self._database.now(db), **values))
            if done.rowcount == 1 and alert is not None:
                self._alerts.note(db, alert)
            return done.rowcount == 1

    def wait(self, claim: Claim, seconds: float, counts: Mapping[str, Any], reason: str) -> datetime:
        """Make the run `waiting` and give the claim back; the time (UTC) at which it may go on.

        Raises LostClaimError if the claim is not ours any more.
        """
        with self._database.write(Point.RUN_ENDED) as db:
            now = self._database.now(db)
            until = now + int(seconds * 1e6)
            values: dict[str, Any] = {"status": "waiting", "reason": reason, "counts": dict(counts)}
            values |= {"token": None, "holder": None}
            values |= {"wait_until": until, "wait_begun_at": _waits_since(db, claim, now), "lease_until": None}
            done = db.execute(update(runs).where(_mine(claim)).values(**values))
            if done.rowcount != 1:
                raise _gone(claim)
            return moment(until)

    def stop(self, db: Connection, connection: str, feed: str, reason: str) -> None:
        """Within a write transaction: end whatever run is active on the feed; its next durable write is refused."""
        values = {"status": "cancelled", "reason": reason, "token": None, "ended_at": self._database.now(db)}
        db.execute(update(runs).where(_IS_ACTIVE), {"of_connection": connection, "of_feed": feed, **values})

    def active(self, connection: str, feed: str) -> Row | None:
        """The run that works on the feed or waits, with its true status; None if nobody does."""
        with self._database.read() as db:
            row = self._active(db, connection, feed)
            return None if row is None else {**row, "status": true_status(row, self._database.now(db))}

    def list(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest runs first, each with its true status."""
        with self._database.read() as db:
            now = self._database.now(db)
            rows = db.execute(select(runs).order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(limit))
            return [{**row, "status": true_status(row, now)} for row in many(rows)]

    def looked(self, connection: str, feeds: Sequence[str]) -> dict[str, datetime]:
        """When the last run of each feed that did not fail came to its end (UTC)."""
        with self._database.read() as db:
            found = db.execute(_GOOD, {"of_connection": connection, "feeds": feeds}).all()
        return {row.feed: moment(row.at) for row in found}

    def failures(self, connection: str, feeds: Sequence[str]) -> dict[str, Failure]:
        """The feeds whose runs fail: those since the last one that did not. Cancelled and lost ones do not count."""
        with self._database.read() as db:
            found = db.execute(_FAILURES, {"of_connection": connection, "feeds": feeds}).all()
        return {row.feed: Failure(moment(row.since), str(row.reason)) for row in found}

    def errors(self, connection: str, feed: str) -> dict[str, Failure]:
        """What failed of single entities in the last run of a feed that came to its end."""
        with self._database.read() as db:
            last = first(db.execute(_LAST_ENDED, {"of_connection": connection, "of_feed": feed}))
        counts = {} if last is None else last["counts"]
        return {
            entity: Failure(moment(last["ended_at"]), count["error"])
            for entity, count in counts.items()
            if last is not None and "error" in count
        }

    def _active(self, db: Connection, connection: str, feed: str) -> Row | None:
        return first(db.execute(_ACTIVE, {"of_connection": connection, "of_feed": feed}))

    def _resume(self, db: Connection, waiting: Row, now: int) -> Claim:
        if waiting["wait_until"] > now:
            until = moment(waiting["wait_until"])
            raise WaitingError(f"{waiting['reason']}; the run waits until {until:%Y-%m-%d %H:%M:%S} UTC", until)
        claim = Claim(waiting["id"], waiting["connection"], waiting["feed"], secrets.token_hex(8))
        held = {"status": "running", "wait_until": None, **_held(claim.token, now)}
        db.execute(update(runs).where(runs.c.id == claim.run).values(**held))
        return claim

    def _lose(self, db: Connection, active: Row, successor: str, now: int) -> None:
        if true_status(active, now) == "running":
            until = moment(active["lease_until"])
            where = f"{active['holder']['host']}, process {active['holder']['pid']}"
            name = f"{active['connection']}.{active['feed']}"
            raise BusyError(f"{name} is being run by {where}, until {until:%Y-%m-%d %H:%M:%S} UTC at least", until)
        lost = {"status": "lost", "reason": "its process died", "token": None, "ended_at": now, "successor": successor}
        db.execute(update(runs).where(runs.c.id == active["id"]).values(**lost))


def true_status(run: Row, now: int) -> str:
    """The status to show: a run whose lease ran out or whose holder is proven dead is lost before anyone claims it."""
    if run["status"] == "running" and (run["lease_until"] <= now or proven_dead(run["holder"])):
        return "lost"
    return str(run["status"])


def moment(microseconds: int) -> datetime:
    """A stored time as an aware datetime."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _waits_since(db: Connection, claim: Claim, now: int) -> int:
    """When a run that waits once more began to wait: a look between two waits that landed nothing ends none."""
    before = db.execute(select(runs.c.wait_begun_at).where(runs.c.id == claim.run)).scalar()
    mine = (payloads.c.connection == claim.connection) & (payloads.c.feed == claim.feed)
    newest = select(payloads.c.received_at).where(mine).order_by(payloads.c.number.desc()).limit(1)
    return now if before is None or (db.execute(newest).scalar() or 0) > before else int(before)


def _outlived(now: int) -> Select[tuple[str]]:
    """Runs that are forgotten (run_engine.md, rule 12); what they landed stays."""
    succeeded = (runs.c.status == "succeeded") & (runs.c.ended_at < now - KEEP_SUCCEEDED)
    return select(runs.c.id).where(succeeded | (runs.c.ended_at < now - KEEP_OTHERS)).limit(AT_ONCE)


def _run_id(now: int) -> str:
    return f"{moment(now):%Y%m%dT%H%M%S}{secrets.token_hex(3)}"


def _held(token: str, now: int) -> dict[str, Any]:
    return {"token": token, "holder": this_process(), "lease_until": now + LEASE}


def _gone(claim: Claim) -> LostClaimError:
    return LostClaimError(f"run {claim.run} of {claim.connection}.{claim.feed} was taken over or ended")


def _mine(claim: Claim) -> Any:
    return (runs.c.id == claim.run) & (runs.c.token == claim.token) & (runs.c.status == "running")
