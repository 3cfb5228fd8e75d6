"""Walks: from their beginning to their close; a replay is a walk over the pages of another one.

Written only here and, where a position is forgotten, by `feeds`: the table `walks`. A walk begins in one transaction
with the forgetting of its feed's old cursor. A crash before leaves no walk, a crash after an open one that the next
run goes on with. It is marked closed after its Delta commit: a crash between the two leaves it open, and the next
run's close finds no difference and marks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from postroad.errors import LostClaimError
from postroad.records import ALL, Scope
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import entities, walks
from postroad.telemetry import Point
from postroad.tracking.moves import (
    drop_replays,
    move_feed,
    newest_landing,
    of_entity,
    of_scope,
    require_open,
    the_row,
)
from postroad.tracking.runs import Claim, Runs

# Made once: every stage of a run asks for the open walk of a scope.
_NEWEST = (
    select(walks)
    .where(
        (walks.c.connection == bindparam("of_connection"))
        & (walks.c.entity == bindparam("of_entity"))
        & (walks.c.scope == bindparam("of_scope"))
        & walks.c.status.in_(bindparam("statuses", expanding=True))
        & (walks.c.kind == "walk")
    )
    .order_by(walks.c.id.desc())
    .limit(1)
)


class Walks:
    """The walks of all connections."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    def open(self, connection: str, entity: str, scope: str = "all") -> Row | None:
        """The walk that is open on a scope, if any."""
        return self._last(connection, entity, scope, ("open",))

    def get(self, walk: int) -> Row:
        """One walk."""
        with self._database.read() as db:
            return the_row(db.execute(select(walks).where(walks.c.id == walk)))

    def parked(self, connection: str, entity: str) -> list[Row]:
        """The parked walk of each scope of an entity that has one, the newest of each, oldest first."""
        mine = (walks.c.connection == connection) & (walks.c.entity == entity) & (walks.c.status == "parked")
        with self._database.read() as db:
            found = many(db.execute(select(walks).where(mine).order_by(walks.c.id)))
        return sorted({row["scope"]: row for row in found}.values(), key=lambda row: int(row["id"]))

    def decided(self, connection: str, entity: str, scope: str = "all") -> Row | None:
        """The newest walk on whose close a person decides or decided: parked, or discarded."""
        return self._last(connection, entity, scope, ("parked", "discarded"))

    def closed(self, connection: str, entity: str, scope: str = "all") -> Row | None:
        """The last closed snapshot of a scope; replays are not snapshots."""
        return self._last(connection, entity, scope, ("closed",))

    def closed_after(self, walk: Row) -> list[Row]:
        """The snapshots of the entity that began later than a walk and are closed."""
        mine = (walks.c.connection == walk["connection"]) & (walks.c.entity == walk["entity"])
        wanted = mine & (walks.c.status == "closed") & (walks.c.kind == "walk")
        wanted &= walks.c.id > (walk["pages_of"] or walk["id"])
        with self._database.read() as db:
            return many(db.execute(select(walks).where(wanted).order_by(walks.c.id)))

    def begin(self, claim: Claim, entity: str, version: int, scope: Scope = ALL) -> Row:
        """Begin a walk at this landing number and forget the cursor of any earlier one."""
        with self._database.write(Point.WALK_BEGUN) as db:
            self._runs.fence(db, claim)
            drop_replays(db, claim.connection, entity, scope.name, self._database.now(db), parked=False)
            move_feed(db, claim.connection, claim.feed, cursor=None, moved_at=self._database.now(db))
            bounds = {"column": scope.column, "equals": scope.equals, "at_least": scope.at_least, "moves": scope.moves}
            bounds |= {"adds": True} if scope.adds else {}
            bounds |= {"sweeps": True} if scope.sweeps else {}
            return self._new(
                db,
                claim,
                entity,
                version,
                scope.name,
                begun_landing=newest_landing(db),
                kind="walk",
                bounds=bounds,
                confirmed=not scope.moves,
            )

    def confirm(self, claim: Claim, walk: int) -> None:
        """The keys that the pages lack were asked for: the walk may close (sequence 12)."""
        with self._database.write(Point.WALK_CONFIRMED) as db:
            self._runs.fence(db, claim)
            require_open(db, walk)
            db.execute(update(walks).where(walks.c.id == walk).values(confirmed=True))

    def note_absent(self, db: Connection, walk: int, columns: Iterable[str]) -> None:
        """Within the transaction that lists a staged part: its pages lack these columns."""
        known = db.execute(select(walks.c.absent).where(walks.c.id == walk)).scalar() or []
        db.execute(update(walks).where(walks.c.id == walk).values(absent=sorted({*known, *columns})))

    def begin_replay(self, claim: Claim, source: Row, version: int) -> Row:
        """Begin a close from the pages of a closed walk, without fetching them again (sequence 7)."""
        with self._database.write(Point.WALK_BEGUN) as db:
            self._runs.fence(db, claim)
            drop_replays(db, claim.connection, source["entity"], source["scope"], self._database.now(db))
            copied = {key: source[key] for key in ("begun_landing", "last_landing", "fetched", "bounds", "confirmed")}
            pages = source["pages_of"] or source["id"]
            return self._new(
                db, claim, source["entity"], version, source["scope"], kind="replay", pages_of=pages, **copied
            )

    def park(self, walk: int, reason: str) -> None:
        """Park a close whole; a person decides."""
        with self._database.write(Point.CLOSE_PARKED) as db:
            values = {"status": "parked", "reason": reason, "ended_at": self._database.now(db)}
            _end(db, walk, values)

    def allow(self, walk: int) -> None:
        """Open a parked close again and let it pass its guards; the next run goes on with it."""
        with self._database.write(Point.WALK_BEGUN) as db:
            db.execute(update(walks).where(walks.c.id == walk).values(status="open", allowed=True, ended_at=None))

    def discard(self, walk: int, reason: str) -> None:
        """Drop a parked close."""
        with self._database.write(Point.CLOSE_PARKED) as db:
            values = {"status": "discarded", "reason": reason, "ended_at": self._database.now(db)}
            db.execute(update(walks).where(walks.c.id == walk).values(**values))

    def close(self, db: Connection, walk: Row, *, pays: bool) -> None:
        """Within the closing transaction: the walk is closed, parked ones before it superseded, its debt paid.

        `pays` says that all scopes of the entity have closed since its refresh came due, this one included.
        Raises LostClaimError if somebody abandoned the walk meanwhile (sequence 19): then it stays abandoned.
        """
        now = self._database.now(db)
        _end(db, walk["id"], {"status": "closed", "ended_at": now})
        scope = of_scope(walk["connection"], walk["entity"], walk["scope"])
        parked = scope & (walks.c.status == "parked") & (walks.c.id < walk["id"])
        db.execute(update(walks).where(parked).values(status="discarded", reason="superseded"))
        if walk["kind"] == "replay" or not pays:
            return
        paid = of_entity(walk["connection"], walk["entity"]) & (entities.c.due_landing <= walk["begun_landing"])
        db.execute(update(entities).where(paid).values(due_reason=None, due_landing=None, withheld=False))

    def _last(self, connection: str, entity: str, scope: str, statuses: Sequence[str]) -> Row | None:
        asked = {"of_connection": connection, "of_entity": entity, "of_scope": scope, "statuses": statuses}
        with self._database.read() as db:
            return first(db.execute(_NEWEST, asked))

    def _new(self, db: Connection, claim: Claim, entity: str, version: int, scope: str, **more: Any) -> Row:
        mine = {"connection": claim.connection, "feed": claim.feed, "entity": entity, "scope": scope, "run": claim.run}
        values = {"version": version, "status": "open", "begun_at": self._database.now(db), **mine, **more}
        return the_row(db.execute(insert(walks).values(**values).returning(walks)))


def _end(db: Connection, walk: int, values: dict[str, Any]) -> None:
    # A parked replay that is let pass stays parked until it is closed: nobody would go on with an open one.
    live = (walks.c.status == "open") | ((walks.c.status == "parked") & (walks.c.kind == "replay"))
    done = db.execute(update(walks).where((walks.c.id == walk) & live).values(**values))
    if done.rowcount != 1:
        raise LostClaimError(f"walk {walk} was abandoned by somebody else while it was being closed")
