"""Feeds, entities, walks and payloads: where every remote cursor lives, and what landed.

Written only here: the tables `feeds`, `entities`, `walks`, `payloads`. A payload's row, its feed's cursor and its
walk's progress are one transaction, made after the payload's file is durable: a crash before it leaves a file that
tracking does not list (litter, shown by `check`), and the next run fetches that payload again from the unmoved cursor;
a crash after it leaves everything in place, and the next run goes on behind it. Forgetting positions, marking their
entities as due a full refresh and abandoning open walks is one transaction as well (sequence 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Result, and_, func, insert, select, update

from postroad.errors import LostClaimError, StateError
from postroad.records import Json, Payload
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import entities, feeds, payloads, walks
from postroad.telemetry import Point
from postroad.tracking.runs import Claim, Runs


@dataclass(frozen=True)
class Landed:
    """A payload's file: its path in the lake, size in bytes, and digest."""

    path: str
    size: int
    digest: str


class Feeds:
    """Cursors, walks and payloads of all connections."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    # Cursors and payloads

    def cursor(self, connection: str, feed: str) -> Json:
        """The cursor after the last durable payload; None if there is none."""
        with self._database.read() as db:
            row = _feed(db, connection, feed)
            return row["cursor"] if row else None

    def moved_at(self, connection: str, feed: str) -> int | None:
        """When the cursor of a feed was last moved, in microseconds since 1970."""
        with self._database.read() as db:
            row = _feed(db, connection, feed)
            return row["moved_at"] if row else None

    def last_number(self, connection: str, feed: str) -> int:
        """The highest payload number that was ever given in this feed."""
        with self._database.read() as db:
            row = _feed(db, connection, feed)
            return row["last_number"] if row else 0

    def landing(self) -> int:
        """The project-wide landing number of the newest payload."""
        with self._database.read() as db:
            return _landing(db)

    def land(self, claim: Claim, payload: Payload, landed: Landed | None, number: int, walk: int | None) -> Row | None:
        """Record a payload that is durable and adopt its cursor; None for a payload without a body.

        Raises LostClaimError if the claim, the number or the walk is not ours any more.
        """
        with self._database.write(Point.PAYLOAD_ROW) as db:
            self._runs.fence(db, claim)
            row = _feed(db, claim.connection, claim.feed)
            if landed is not None and number != (row["last_number"] if row else 0) + 1:
                raise LostClaimError(f"payload {number} of {claim.feed} was numbered by somebody else")
            if walk is not None:
                _require_open(db, walk)
            now = self._database.now(db)
            if landed is None:
                _move(db, claim.connection, claim.feed, cursor=payload.cursor, moved_at=now)
                return None
            _move(db, claim.connection, claim.feed, cursor=payload.cursor, moved_at=now, last_number=number)
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
        row = _one(db.execute(insert(payloads).values(**values).returning(payloads)))
        if walk is not None:
            progress = {"last_landing": row["landing"], "fetched": payload.closes}
            db.execute(update(walks).where(walks.c.id == walk).values(**progress))
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
            row = first(db.execute(select(entities).where(_entity(connection, entity))))
        return row or {"due_reason": None, "due_landing": None, "withheld": False, "head_landing": None}

    def mark_due(self, connection: str, names: Sequence[str], reason: str) -> None:
        """Ask for a full refresh of these entities without forgetting anything."""
        with self._database.write(Point.REFRESH_DUE) as db:
            for name in names:
                _set_due(db, connection, name, reason, _landing(db), withheld=None)

    def forget(
        self,
        connection: str,
        feed: str,
        names: Sequence[str],
        reason: str,
        *,
        foreign: bool,
        last_number: int | None = None,
    ) -> None:
        """Forget these entities' positions in a feed of changes, abandon their open walks, mark them as due.

        `foreign` withholds their changes until a walk has closed; `last_number` lifts the numbering (sequence 3).
        """
        with self._database.write(Point.REFRESH_DUE) as db:
            row = _feed(db, connection, feed)
            cursor = dict((row and row["cursor"]) or {})
            for name in names:
                cursor.pop(name, None)
                _set_due(db, connection, name, reason, _landing(db), withheld=foreign or None)
                _abandon(db, connection, name, reason, self._database.now(db))
            values = {"cursor": cursor, "moved_at": self._database.now(db)}
            if last_number is not None:
                values["last_number"] = last_number
            _move(db, connection, feed, **values)

    def reset(self, connection: str, feed: str, entity: str, reason: str, *, last_number: int | None = None) -> None:
        """Forget the cursor and the open walk of an entity's own feed and mark it as due."""
        with self._database.write(Point.REFRESH_DUE) as db:
            _set_due(db, connection, entity, reason, _landing(db), withheld=None)
            _abandon(db, connection, entity, reason, self._database.now(db))
            values: dict[str, Any] = {"cursor": None, "moved_at": self._database.now(db)}
            if last_number is not None:
                values["last_number"] = last_number
            _move(db, connection, feed, **values)

    def set_cursor(self, connection: str, feed: str, cursor: Json) -> None:
        """Put another cursor in place, by a person's wish."""
        with self._database.write(Point.REFRESH_DUE) as db:
            _move(db, connection, feed, cursor=cursor, moved_at=self._database.now(db))

    def reached_head(self, claim: Claim, names: Sequence[str], asked_at: int) -> None:
        """These entities were read to their head by a poll that began at that landing number (sequence 5)."""
        with self._database.write(Point.HEAD_REACHED) as db:
            self._runs.fence(db, claim)
            for name in names:
                _put_entity(db, claim.connection, name, head_landing=asked_at)

    # Walks

    def open_walk(self, connection: str, entity: str, scope: str = "all") -> Row | None:
        """The walk that is open on a scope, if any."""
        return self._walk(connection, entity, scope, ("open",), kind="walk")

    def parked_walk(self, connection: str, entity: str, scope: str = "all") -> Row | None:
        """The newest parked walk of a scope, if any."""
        return self._walk(connection, entity, scope, ("parked",))

    def closed_walk(self, connection: str, entity: str, scope: str = "all") -> Row | None:
        """The last closed snapshot of a scope; replays are not snapshots."""
        return self._walk(connection, entity, scope, ("closed",), kind="walk")

    def begin_walk(self, claim: Claim, entity: str, version: int, *, scope: str = "all") -> Row:
        """Begin a walk at this landing number and forget the cursor of any earlier one."""
        with self._database.write(Point.WALK_BEGUN) as db:
            self._runs.fence(db, claim)
            _move(db, claim.connection, claim.feed, cursor=None, moved_at=self._database.now(db))
            return self._new_walk(db, claim, entity, version, scope, begun_landing=_landing(db), kind="walk")

    def begin_replay(self, claim: Claim, source: Row, version: int) -> Row:
        """Begin a close from the pages of a closed walk, without fetching them again (sequence 7)."""
        with self._database.write(Point.WALK_BEGUN) as db:
            self._runs.fence(db, claim)
            _drop_replays(db, claim.connection, source["entity"], self._database.now(db))
            copied = {key: source[key] for key in ("begun_landing", "last_landing", "fetched")}
            pages = source["pages_of"] or source["id"]
            return self._new_walk(
                db, claim, source["entity"], version, source["scope"], kind="replay", pages_of=pages, **copied
            )

    def park(self, walk: int, reason: str) -> None:
        """Park a close whole; a person decides."""
        with self._database.write(Point.CLOSE_PARKED) as db:
            values = {"status": "parked", "reason": reason, "ended_at": self._database.now(db)}
            db.execute(update(walks).where(walks.c.id == walk).values(**values))

    def allow(self, walk: int) -> None:
        """Open a parked close again and let it pass its guards."""
        with self._database.write(Point.WALK_BEGUN) as db:
            db.execute(update(walks).where(walks.c.id == walk).values(status="open", allowed=True, ended_at=None))

    def discard_walk(self, walk: int, reason: str) -> None:
        """Drop a parked close."""
        with self._database.write(Point.CLOSE_PARKED) as db:
            values = {"status": "discarded", "reason": reason, "ended_at": self._database.now(db)}
            db.execute(update(walks).where(walks.c.id == walk).values(**values))

    def close_walk(self, db: Connection, walk: Row) -> None:
        """Within the closing transaction: the walk is closed, parked ones before it superseded, its debt paid."""
        now = self._database.now(db)
        db.execute(update(walks).where(walks.c.id == walk["id"]).values(status="closed", ended_at=now))
        scope = _scope(walk["connection"], walk["entity"], walk["scope"])
        parked = scope & (walks.c.status == "parked") & (walks.c.id < walk["id"])
        db.execute(update(walks).where(parked).values(status="discarded", reason="superseded"))
        if walk["kind"] == "replay":
            return
        paid = _entity(walk["connection"], walk["entity"]) & (entities.c.due_landing <= walk["begun_landing"])
        db.execute(update(entities).where(paid).values(due_reason=None, due_landing=None, withheld=False))

    def _walk(
        self, connection: str, entity: str, scope: str, statuses: Sequence[str], kind: str | None = None
    ) -> Row | None:
        wanted = _scope(connection, entity, scope) & walks.c.status.in_(statuses)
        if kind is not None:
            wanted &= walks.c.kind == kind
        with self._database.read() as db:
            return first(db.execute(select(walks).where(wanted).order_by(walks.c.id.desc()).limit(1)))

    def _new_walk(self, db: Connection, claim: Claim, entity: str, version: int, scope: str, **more: Any) -> Row:
        mine = {"connection": claim.connection, "feed": claim.feed, "entity": entity, "scope": scope, "run": claim.run}
        values = {"version": version, "status": "open", "begun_at": self._database.now(db), **mine, **more}
        return _one(db.execute(insert(walks).values(**values).returning(walks)))


