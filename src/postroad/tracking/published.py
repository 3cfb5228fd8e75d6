"""What of the messages a broker was given: the side of the books that a queue outside of them needs.

Written here: a message's `published_at` and `confirmed_at`, and on taking it its lease. Messages are marked before they
are sent to the broker and again when it has confirmed them. A crash between the two leaves messages that may or may not
be there: they are sent once more, and whoever gets the second one finds the first one's lease or outcome. Whatever puts
a message back forgets both marks, so that it is published when it is due again. A message that the broker gave up is
one more lease without an answer (`MOST_LEASES` of `drain`), in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, or_, select, update

from postroad.errors import MessageError
from postroad.status import Status
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import messages, subscriptions
from postroad.telemetry import Point
from postroad.tracking.holder import proven_dead
from postroad.tracking.moves import note_move
from postroad.tracking.queue import AWAKE, DUE, UNHELD, UNPUBLISHED, Held, lease, lease_fresh
from postroad.tracking.runs import LEASE

BROKER = "broker"
Known = Callable[[Row | None], None]  # raises MessageError if a message is not the one that was meant
AT_ONCE = 256  # messages that are in flight to the broker
DOUBTED = LEASE  # after so many microseconds without a confirm a message is sent again
UNTAKEN = 5_000_000  # microseconds that a message may lie in the hands of a worker that is busy, or frozen

_BEFORE: BindParameter[int] = bindparam("before")
_ID: BindParameter[int] = bindparam("of_message")
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_UNSURE = messages.c.confirmed_at.is_(None)
_NEVER = messages.c.published_at.is_(None)
_AGED = messages.c.published_at <= _BEFORE
_NAMED = select(messages, subscriptions.c.dataset).join(subscriptions, subscriptions.c.name == messages.c.subscription)


def _next(which: ColumnElement[bool]) -> Any:
    return _NAMED.where(DUE & UNHELD & which).order_by(messages.c.id).limit(AT_ONCE)


_UNPUBLISHED = _next(or_(_NEVER, and_(_UNSURE, _AGED)))
_UNTAKEN = _next(_AGED)
_PUBLISHING = update(messages).where(messages.c.id.in_(_IDS)).values(published_at=bindparam("now"), confirmed_at=None)
_CONFIRM = update(messages).where(messages.c.id.in_(_IDS) & (messages.c.published_at == bindparam("stamp")))
_ONE = select(messages).where(messages.c.id == _ID)
_DUE_ONE = _ONE.where(DUE)
_SOME = select(messages).where(messages.c.id.in_(_IDS))
_DUE_SOME = select(messages.c.id).where(DUE & messages.c.id.in_(_IDS))
_WAITS = (messages.c.id == _ID) & (messages.c.status == Status.QUEUED) & messages.c.token.is_(None)
_FORGET = update(messages).where(_WAITS).values(**UNPUBLISHED)
_GIVEN_UP = update(messages).where(messages.c.id == _ID)
_WAITING = select(messages.c.subscription).where(DUE & UNHELD).distinct()
_HOLDERS = select(messages.c.subscription, messages.c.holder).where(DUE & ~UNHELD)


class Published:
    """The messages of a project with a broker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def awake(self, names: Sequence[str]) -> list[str]:
        """Those of the subscriptions that may be sent to now."""
        with self._database.read() as db:
            return list(db.execute(AWAKE, self._wanted(db, names)).scalars())

    def waiting(self, names: Sequence[str]) -> list[str]:
        """Those of the subscriptions that have a message which is due, and which nobody holds who is alive."""
        with self._database.read() as db:
            wanted = self._wanted(db, names)
            dead = {row["subscription"] for row in many(db.execute(_HOLDERS, wanted)) if proven_dead(row["holder"])}
            return sorted(dead.union(db.execute(_WAITING, wanted).scalars()))

    def publishing(self, names: Sequence[str], *, again: bool = False, after: int = UNTAKEN) -> tuple[int, list[Row]]:
        """Messages that the broker is to be given, now marked so, with their datasets; and the stamp that marks them.

        Those that it was never given, and those of which it is in doubt. `again`: those instead that it was given
        `after` microseconds ago, and that nobody took.
        """
        statement, age = (_UNTAKEN, after) if again else (_UNPUBLISHED, DOUBTED)
        with self._database.read() as db:
            wanted = self._wanted(db, names)
            if db.execute(statement, {**wanted, "before": wanted["now"] - age}).first() is None:
                return 0, []
        with self._database.write(Point.MESSAGES_PUBLISHING) as db:
            wanted = self._wanted(db, names)
            found = many(db.execute(statement, {**wanted, "before": wanted["now"] - age}))
            db.execute(_PUBLISHING, {"ids": [row["id"] for row in found], "now": wanted["now"]})
            return wanted["now"], found

    def confirmed(self, stamp: int, ids: Sequence[int]) -> None:
        """The broker has these; what was put back meanwhile is another matter."""
        with self._database.write(Point.MESSAGES_PUBLISHED) as db:
            db.execute(_CONFIRM.values(confirmed_at=self._database.now(db)), {"ids": list(ids), "stamp": stamp})

    def take(self, message: int, names: Sequence[str], known: Known) -> Held | None:
        """That message, now held by us; None if it is settled, held by a live worker, or not due.

        One that waits, or whose subscription is paused, is published again when it no longer does. `known` raises
        MessageError if the row is not what it should be; nothing is written then.
        """
        with self._database.write(Point.MESSAGE_TAKEN) as db:
            wanted = {**self._wanted(db, names), "of_message": message}
            known(first(db.execute(_ONE, wanted)))
            row = first(db.execute(_DUE_ONE, wanted))
            if row is None:
                db.execute(_FORGET, wanted)
                return None
            return lease(db, row, wanted["now"]) if _free(row, wanted["now"]) else None

    def more(self, asked: Mapping[int, Known], name: str, room: int) -> tuple[list[Held], set[int]]:
        """Those of these messages that `Queue.more` may give, now held by us, in one transaction.

        And which of the others are for `take`, to take or to refuse. The rest is settled, held or not due.
        """
        with self._database.write(Point.MESSAGE_TAKEN) as db:
            wanted = {**self._wanted(db, [name]), "ids": [*asked]}
            rows = {row["id"]: row for row in many(db.execute(_SOME, wanted))}
            due = set(db.execute(_DUE_SOME, wanted).scalars())
            found, later = [], set()
            for message, known in asked.items():
                row = rows.get(message)
                fits = row is not None and row["records"] <= room and not row["leases"] and not row["handovers"]
                if not (fits and _is_known(known, row)):
                    later.add(message)
                elif row is not None and message in due and row["token"] is None:
                    room -= row["records"]
                    found.append(row)
            return lease_fresh(db, found, wanted["now"]), later

    def given_up(self, message: int, reason: str, known: Known) -> None:
        """The broker gave a message up, for workers that ended with it: as a lease without an answer, and again due."""
        with self._database.write(Point.MESSAGE_GIVEN_UP) as db:
            now = self._database.now(db)
            row = first(db.execute(_ONE, {"of_message": message}))
            known(row)
            if row is None or row["status"] != Status.QUEUED or not _free(row, now):
                return
            free = {"token": None, "holder": None, "lease_until": None, "leases": row["leases"] + 1, **UNPUBLISHED}
            db.execute(_GIVEN_UP.values(**free), {"of_message": message})
            note_move(db, message, Status.QUEUED, Status.QUEUED, reason, BROKER, now, row["attempts"])

    def _wanted(self, db: Connection, names: Sequence[str]) -> dict[str, Any]:
        return {"names": list(names), "now": self._database.now(db)}


def _free(row: Row, now: int) -> bool:
    """Whether nobody holds a message, or one whose lease is over, or who is proven dead."""
    return row["token"] is None or row["lease_until"] <= now or proven_dead(row["holder"])


def _is_known(known: Known, row: Row | None) -> bool:
    with suppress(MessageError):
        known(row)
        return True
    return False
