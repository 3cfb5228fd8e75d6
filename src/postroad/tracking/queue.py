"""The embedded queue: the table `messages` itself, from which workers take what is due.

Written here: a message's token, holder, lease and the number of its leases. A crash after taking leaves a message whose
lease runs out or whose holder is proven dead; the next `take` gives it to another worker, under another token. Writers
take turns on both databases, so no two get the same message, and nothing needs to be skipped.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, select, update

from postroad.errors import LostClaimError
from postroad.status import Status
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import messages, subscriptions
from postroad.telemetry import Point
from postroad.tracking.holder import proven_dead, this_process
from postroad.tracking.runs import LEASE

ACTIVE, PAUSED = "active", "paused"
Json = Any


@dataclass(frozen=True)
class Held:
    """A message that we hold, and the token that proves it.

    `slices` is its claim check as JSON; `attempts` counts the answers that asked to try it again, `leases` how often it
    was taken since the last answer, this time included.
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


class Queue(Protocol):
    """Hands messages to competing workers; what becomes of them stands in the books (`tracking.messages`)."""

    def take(self, names: Sequence[str]) -> Held | None:
        """A message of these subscriptions that is due and that nobody holds, now held by us; None if there is none.

        Paused subscriptions, and those that wait after an outage, give none.
        """
        ...

    def renew(self, held: Held) -> bool:
        """Hold it longer; False if it is not ours any more."""
        ...


class EmbeddedQueue:
    """The queue of a project that has no broker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, names: Sequence[str]) -> Held | None:
        """See `Queue.take`. The oldest first, but nobody may rely on an order."""
        if not self._any(names):
            return None
        with self._database.write(Point.MESSAGE_TAKEN) as db:
            now = self._database.now(db)
            row = first(db.execute(_free(names, now))) or _orphan(db, names, now)
            if row is None:
                return None
            held = _held(row, secrets.token_hex(8))
            taken = {"token": held.token, "holder": this_process(), "lease_until": now + LEASE, "leases": held.leases}
            db.execute(update(messages).where(messages.c.id == held.message).values(**taken))
            return held

    def renew(self, held: Held) -> bool:
        """See `Queue.renew`."""
        with self._database.write(Point.RUN_RENEWED) as db:
            now = self._database.now(db)
            return db.execute(update(messages).where(mine(held)).values(lease_until=now + LEASE)).rowcount == 1

    def _any(self, names: Sequence[str]) -> bool:
        """Spares an idle worker a write transaction every other second."""
        with self._database.read() as db:
            now = self._database.now(db)
            return first(db.execute(_free(names, now))) is not None or _orphan(db, names, now) is not None


def mine(held: Held) -> Any:
    """The condition that a message is still queued and ours: the fence of everything that is written about it."""
    return (messages.c.id == held.message) & (messages.c.token == held.token) & (messages.c.status == Status.QUEUED)


def require_mine(db: Connection, held: Held) -> None:
    """LostClaimError unless it is."""
    if db.execute(select(messages.c.id).where(mine(held))).first() is None:
        raise LostClaimError(f"message {held.number} of {held.subscription} was taken over: drop what we know of it")


def _due(names: Sequence[str], now: int) -> Any:
    awake = (subscriptions.c.status == ACTIVE) & (subscriptions.c.due_at <= now)
    wanted = (messages.c.status == Status.QUEUED) & (messages.c.due_at <= now) & messages.c.subscription.in_(names)
    return wanted & messages.c.subscription.in_(select(subscriptions.c.name).where(awake))


def _free(names: Sequence[str], now: int) -> Any:
    free = messages.c.token.is_(None) | (messages.c.lease_until <= now)
    return select(messages).where(_due(names, now) & free).order_by(messages.c.id).limit(1)


def _orphan(db: Connection, names: Sequence[str], now: int) -> Row | None:
    """A held message whose holder is proven dead; there are as many held ones as workers."""
    held = many(db.execute(select(messages).where(_due(names, now) & messages.c.token.is_not(None))))
    return next((row for row in held if proven_dead(row["holder"])), None)


def _held(row: Row, token: str) -> Held:
    named = ("subscription", "number", "slices", "records", "from_version", "to_version", "attempts")
    return Held(row["id"], token, leases=row["leases"] + 1, **{name: row[name] for name in named})
