"""Feeds, entities, walks and payloads: where every remote cursor lives, and what landed.

Written only here and by `walks`: the tables `feeds`, `entities`, `payloads`. A payload's row, its feed's cursor and its
walk's progress are one transaction, made after the payload's file is durable: a crash before it leaves a file that
tracking does not list (litter, shown by `check`), and the next run fetches that payload again from the unmoved cursor;
a crash after it leaves everything in place, and the next run goes on behind it. Forgetting positions, marking their
entities as due a full refresh and abandoning open walks is one transaction as well (sequence 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from postroad.errors import LostClaimError
from postroad.records import Json, Payload
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import entities, payloads, walks
from postroad.telemetry import Point
from postroad.tracking.alerts import Alert, Alerts
from postroad.tracking.moves import (
    abandon_walks,
    feed_row,
    move_feed,
    newest_landing,
    of_entity,
    put_entity,
    require_open,
    set_due,
    supersede_walks,
    the_row,
)
from postroad.tracking.runs import Claim, Runs

# Made once: making a statement costs SQLAlchemy more than executing it.
_INSERT = insert(payloads).returning(payloads)
_ENTITY = select(entities).where(
    (entities.c.connection == bindparam("of_connection")) & (entities.c.entity == bindparam("of_entity"))
)
_PROGRESS = update(walks).where(walks.c.id == bindparam("of_walk"))
_BEGINS = (
    update(walks)
    .where((walks.c.id == bindparam("of_walk")) & walks.c.last_landing.is_(None))
    .values(begun_landing=bindparam("at"))
)


@dataclass(frozen=True)
class Landed:
    """A payload's file: its path in the lake, size in bytes, and digest."""

    path: str
    size: int
    digest: str


