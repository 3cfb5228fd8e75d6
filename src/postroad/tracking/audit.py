"""Audit: what was settled long ago, which file of the lake keeps it, and its end in the books.

Written only here: the table `exports`, and the end of `messages`, of their `moves` and of their closed `rejections`.
What is dropped stands in a file that is durable and listed, at the latest by the same transaction: a crash before it
leaves messages that are exported again by the next run or worker, and a file that nothing lists; a crash after it, when
more of them were to go, leaves those both here and there. The same message in two files is one fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, delete, func, insert, select

from postroad.status import OPEN
from postroad.store.database import Database
from postroad.store.rows import Row, many
from postroad.store.schema import exports, messages, moves, rejections, subscriptions
from postroad.telemetry import Point
from postroad.tracking.rejections import DELIVER, Rejections

DAY = 86_400_000_000  # microseconds
AT_ONCE = 1_000  # messages that are read, or dropped, in one transaction
ROOM = 8_000_000  # rough bytes of those that are read
OF_A_REJECTION = 1_000  # rough bytes of one

_ORDER = (messages.c.subscription, messages.c.from_version, messages.c.id)
_REFUSED = (
    select(func.count())
    .select_from(rejections)
    .where((rejections.c.payload == messages.c.id) & (rejections.c.stage == DELIVER))
    .correlate(messages)
    .scalar_subquery()
)
_WEIGHT = func.length(cast(messages.c.slices, Text)) + OF_A_REJECTION * _REFUSED


@dataclass(frozen=True)
class Settled:
    """A message that may be forgotten, and roughly how many bytes its facts have."""

    message: int
    weight: int


@dataclass(frozen=True)
class Export:
    """Messages of one subscription in an audit file, and between which versions their records lie.

    `begins`: some of them name rows of the table, with which a subscription begins.
    """

    path: str
    subscription: str
    from_version: int
    to_version: int
    begins: bool
    messages: int


class Audit:
    """What of a project's messages is forgotten, and where it is kept."""

    def __init__(self, database: Database, rejections: Rejections) -> None:
        self._database = database
        self._rejections = rejections

    def settled(self, after: float, most: int) -> list[Settled]:
        """Messages that were settled so many seconds before the end of a day (UTC) that is over; by subscription and
        version.

        Whole days, so that a day makes one file. A message stays while a record of it is rejected, and as long after
        that ended; and while one that came of it is open.
        """
        with self._database.read() as db:
            before = self._database.now(db) - int(after * 1e6)
            ended = self._ended(before - before % DAY)
            found = db.execute(select(messages.c.id, _WEIGHT).where(ended).order_by(*_ORDER).limit(most))
            return [Settled(*row) for row in found]

    def facts(self, ids: Sequence[int]) -> list[Row]:
        """All that is known of some messages, in the order of `settled`: rows with their `moves` and `rejections`."""
        wanted = select(messages, subscriptions.c.dataset).join(
            subscriptions, subscriptions.c.name == messages.c.subscription, isouter=True
        )
        refused = (rejections.c.stage == DELIVER) & rejections.c.payload.in_(ids)
        with self._database.read() as db:
            rows = many(db.execute(wanted.where(messages.c.id.in_(ids)).order_by(*_ORDER)))
            moved = _by(db, select(moves).where(moves.c.message.in_(ids)).order_by(moves.c.id), "message")
            closed = _by(db, select(rejections).where(refused).order_by(rejections.c.id), "payload")
        none: list[Row] = []
        return [{**row, "moves": moved.get(row["id"], none), "rejections": closed.get(row["id"], none)} for row in rows]

    def drop(self, ids: Sequence[int], kept: Sequence[Export]) -> int:
        """Forget messages that these exports keep; how many were still there."""
        dropped = 0
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            with self._database.write(Point.MESSAGES_DROPPED) as db:
                # Nobody but us writes to what is settled, and two that drop the same drop it once.
                if not start and kept:
                    db.execute(insert(exports), [vars(each) for each in kept])
                db.execute(delete(moves).where(moves.c.message.in_(part)))
                self._rejections.drop(db, part)
                dropped += int(db.execute(delete(messages).where(messages.c.id.in_(part))).rowcount)
        return dropped

    def holding(self, subscription: str, version: int | None) -> list[str]:
        """The files that may hold messages of a subscription with records of a version.

        Of None those that may hold what it began with.
        """
        wanted = exports.c.subscription == subscription
        if version is None:
            wanted &= exports.c.begins
        else:
            wanted &= (exports.c.from_version <= version) & (exports.c.to_version >= version)
        with self._database.read() as db:
            return list(db.execute(select(exports.c.path).where(wanted).order_by(exports.c.path)).scalars())

    def files(self) -> list[str]:
        """Every audit file."""
        with self._database.read() as db:
            return list(db.execute(select(exports.c.path).distinct()).scalars())

    def _ended(self, before: int) -> ColumnElement[bool]:
        open_child = select(messages.c.parent).where(messages.c.status.in_(OPEN) & messages.c.parent.is_not(None))
        settled = (messages.c.settled_at < before) & messages.c.status.not_in(OPEN)
        needed = messages.c.id.in_(open_child) | messages.c.id.in_(self._rejections.refused_messages(before))
        return settled & ~needed


def parts(found: Iterable[Settled]) -> Iterator[list[int]]:
    """Messages in their order, in groups whose facts fit into memory together."""
    group: list[int] = []
    weight = 0
    for each in found:
        if group and (len(group) == AT_ONCE or weight + each.weight > ROOM):
            yield group
            group, weight = [], 0
        group.append(each.message)
        weight += each.weight
    if group:
        yield group


def _by(db: Connection, statement: Any, name: str) -> dict[int, list[Row]]:
    """Rows by the number of their message."""
    found: dict[int, list[Row]] = {}
    for row in many(db.execute(statement)):
        found.setdefault(row[name], []).append(row)
    return found