def _one(result: Result[Any]) -> Row:
    found = many(result)
    if len(found) != 1:
        raise StateError(f"one row was written and {len(found)} came back")
    return found[0]


def _landing(db: Connection) -> int:
    return int(db.execute(select(func.max(payloads.c.landing))).scalar() or 0)


def _feed(db: Connection, connection: str, feed: str) -> Row | None:
    mine = (feeds.c.connection == connection) & (feeds.c.feed == feed)
    return first(db.execute(select(feeds).where(mine)))


def _move(db: Connection, connection: str, feed: str, **values: Any) -> None:
    mine = (feeds.c.connection == connection) & (feeds.c.feed == feed)
    if db.execute(update(feeds).where(mine).values(**values)).rowcount == 0:
        db.execute(insert(feeds).values(connection=connection, feed=feed, **{"last_number": 0, **values}))


def _entity(connection: str, entity: str) -> Any:
    return (entities.c.connection == connection) & (entities.c.entity == entity)


def _put_entity(db: Connection, connection: str, entity: str, **values: Any) -> None:
    if db.execute(update(entities).where(_entity(connection, entity)).values(**values)).rowcount == 0:
        db.execute(insert(entities).values(connection=connection, entity=entity, **{"withheld": False, **values}))


def _set_due(db: Connection, connection: str, entity: str, reason: str, landing: int, *, withheld: bool | None) -> None:
    values: dict[str, Any] = {"due_reason": reason, "due_landing": landing}
    if withheld is not None:
        values["withheld"] = withheld
    _put_entity(db, connection, entity, **values)