class Feeds:
    """Cursors, walks and payloads of all connections."""

    def __init__(self, database: Database, runs: Runs, alerts: Alerts) -> None:
        self._database = database
        self._runs = runs
        self._alerts = alerts

    # Cursors and payloads

    def cursor(self, connection: str, feed: str) -> Json:
        """The cursor after the last durable payload; None if there is none."""
        with self._database.read() as db:
            row = feed_row(db, connection, feed)
            return row["cursor"] if row else None

    def last_number(self, connection: str, feed: str) -> int:
        """The highest payload number that was ever given in this feed."""
        with self._database.read() as db:
            row = feed_row(db, connection, feed)
            return row["last_number"] if row else 0

    def landing(self) -> int:
        """The project-wide landing number of the newest payload."""
        with self._database.read() as db:
            return newest_landing(db)

    def land(self, claim: Claim, payload: Payload, landed: Landed | None, number: int, walk: int | None) -> Row | None:
        """Record a payload that is durable and adopt its cursor; None for a payload without a body.

        Raises LostClaimError if the claim, the number or the walk is not ours any more.
        """
        with self._database.write(Point.PAYLOAD_ROW) as db:
            self._runs.fence(db, claim)
            row = feed_row(db, claim.connection, claim.feed)
            if landed is not None and number != (row["last_number"] if row else 0) + 1:
                raise LostClaimError(f"payload {number} of {claim.feed} was numbered by somebody else")
            if walk is not None:
                require_open(db, walk)
            if walk is not None and payload.begins:
                db.execute(_BEGINS, {"of_walk": walk, "at": newest_landing(db)})
            now = self._database.now(db)
            if landed is None:
                move_feed(db, claim.connection, claim.feed, cursor=payload.cursor, moved_at=now)
                return None
            move_feed(db, claim.connection, claim.feed, cursor=payload.cursor, moved_at=now, last_number=number)
            return self._insert(db, claim, payload, landed, number, walk, now)

    def _insert(
        self, db: Connection, claim: Claim, payload: Payload, landed: Landed, number: int, walk: int | None, now: int
    ) -> Row:
        values = {
            "connection": claim.connection,
            "feed": claim.feed,
            "number": number,
            "run": claim.run,
            "walk": walk,
            "identifier": payload.identifier,
            "path": landed.path,
            "size": landed.size,
            "digest": landed.digest,
            "entities": list(payload.entities),
            "meta": dict(payload.meta),
            "scope": payload.scope,
            "closes": payload.closes,
            "received_at": now,
            "status": "received",
        }
        row = the_row(db.execute(_INSERT, values))
        if walk is not None:
            progress = {"last_landing": row["landing"], **({"fetched": True} if payload.closes else {})}
            db.execute(_PROGRESS, {"of_walk": walk, **progress})
        return row

    def payloads(
        self, connection: str, feed: str, *, after: int = 0, walk: int | None = None, since_landing: int | None = None
    ) -> list[Row]:
        """Received payloads of a feed in landing order: above a number, of a walk, landed since a landing number."""
        wanted = [payloads.c.connection == connection, payloads.c.feed == feed, payloads.c.number > after]
        wanted.append(payloads.c.status == "received")
        if walk is not None:
            wanted.append(payloads.c.walk == walk)
        if since_landing is not None:
            wanted.append(payloads.c.landing > since_landing)
        with self._database.read() as db:
            found = db.execute(select(payloads).where(and_(*wanted)).order_by(payloads.c.landing))
            return many(found)

    def numbered(self, connection: str, feed: str, first: int, last: int) -> list[Row]:
        """The payloads of a feed with these numbers, whatever became of them, oldest first."""
        mine = (payloads.c.connection == connection) & (payloads.c.feed == feed)
        with self._database.read() as db:
            wanted = select(payloads).where(mine & payloads.c.number.between(first, last))
            return many(db.execute(wanted.order_by(payloads.c.number)))

    def landed(self, landing: int) -> Row | None:
        """The payload of a landing number."""
        with self._database.read() as db:
            return first(db.execute(select(payloads).where(payloads.c.landing == landing)))

    def pages(self, walk: int) -> list[Row]:
        """The payloads of a walk, whatever became of them, oldest first."""
        with self._database.read() as db:
            return many(db.execute(select(payloads).where(payloads.c.walk == walk).order_by(payloads.c.number)))

    def first_received(self, connection: str, entity: str) -> int | None:
        """When the first payload with rows of an entity landed; None if none ever did."""
        with self._database.read() as db:
            found = db.execute(
                select(payloads.c.received_at, payloads.c.entities)
                .where(payloads.c.connection == connection)
                .order_by(payloads.c.landing)
            )
            return next((int(row.received_at) for row in found if entity in row.entities), None)

    def landed_paths(self) -> list[str]:
        """The path of every listed payload file."""
        with self._database.read() as db:
            return list(db.execute(select(payloads.c.path)).scalars())

    def last_number_before(self, connection: str, feed: str, landing: int) -> int:
        """The highest number of that feed that had landed at a landing number; 0 if none."""
        mine = (payloads.c.connection == connection) & (payloads.c.feed == feed) & (payloads.c.landing <= landing)
        with self._database.read() as db:
            return int(db.execute(select(func.max(payloads.c.number)).where(mine)).scalar() or 0)

    # Entities: due a full refresh, read to the head

    def entity(self, connection: str, entity: str) -> Row:
        """Why the entity is due a full refresh (or None), whether its changes are withheld, its last head."""
        with self._database.read() as db:
            row = first(db.execute(_ENTITY, {"of_connection": connection, "of_entity": entity}))
        return row or {
            "due_reason": None,
            "due_landing": None,
            "withheld": False,
            "head_landing": None,
            "head_at": None,
            "absent": None,
        }

    def note_absent(self, connection: str, entity: str, absent: Sequence[str], *, refresh: bool) -> None:
        """The columns that the remote system does not send; with `refresh` those that came back are due.

        Written before the commit of the rows that show it: a crash between the two repeats it with the payload.
        """
        with self._database.write(Point.COLUMNS_NOTED) as db:
            row = first(db.execute(select(entities).where(of_entity(connection, entity))))
            back = sorted(set((row and row["absent"]) or ()) - set(absent))
            put_entity(db, connection, entity, absent=list(absent))
            if back and refresh:
                set_due(db, connection, entity, came_back(back), newest_landing(db), withheld=None)

    def note_added(self, connection: str, entity: str, columns: Sequence[str], alert: Alert) -> None:
        """These columns are new: their values come with a full refresh. Written before the lake has them."""
        with self._database.write(Point.REFRESH_DUE) as db:
            reason = f"new columns: {', '.join(columns)}"
            set_due(db, connection, entity, reason, newest_landing(db), withheld=None)
            self._alerts.note(db, alert)

    def owe(self, connection: str, entity: str, reason: str) -> None:
        """The lake lacks what the remote system has: a full refresh is due. Written before what showed it is."""
        with self._database.write(Point.REFRESH_DUE) as db:
            set_due(db, connection, entity, reason, newest_landing(db), withheld=None)

    def forget(
        self,
        connection: str,
        feed: str,
        names: Sequence[str],
        reason: str,
        *,
        foreign: bool,
        last_number: int | None = None,
        alert: Alert | None = None,
    ) -> None:
        """Forget these entities' positions in a feed of changes, abandon their open walks, mark them as due.

        `foreign` withholds their changes until a walk has closed; `last_number` lifts the numbering (sequence 3).
        """
        with self._database.write(Point.REFRESH_DUE) as db:
            row = feed_row(db, connection, feed)
            cursor = dict((row and row["cursor"]) or {})
            for name in names:
                cursor.pop(name, None)
                set_due(db, connection, name, reason, newest_landing(db), withheld=foreign or None)
                abandon_walks(db, connection, name, reason, self._database.now(db))
            values = {"cursor": cursor, "moved_at": self._database.now(db)}
            if last_number is not None:
                values["last_number"] = last_number
            move_feed(db, connection, feed, **values)
            if alert is not None:
                self._alerts.note(db, alert)

    def reset(
        self,
        connection: str,
        feed: str,
        entity: str,
        reason: str,
        *,
        last_number: int | None = None,
        alert: Alert | None = None,
    ) -> None:
        """Forget the cursor and the open walk of an entity's own feed and mark it as due."""
        with self._database.write(Point.REFRESH_DUE) as db:
            set_due(db, connection, entity, reason, newest_landing(db), withheld=None)
            abandon_walks(db, connection, entity, reason, self._database.now(db))
            values: dict[str, Any] = {"cursor": None, "moved_at": self._database.now(db)}
            if last_number is not None:
                values["last_number"] = last_number
            move_feed(db, connection, feed, **values)
            if alert is not None:
                self._alerts.note(db, alert)

    def adopted(self, claim: Claim, entity: str, due: str | None) -> None:
        """The rows of an entity come from elsewhere: no walk before counts, and a full refresh is due, or none is."""
        with self._database.write(Point.REFRESH_DUE) as db:
            self._runs.fence(db, claim)
            supersede_walks(db, claim.connection, entity, "adopted from elsewhere", self._database.now(db))
            landing = None if due is None else newest_landing(db)
            put_entity(db, claim.connection, entity, due_reason=due, due_landing=landing, withheld=False)

    def set_cursor(self, connection: str, feed: str, cursor: Json, reason: str) -> None:
        """Put another cursor in place, by a person's wish, and end the feed's run, which would write its own."""
        with self._database.write(Point.REFRESH_DUE) as db:
            self._runs.stop(db, connection, feed, reason)
            move_feed(db, connection, feed, cursor=cursor, moved_at=self._database.now(db))

    def start_again(self, connection: str, entity: str, own: Sequence[str], changes: str | None, reason: str) -> None:
        """Forget all positions of an entity, abandon its open walks and mark it as due, by a person's wish.

        `own` are the feeds of its walks, `changes` is the one of its changes. Their runs end in the same
        transaction: none of them, and none that begins meanwhile, can put a position back (sequence 19).
        """
        with self._database.write(Point.REFRESH_DUE) as db:
            now = self._database.now(db)
            for feed in own:
                self._runs.stop(db, connection, feed, reason)
                move_feed(db, connection, feed, cursor=None, moved_at=now)
            if changes is not None:
                self._runs.stop(db, connection, changes, reason)
                row = feed_row(db, connection, changes)
                cursor = dict((row and row["cursor"]) or {})
                cursor.pop(entity, None)
                move_feed(db, connection, changes, cursor=cursor, moved_at=now)
            set_due(db, connection, entity, reason, newest_landing(db), withheld=None)
            abandon_walks(db, connection, entity, reason, now)

    def reached_head(self, claim: Claim, names: Sequence[str], asked_at: int) -> None:
        """These entities were read to their head by a poll that began at that landing number (sequence 5)."""
        with self._database.write(Point.HEAD_REACHED) as db:
            self._runs.fence(db, claim)
            for name in names:
                put_entity(db, claim.connection, name, head_landing=asked_at, head_at=self._database.now(db))


def came_back(columns: Sequence[str]) -> str:
    """Why a refresh is due once the remote system sends columns again."""
    return f"sent again: {', '.join(columns)}"
