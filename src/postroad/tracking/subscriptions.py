"""Subscriptions: what each delivery has dispatched so far, whether it is paused, and when it may be tried again.

Written here and, with a message's outcome, by `messages`: the table `subscriptions`. A subscription begins in the
transaction of its first messages: a crash before leaves nothing, a crash after it all. Pausing and resuming is one
transaction each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from postroad.errors import ConfigError, LostClaimError
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import subscriptions
from postroad.telemetry import Point
from postroad.tracking.queue import ACTIVE, PAUSED

_ANSWERED = update(subscriptions).where(
    subscriptions.c.name == bindparam("named")
)  # made once: every message passes it
LONGEST = 300_000_000  # microseconds between two tries of a receiver that is down


@dataclass(frozen=True)
class Wanted:
    """A subscription as the project describes it.

    `start` says what its first messages hold, `cleaning` is a digest of what its delivery makes of the rows. `ordered`:
    its messages are sent in the order of their commits, one at a time.
    """

    name: str
    dataset: str
    destination: str
    target: str
    start: str
    cleaning: str = ""
    ordered: bool = False


class Subscriptions:
    """The subscriptions of a project."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Row | None:
        """One subscription; None before its first messages."""
        with self._database.read() as db:
            return first(db.execute(select(subscriptions).where(subscriptions.c.name == name)))

    def all(self) -> list[Row]:
        """Every subscription that ever dispatched anything, by name."""
        with self._database.read() as db:
            return many(db.execute(select(subscriptions).order_by(subscriptions.c.name)))

    def pause(self, name: str, reason: str) -> None:
        """Send nothing more; messages go on being dispatched. A message that is being sent is settled."""
        self._set(name, status=PAUSED, reason=reason)

    def resume(self, name: str) -> None:
        """Go on, at once."""
        self._set(name, status=ACTIVE, reason=None, failures=0, due_at=0)

    def _set(self, name: str, **values: Any) -> None:
        with self._database.write(Point.SUBSCRIPTION_SET) as db:
            if db.execute(update(subscriptions).where(_named(name)).values(**values)).rowcount != 1:
                raise ConfigError(f"'{name}' has delivered nothing yet; take its line out of the flow, or run it first")


def advance(db: Connection, wanted: Wanted, known: Row | None, offset: int, last_number: int, now: int) -> None:
    """Within the transaction of its messages: everything up to `offset` is dispatched.

    Compare-and-set: LostClaimError if somebody else has dispatched since `known` was read.
    """
    values = {"offset": offset, "last_number": last_number}
    if known is not None:
        same = _named(wanted.name) & (subscriptions.c.offset == known["offset"])
        same &= subscriptions.c.last_number == known["last_number"]
        if db.execute(update(subscriptions).where(same).values(**values)).rowcount != 1:
            raise LostClaimError(f"{wanted.name}: somebody else dispatches")
        return
    if first(db.execute(select(subscriptions.c.name).where(_named(wanted.name)))) is not None:
        raise LostClaimError(f"{wanted.name}: somebody else has begun it")
    begun = {"status": ACTIVE, "failures": 0, "due_at": 0, "begun_at": now, **vars(wanted), **values}
    db.execute(insert(subscriptions).values(**begun))


def answered(db: Connection, name: str, outcome: str, now: int) -> None:
    """Within the transaction of an outcome: the receiver answers, so nothing waits any more."""
    values = {"failures": 0, "due_at": 0, "last_outcome": outcome, "last_outcome_at": now}
    db.execute(_ANSWERED, {"named": name, **values})


def failed(db: Connection, name: str, reason: str, now: int, wait: float | None, *, pause: bool) -> int:
    """Within the transaction that puts a message back: when the receiver is tried again; a person decides if paused.

    Twice as long after each failure, or as long as the receiver said.
    """
    row = first(db.execute(select(subscriptions.c.failures).where(_named(name))))
    failures = (row["failures"] if row else 0) + 1
    pause_us = min(2 ** min(failures, 30) * 1_000_000, LONGEST) if wait is None else int(wait * 1e6)
    values: dict[str, Any] = {"failures": failures, "due_at": now + pause_us}
    if pause:
        values |= {"status": PAUSED, "reason": reason}
    told = {"last_outcome": reason, "last_outcome_at": now}
    db.execute(update(subscriptions).where(_named(name)).values(**values, **told))
    return now + pause_us


def next_numbers(known: Row | None, count: int) -> Sequence[int]:
    """The numbers of the next messages of a subscription."""
    last = known["last_number"] if known is not None else 0
    return range(last + 1, last + count + 1)


def _named(name: str) -> Any:
    return subscriptions.c.name == name