def _scope(connection: str, entity: str, scope: str) -> Any:
    return (walks.c.connection == connection) & (walks.c.entity == entity) & (walks.c.scope == scope)


def _abandon(db: Connection, connection: str, entity: str, reason: str, now: int) -> None:
    mine = (walks.c.connection == connection) & (walks.c.entity == entity)
    unfinished = mine & walks.c.status.in_(("open", "parked"))
    for walk in db.execute(select(walks.c.id, walks.c.kind).where(unfinished)).all():
        values = {"status": "abandoned", "reason": reason, "ended_at": now}
        db.execute(update(walks).where(walks.c.id == walk.id).values(**values))
        dropped = {"status": "discarded", "reason": "superseded"}
        db.execute(update(payloads).where(payloads.c.walk == walk.id).values(**dropped))


def _drop_replays(db: Connection, connection: str, entity: str, now: int) -> None:
    """A replay that was killed is begun anew by the next one."""
    mine = (walks.c.connection == connection) & (walks.c.entity == entity) & (walks.c.kind == "replay")
    unfinished = mine & walks.c.status.in_(("open", "parked"))
    db.execute(update(walks).where(unfinished).values(status="discarded", reason="begun anew", ended_at=now))


def _require_open(db: Connection, walk: int) -> None:
    status = db.execute(select(walks.c.status).where(walks.c.id == walk)).scalar()
    if status is None:
        raise StateError(f"there is no walk {walk}")
    if status != "open":
        raise LostClaimError(f"walk {walk} was ended while its pages were fetched: {status}")
