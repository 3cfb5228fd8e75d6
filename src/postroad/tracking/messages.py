"""Messages: what of a dataset was dispatched to a subscription, as claim checks, and what the receiver said of it.

Written only here, apart from their leases (`queue`) and their end (`audit`): the tables `messages` and `moves`.
Messages and their subscription's offset are one transaction: a crash before it leaves nothing, and the same rows are
dispatched again; a crash after it leaves messages that any worker drains. A message's outcome, the children that carry
on what it left unanswered, and the rejections of its records are one transaction too, fenced by the token of its lease:
a crash before it leaves the message queued, and it is sent again, which the receiver's versions make harmless; a worker
that slept through its lease can write nothing. Nothing is written for a record that was accepted.

A message that is handed over stays queued, is marked, and due when its receipt should have come: a crash before that
sends it again. What a receipt says is one transaction, whoever holds the message: it is true however late it comes. A
crash before it brings the receipt again, after it the message is settled already.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Connection, Text, cast, func, insert, select, update

from postroad.errors import BusyError, LostClaimError, StateError
from postroad.status import HELD, OPEN, Status
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import messages, subscriptions
from postroad.telemetry import Point
from postroad.tracking.holder import proven_dead
from postroad.tracking.moves import move_message, move_queued, note_move, note_new
from postroad.tracking.queue import UNPUBLISHED, Held, Json, all_ours, require_ours, set_ours
from postroad.tracking.rejections import Newer, Refused, Rejections
from postroad.tracking.runs import moment
from postroad.tracking.subscriptions import Wanted, advance, answered, failed, next_numbers

WORKER, RECEIPT = "worker", "receipt"
EXPIRED = "expired"
AWAITED = (Status.QUEUED, Status.IN_DOUBT)  # what a receipt may settle
_FREE = {"token": None, "holder": None, "lease_until": None, "leases": 0}
AT_ONCE = 1_000  # messages that one statement writes
_NEW_ALL = insert(messages).returning(messages.c.id, sort_by_parameter_order=True)
_NEW = insert(messages).returning(messages.c.id)  # made once, as are those of the other books


@dataclass(frozen=True)
class Draft:
    """A message to be written: its claim check as JSON, its records, and the versions that these lie between."""

    slices: Json
    records: int
    from_version: int
    to_version: int


@dataclass(frozen=True)
class Child:
    """Records of a message that go on in one of their own: their claim check, and in how many seconds it is due."""

    slices: Json
    records: int
    attempts: int = 0
    wait: float = 0.0


@dataclass
class Answer:
    """What became of the records of a message. `accepted` counts those that the receiver holds.

    `newer` gives, of keys that have an open rejection, the versions that it holds now; None where it holds none.
    `left_out` counts the rows that the delivery's `where` leaves out. `by` is whose word it is that the receiver holds
    them, where it is not its own.
    """

    accepted: int = 0
    left_out: int = 0
    refused: list[Refused] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    newer: Newer | None = None
    by: str = ""

    def status(self) -> tuple[Status, str]:
        """How the message itself ends, and what a person is told."""
        by = f" ({self.by})" if self.by else ""
        told = [f"{self.accepted:,} acknowledged{by}"] if self.accepted else []
        told += [f"{len(self.refused):,} rejected"] if self.refused else []
        told += [f"{self.left_out:,} left out by where"] if self.left_out else []
        again = sum(child.records for child in self.children)
        told += [f"{again:,} go on in {len(self.children)} messages"] if again else []
        if self.accepted:
            return Status.ACKNOWLEDGED, ", ".join(told)
        return Status.REJECTED if self.refused else Status.DISCARDED, ", ".join(told)


class Messages:
    """The messages of all subscriptions."""

    def __init__(self, database: Database, rejections: Rejections) -> None:
        self._database = database
        self._rejections = rejections

    def dispatch(
        self,
        wanted: Wanted,
        known: Row | None,
        drafts: Sequence[Draft],
        offset: int,
        fence: Callable[[Connection], None],
        *,
        expired: bool = False,
    ) -> None:
        """Write messages and move the offset; LostClaimError if the lease or the offset is not what we knew.

        Of a subscription that has expired these say all that the open ones did: those are discarded, and rejections
        of its records are superseded. LostClaimError if one of them is being sent: the receiver answers again.
        """
        numbers = next_numbers(known, len(drafts))
        last = numbers[-1] if numbers else (known["last_number"] if known else 0)
        with self._database.write(Point.DISPATCHED) as db:
            fence(db)
            now = self._database.now(db)
            if expired:
                self._expire(db, wanted.name, now)
            advance(db, wanted, known, offset, last, now)
            self._new_all(db, wanted.name, numbers, drafts, now, "dispatch")

    def expired(self, name: str, most: float) -> int | None:
        """The oldest version without an answer, if a message that is open was dispatched so many seconds ago."""
        waiting = select(func.min(messages.c.dispatched_at), func.min(messages.c.from_version)).where(_of(name, OPEN))
        with self._database.read() as db:
            since, version = db.execute(waiting).one()
            if since is None or since >= self._database.now(db) - int(most * 1e6):
                return None
        return int(min([version, *(row["version"] for row in self._rejections.refused(name))]))

    def _expire(self, db: Connection, name: str, now: int) -> None:
        for row in many(db.execute(select(messages).where(_of(name, OPEN)))):
            if row["token"] is not None and row["lease_until"] > now and not proven_dead(row["holder"]):
                raise LostClaimError(f"a message of {name} is being sent: it does not expire now")
            before, ended = Status(row["status"]), {"settled_at": now, **_FREE}
            move_message(db, row["id"], before, Status.DISCARDED, EXPIRED, WORKER, now, **ended)
        self._rejections.close_ids(db, [row["id"] for row in self._rejections.refused_in(db, name)], EXPIRED)

    def settle(self, held: Held, answer: Answer, dataset: tuple[str, str]) -> None:
        """Write a message's outcome; LostClaimError if it is not ours any more."""
        status, told = answer.status()
        with self._database.write(Point.MESSAGE_SETTLED) as db:
            require_ours(db, held)
            now = self._database.now(db)
            self._close(db, held, status, told, now)
            for child in answer.children:
                self._child(db, held, child, now)
            self._answered(db, held.message, held.subscription, answer, dataset, told, now)

    def settle_all(self, answers: Sequence[tuple[Held, Answer]]) -> list[Held]:
        """Write the outcomes of messages of one subscription of which nothing was refused or goes on: one transaction.

        Those that are not ours any more are left alone, and given back.
        """
        with self._database.write(Point.MESSAGE_SETTLED) as db:
            ours = all_ours(db, [held for held, _ in answers])
            now = self._database.now(db)
            moved = [
                (held.message, *answer.status(), held.attempts) for held, answer in answers if held.message in ours
            ]
            if moved:
                held_now = [answer.newer for held, answer in answers if held.message in ours and answer.newer]
                self._rejections.accept(db, answers[0][0].subscription, held_now)
                move_queued(db, moved, WORKER, now, settled_at=now, **_FREE)
                answered(db, answers[0][0].subscription, moved[-1][2], now)
        return [held for held, _ in answers if held.message not in ours]

    def give_back(self, helds: Sequence[Held]) -> None:
        """Nobody sent these: the next worker takes them as if they had never been taken."""
        with self._database.write(Point.MESSAGE_PUT_BACK) as db:
            for held in helds:
                set_ours(db, held, **_FREE, **UNPUBLISHED)

    def hand_over(self, held: Held, wait: float) -> None:
        """Somebody has a message for its receiver: leave it alone until its receipt comes, at first for `wait` seconds.

        Twice as long after each time that none came. LostClaimError if it is not ours any more: the receipt may have
        been faster.
        """
        with self._database.write(Point.MESSAGE_HANDED) as db:
            require_ours(db, held)
            now = self._database.now(db)
            marks = {"handovers": held.handovers + 1, "handed_at": held.handed_at or now}
            due = now + int(wait * 2**held.handovers * 1e6)
            set_ours(db, held, **_FREE, **UNPUBLISHED, due_at=due, **marks)
            note_move(db, held.message, Status.QUEUED, Status.QUEUED, "handed over", WORKER, now, held.attempts)
            answered(db, held.subscription, f"{held.records:,} handed over", now)

    def receive(self, message: int, answer: Answer, dataset: tuple[str, str]) -> bool:
        """Write what a receipt says of a message; False if it is settled already, or dropped."""
        status, told = answer.status()
        with self._database.write(Point.RECEIPT_SETTLED) as db:
            row = first(db.execute(select(messages).where(messages.c.id == message)))
            if row is None or (before := Status(row["status"])) not in AWAITED:
                return False
            now = self._database.now(db)
            move_message(db, message, before, status, told, RECEIPT, now, settled_at=now, **_FREE)
            self._answered(db, message, row["subscription"], answer, dataset, told, now)
            return True

    def hold(self, held: Held, status: Status, reason: str) -> None:
        """Keep a message for a person; LostClaimError if it is not ours any more."""
        with self._database.write(Point.MESSAGE_SETTLED) as db:
            require_ours(db, held)
            now = self._database.now(db)
            self._close(db, held, status, reason, now)
            answered(db, held.subscription, f"{status}: {reason}", now)

    def put_back(self, held: Held, reason: str, wait: float | None = None, *, pause: bool = False) -> int:
        """The receiver, or we, could not: nothing is held against the message. When it is tried again.

        LostClaimError if it is not ours any more: whoever holds it now knows better how the receiver is.
        """
        with self._database.write(Point.MESSAGE_PUT_BACK) as db:
            require_ours(db, held)
            set_ours(db, held, **_FREE, **UNPUBLISHED)
            return failed(db, held.subscription, reason, self._database.now(db), wait, pause=pause)

    def retry(self, name: str, drafts: Sequence[Draft], closed: Sequence[int], actor: str) -> None:
        """By a person's wish: send rejected records again, and queue what is held.

        The rejections close in the same transaction; a record that is refused again has a new one. BusyError if
        order counts and somebody sends: that may hold a newer version, which would not close the rejection any more.
        """
        with self._database.write(Point.DISPATCHED) as db:
            now = self._database.now(db)
            row = db.execute(select(subscriptions).where(subscriptions.c.name == name)).mappings().one()
            if row["ordered"]:
                self._require_nothing_sent(db, name, closed, now)
            numbers = next_numbers(dict(row), len(drafts))
            self._new_all(db, name, numbers, drafts, now, actor)
            if numbers:
                last = {"last_number": numbers[-1]}
                db.execute(update(subscriptions).where(subscriptions.c.name == name).values(**last))
            self._rejections.close_ids(db, closed, f"retried by {actor}")
            for each in many(db.execute(select(messages).where(_of(name, HELD)))):
                free = {"leases": 0, "due_at": 0, "settled_at": None, "handovers": 0, "handed_at": None, **UNPUBLISHED}
                move_message(db, each["id"], Status(each["status"]), Status.QUEUED, "retried", actor, now, **free)

    def _require_nothing_sent(self, db: Connection, name: str, closed: Sequence[int], now: int) -> None:
        if not self._rejections.all_open(db, closed):
            raise BusyError(f"a newer version of a record of {name} has arrived meanwhile: try again", moment(now))
        flying = _of(name, [Status.QUEUED]) & messages.c.token.is_not(None) & (messages.c.lease_until > now)
        for row in many(db.execute(select(messages).where(flying))):
            if not proven_dead(row["holder"]):
                raise BusyError(f"a message of {name} is being sent: try again in a moment", moment(row["lease_until"]))

    def discard(self, name: str, actor: str, statuses: Sequence[Status] = HELD) -> int:
        """By a person's wish: drop the messages of a subscription in these statuses; how many there were."""
        with self._database.write(Point.MESSAGE_SETTLED) as db:
            now = self._database.now(db)
            found = many(db.execute(select(messages).where(_of(name, statuses))))
            for each in found:
                before, ended = Status(each["status"]), {"settled_at": now}
                move_message(db, each["id"], before, Status.DISCARDED, "discarded", actor, now, **ended)
            return len(found)

    def get(self, message: int) -> Row:
        """One message."""
        found = self.find(message)
        if found is None:
            raise StateError(f"there is no message {message}")
        return found

    def find(self, message: int) -> Row | None:
        """One message, if there is one of that number."""
        with self._database.read() as db:
            return first(db.execute(select(messages).where(messages.c.id == message)))

    def awaiting(self) -> set[str]:
        """The subscriptions of which a message was handed over and no receipt came yet."""
        wanted = select(messages.c.subscription).where(messages.c.status.in_(AWAITED) & (messages.c.handovers > 0))
        with self._database.read() as db:
            return set(db.execute(wanted.distinct()).scalars())

    def accepted_upto(self, name: str) -> int:
        """The highest version of a subscription's acknowledged messages; 0 without one."""
        wanted = select(func.max(messages.c.to_version)).where(_of(name, [Status.ACKNOWLEDGED]))
        with self._database.read() as db:
            return db.execute(wanted).scalar() or 0

    def after(self, name: str, version: int) -> Iterator[Row]:
        """The messages of a subscription with records behind that version, oldest first: `id`, `status`, `slices`."""
        wanted = select(messages.c.id, messages.c.status, messages.c.slices)
        later = (messages.c.subscription == name) & (messages.c.to_version > version)
        with self._database.read() as db:
            found = db.execute(wanted.where(later).order_by(messages.c.id).execution_options(yield_per=AT_ONCE))
            for row in found.mappings():
                yield dict(row)

    def naming(self, name: str, path: str) -> list[Row]:
        """The messages of a subscription that name a file, or files below a folder that ends with `/`; oldest first."""
        written = json.dumps(path)[1:-1]  # as the column's JSON has it
        mine = (messages.c.subscription == name) & cast(messages.c.slices, Text).contains(written, autoescape=True)
        with self._database.read() as db:
            return many(db.execute(select(messages).where(mine).order_by(messages.c.id)))

    def checks(self, name: str) -> list[Json]:
        """The claim checks of a subscription's open messages."""
        with self._database.read() as db:
            return list(db.execute(select(messages.c.slices).where(_of(name, OPEN))).scalars())

    def held(self) -> list[Row]:
        """Messages that wait for a person."""
        with self._database.read() as db:
            return many(db.execute(select(messages).where(messages.c.status.in_(HELD)).order_by(messages.c.id)))

    def counts(self) -> dict[str, Row]:
        """Of each subscription: the records without an answer, and the oldest version of them; those in flight; those
        handed over, and since when the oldest.
        """
        summed = func.coalesce(func.sum(messages.c.records), 0)
        oldest = func.min(messages.c.from_version).label("oldest")
        with self._database.read() as db:
            now = self._database.now(db)
            flying = messages.c.token.is_not(None) & (messages.c.lease_until > now)
            flight = func.coalesce(func.sum(messages.c.records).filter(flying), 0)
            handed = func.coalesce(func.sum(messages.c.records).filter(messages.c.handovers > 0), 0)
            # PostgreSQL's sum of integers is a decimal.
            named = {"records": summed, "in_flight": flight, "handed_over": handed}
            since = func.min(messages.c.handed_at).label("handed_since")
            sums = [cast(each, BigInteger).label(name) for name, each in named.items()]
            wanted = select(messages.c.subscription, *sums, oldest, since)
            found = many(db.execute(wanted.where(messages.c.status.in_(OPEN)).group_by(messages.c.subscription)))
        return {row["subscription"]: row for row in found}

    def pinned(self, folder: str) -> bool:
        """Whether an open message, or an open rejection, names a file below a folder of the lake (sequence 11)."""
        with self._database.read() as db:
            still = messages.c.status.in_(OPEN) | messages.c.id.in_(self._rejections.refused_messages())
            checks = db.execute(select(messages.c.slices).where(still)).scalars()
            return any(path.startswith(f"{folder}/") for slices in checks for path, *_ in slices)

    def _new_all(
        self, db: Connection, name: str, numbers: Sequence[int], drafts: Sequence[Draft], now: int, actor: str
    ) -> None:
        """Messages that are dispatched together, and their first moves."""
        for start in range(0, len(drafts), AT_ONCE):
            rows = [
                _fresh(name, numbers[place], now, batch=place + 1, batches=len(drafts), **vars(drafts[place]))
                for place in range(start, min(start + AT_ONCE, len(drafts)))
            ]
            note_new(db, db.execute(_NEW_ALL, rows).scalars().all(), actor, now)

    def _new(self, db: Connection, name: str, number: int, now: int, actor: str, **values: Any) -> None:
        row = _fresh(name, number, now, **values)
        made = db.execute(_NEW, row).scalar_one()
        note_move(db, made, None, Status.QUEUED, "dispatched", actor, now, row["attempts"])

    def _child(self, db: Connection, held: Held, child: Child, now: int) -> None:
        same: dict[str, int] = {"parent": held.message, "batch": held.batch, "batches": held.batches}
        same |= {"from_version": held.from_version, "to_version": held.to_version}
        own = {"slices": child.slices, "records": child.records, "attempts": child.attempts}
        due = now + int(child.wait * 1e6) if child.wait else 0
        self._new(db, held.subscription, held.number, now, WORKER, due_at=due, **same, **own)

    def _close(self, db: Connection, held: Held, status: Status, reason: str, now: int) -> None:
        move_message(db, held.message, Status.QUEUED, status, reason, WORKER, now, settled_at=now, **_FREE)

    def _answered(
        self, db: Connection, message: int, name: str, answer: Answer, dataset: tuple[str, str], told: str, now: int
    ) -> None:
        self._rejections.refuse(db, dataset, name, message, answer.refused)
        self._rejections.accept(db, name, [answer.newer] if answer.newer else [])
        answered(db, name, told, now)


def _fresh(name: str, number: int, now: int, **values: Any) -> dict[str, Any]:
    """A new message's row."""
    fresh = {"attempts": 0, "leases": 0, "due_at": 0, "receipt": secrets.token_hex(8), **values}
    return {"subscription": name, "number": number, "status": Status.QUEUED, "dispatched_at": now, **fresh}


def _of(name: str, statuses: Sequence[Status]) -> Any:
    return (messages.c.subscription == name) & messages.c.status.in_(statuses)
