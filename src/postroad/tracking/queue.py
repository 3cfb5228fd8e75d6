"""The embedded queue: the table `messages` itself, from which workers take what is due.

Written here: a message's token, holder, lease and the number of its leases. A crash after taking leaves a message whose
lease runs out or whose holder is proven dead; the next `take` gives it to another worker, under another token. Writers
take turns on both databases, so no two get the same message, and nothing needs to be skipped.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from sqlalchemy import BindParameter, Connection, bindparam, select, update

from postroad.errors import LostClaimError
from postroad.status import OPEN, Status
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import messages, subscriptions
from postroad.telemetry import Point
from postroad.tracking.holder import proven_dead, this_process
from postroad.tracking.runs import LEASE

ACTIVE, PAUSED = "active", "paused"
UNPUBLISHED: dict[str, Any] = {
    "published_at": None,
    "confirmed_at": None,
}  # a broker, if there is one, is given it anew
Json = Any

# Made once: making a statement costs SQLAlchemy more than executing it, and every message passes these.
_NOW: BindParameter[int] = bindparam("now")
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
AWAKE = select(subscriptions.c.name).where(
    (subscriptions.c.status == ACTIVE) & (subscriptions.c.due_at <= _NOW) & subscriptions.c.name.in_(_NAMES)
)
_LINE, _OTHER = subscriptions.alias("line"), messages.alias("other")
_OLDEST = (
    select(_OTHER.c.id)
    .where((_OTHER.c.subscription == _LINE.c.name) & _OTHER.c.status.in_(OPEN))
    .order_by(_OTHER.c.from_version, _OTHER.c.id)
    .limit(1)
    .correlate(_LINE)
    .scalar_subquery()
)
_ORDERED = _LINE.c.ordered & _LINE.c.name.in_(_NAMES)
# Where order counts: no message that is older waits, whatever for. So nobody holds another one either.
_IN_TURN = messages.c.subscription.not_in(select(_LINE.c.name).where(_ORDERED)) | messages.c.id.in_(
    select(_OLDEST).where(_ORDERED)
)
_QUEUED = (messages.c.status == Status.QUEUED) & (messages.c.due_at <= _NOW)
DUE = _QUEUED & messages.c.subscription.in_(AWAKE) & _IN_TURN
UNHELD = messages.c.token.is_(None) | (messages.c.lease_until <= _NOW)
_FREE = select(messages).where(DUE & UNHELD).order_by(messages.c.id).limit(1)
_FRESH = (
    select(messages)
    .where(DUE & messages.c.token.is_(None) & (messages.c.leases == 0) & (messages.c.handovers == 0))
    .where(messages.c.records <= bindparam("room"))
    .order_by(messages.c.id)
    .limit(bindparam("most"))
)
_FRESH_ONE = _FRESH.with_only_columns(messages.c.id)
_TAKEN = select(messages).where(DUE & messages.c.token.is_not(None))
_TAKE = update(messages).where(messages.c.id == bindparam("of_message"))
_OURS = (
    (messages.c.id == bindparam("of_message"))
    & (messages.c.token == bindparam("by"))
    & (messages.c.status == Status.QUEUED)
)
_KEPT = (
    "subscription", "number", "slices", "records", "from_version", "to_version", "attempts", "handovers", "handed_at",
    "batch", "batches", "receipt", "dispatched_at",
)  # fmt: skip
_IS_OURS = select(messages.c.id).where(_OURS)
_SET_OURS = update(messages).where(_OURS)


@dataclass(frozen=True)
class Held:
    """A message that we hold, and the token that proves it.

    `slices` is its claim check as JSON; `attempts` counts the answers that asked to try it again, `leases` how often it
    was taken since the last answer, this time included, `handovers` how often it was handed over and no receipt came.
    """

    message: int
    token: str
    subscription: str
    number: int
    slices: Json
    records: int
    from_version: int
    to_version: int
    attempts: int
    leases: int
    handovers: int
    handed_at: int | None
    batch: int
    batches: int
    receipt: str
    dispatched_at: int


class Queue(Protocol):
    """Hands messages to competing workers; what becomes of them stands in the books (`tracking.messages`)."""

    def take(self, names: Sequence[str]) -> Held | None:
        """A message of these subscriptions that is due and that nobody holds, now held by us; None if there is none.

        Paused subscriptions, and those that wait after an outage, give none. Of an ordered one only the oldest that has
        no final answer is given, by the commit that it begins with, and nothing while somebody holds another.
        """
        ...

    def more(self, held: Held, most: int, room: int) -> Sequence[Held]:
        """Further messages for the subscription of one that was just taken, now held by us too; maybe none.

        At most so many, and `room` records in all. Only such as nobody ever took: a message over which a worker died is
        sent alone, so that it can be told from those beside it.
        """
        ...

    def renew(self, helds: Sequence[Held]) -> bool:
        """Hold these longer; False if none of them is ours any more."""
        ...

    def done(self, held: Held) -> None:
        """Its outcome stands in the books, or it was taken over: nobody needs to be given it any more."""
        ...

    def publish(self, names: Sequence[str]) -> None:
        """See to it that what is due in these subscriptions can be taken."""
        ...

    def close(self) -> None:
        """Take no more; what is held stays held until its lease ends."""
        ...


class EmbeddedQueue:
    """The queue of a project that has no broker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._busy = False

    def take(self, names: Sequence[str]) -> Held | None:
        """See `Queue.take`. The oldest first, but only who is ordered may rely on that."""
        # An idle worker looks before it writes; one that has just had a message expects another.
        if not self._busy and not self._any(names):
            return None
        with self._database.write(Point.MESSAGE_TAKEN) as db:
            now = self._database.now(db)
            row = _next(db, names, now)
            self._busy = row is not None
            if row is None:
                return None
            return lease(db, row, now)

    def more(self, held: Held, most: int, room: int) -> Sequence[Held]:
        """See `Queue.more`. One transaction for all of them, and one token."""
        wanted = {"names": [held.subscription], "room": room, "most": most}
        with self._database.read() as db:
            if first(db.execute(_FRESH_ONE, {**wanted, "now": self._database.now(db)})) is None:
                return []
        with self._database.write(Point.MESSAGE_TAKEN) as db:
            now = self._database.now(db)
            rows = many(db.execute(_FRESH, {**wanted, "now": now}))
            fits = list(accumulate(row["records"] for row in rows))
            return lease_fresh(db, [row for row, records in zip(rows, fits, strict=True) if records <= room], now)

    def renew(self, helds: Sequence[Held]) -> bool:
        """See `Queue.renew`. One transaction for all of them."""
        with self._database.write(Point.RUN_RENEWED) as db:
            ours, until = all_ours(db, helds), self._database.now(db) + LEASE
            if ours:
                db.execute(update(messages).where(messages.c.id.in_(ours)).values(lease_until=until))
            return bool(ours)

    def done(self, held: Held) -> None:
        """See `Queue.done`. The books are the queue."""

    def publish(self, names: Sequence[str]) -> None:
        """See `Queue.publish`. What was dispatched can be taken."""

    def close(self) -> None:
        """See `Queue.close`."""

    def _any(self, names: Sequence[str]) -> bool:
        with self._database.read() as db:
            return _next(db, names, self._database.now(db)) is not None


def set_ours(db: Connection, held: Held, **values: Any) -> bool:
    """Set columns of a message that is still queued and ours; False if it is not."""
    return db.execute(_SET_OURS, {"of_message": held.message, "by": held.token, **values}).rowcount == 1


def require_ours(db: Connection, held: Held) -> None:
    """LostClaimError unless a message is still queued and ours: the fence of everything that is written about it."""
    if db.execute(_IS_OURS, {"of_message": held.message, "by": held.token}).first() is None:
        raise taken_over(held)


def taken_over(held: Held) -> LostClaimError:
    """What is told of a message that another worker holds by now."""
    return LostClaimError(f"message {held.number} of {held.subscription} was taken over: drop what we know of it")


def all_ours(db: Connection, helds: Sequence[Held]) -> set[int]:
    """Which of these messages are still queued and ours."""
    tokens = {held.message: held.token for held in helds}
    same = messages.c.id.in_(tokens) & (messages.c.status == Status.QUEUED)
    return {
        row.id for row in db.execute(select(messages.c.id, messages.c.token).where(same)) if row.token == tokens[row.id]
    }


def _next(db: Connection, names: Sequence[str], now: int) -> Row | None:
    """A message that nobody holds, else one whose holder is proven dead; there are as many held ones as workers."""
    wanted = {"names": list(names), "now": now}
    free = first(db.execute(_FREE, wanted))
    if free is not None:
        return free
    return next((row for row in many(db.execute(_TAKEN, wanted)) if proven_dead(row["holder"])), None)


def lease(db: Connection, row: Row, now: int) -> Held:
    """Within the transaction that found it free: a message becomes ours."""
    held = _held(row, secrets.token_hex(8))
    taken = {"token": held.token, "holder": this_process(), "lease_until": now + LEASE, "leases": held.leases}
    db.execute(_TAKE, {"of_message": held.message, **taken})
    return held


def lease_fresh(db: Connection, rows: Sequence[Row], now: int) -> list[Held]:
    """The same of several that nobody ever took, under one token."""
    token = secrets.token_hex(8)
    if rows:
        mine = {"token": token, "holder": this_process(), "lease_until": now + LEASE, "leases": 1}
        db.execute(update(messages).where(messages.c.id.in_([row["id"] for row in rows])).values(**mine))
    return [_held(row, token) for row in rows]


def _held(row: Row, token: str) -> Held:
    return Held(row["id"], token, leases=row["leases"] + 1, **{name: row[name] for name in _KEPT})
