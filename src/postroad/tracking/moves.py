"""Single moves on the books of feeds, entities, walks and messages, made within somebody else's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Result, bindparam, func, insert, select, update

from postroad.errors import LostClaimError, StateError
from postroad.status import LEGAL, Status
from postroad.store.rows import Row, first, many
from postroad.store.schema import entities, feeds, messages, moves, payloads, walks

# Statements of every payload are made once: making one costs SQLAlchemy more than executing it.
_NEWEST = select(func.max(payloads.c.landing))
_OF_FEED = (feeds.c.connection == bindparam("of_connection")) & (feeds.c.feed == bindparam("of_feed"))
_FEED = select(feeds).where(_OF_FEED)
_MOVE_FEED = update(feeds).where(_OF_FEED)
_MOVE_MESSAGE = (
    update(messages)
    .where((messages.c.id == bindparam("of_message")) & (messages.c.status == bindparam("was")))
    .returning(messages.c.attempts)
)
_SET_MESSAGE = update(messages).where(messages.c.id == bindparam("of_message"))
_NOTE_MOVE = insert(moves)
_STATUS = select(walks.c.status).where(walks.c.id == bindparam("walk"))


def the_row(result: Result[Any]) -> Row:
    """The one row that a statement returned."""
    found = many(result)
    if len(found) != 1:
        raise StateError(f"one row was written and {len(found)} came back")
    return found[0]


def newest_landing(db: Connection) -> int:
    """The project-wide landing number of the newest payload."""
    return int(db.execute(_NEWEST).scalar() or 0)


def feed_row(db: Connection, connection: str, feed: str) -> Row | None:
    """A feed's row, if it ever moved."""
    return first(db.execute(_FEED, {"of_connection": connection, "of_feed": feed}))


def move_feed(db: Connection, connection: str, feed: str, **values: Any) -> None:
    """Set columns of a feed's row."""
    if db.execute(_MOVE_FEED, {"of_connection": connection, "of_feed": feed, **values}).rowcount == 0:
        db.execute(insert(feeds).values(connection=connection, feed=feed, **{"last_number": 0, **values}))


def of_entity(connection: str, entity: str) -> Any:
    """The condition that names an entity's row."""
    return (entities.c.connection == connection) & (entities.c.entity == entity)


def put_entity(db: Connection, connection: str, entity: str, **values: Any) -> None:
    """Set columns of an entity's row."""
    if db.execute(update(entities).where(of_entity(connection, entity)).values(**values)).rowcount == 0:
        db.execute(insert(entities).values(connection=connection, entity=entity, **{"withheld": False, **values}))


def set_due(db: Connection, connection: str, entity: str, reason: str, landing: int, *, withheld: bool | None) -> None:
    """Ask for a full refresh of an entity."""
    values: dict[str, Any] = {"due_reason": reason, "due_landing": landing}
    if withheld is not None:
        values["withheld"] = withheld
    put_entity(db, connection, entity, **values)


def of_scope(connection: str, entity: str, scope: str) -> Any:
    """The condition that names the walks of a scope."""
    return (walks.c.connection == connection) & (walks.c.entity == entity) & (walks.c.scope == scope)


def abandon_walks(db: Connection, connection: str, entity: str, reason: str, now: int) -> None:
    """End an entity's unfinished walks; what they landed is superseded."""
    mine = (walks.c.connection == connection) & (walks.c.entity == entity)
    unfinished = mine & walks.c.status.in_(("open", "parked"))
    for walk in db.execute(select(walks.c.id, walks.c.kind).where(unfinished)).all():
        values = {"status": "abandoned", "reason": reason, "ended_at": now}
        db.execute(update(walks).where(walks.c.id == walk.id).values(**values))
        dropped = {"status": "discarded", "reason": "superseded"}
        db.execute(update(payloads).where(payloads.c.walk == walk.id).values(**dropped))


def supersede_walks(db: Connection, connection: str, entity: str, reason: str, now: int) -> None:
    """End all walks of an entity, closed ones too: none of them is a snapshot to be replayed any more."""
    abandon_walks(db, connection, entity, reason, now)
    closed = (walks.c.connection == connection) & (walks.c.entity == entity) & (walks.c.status == "closed")
    db.execute(update(walks).where(closed).values(status="discarded", reason=reason))


def drop_replays(db: Connection, connection: str, entity: str, scope: str, now: int, *, parked: bool = True) -> None:
    """A replay that was killed is begun anew by the next one, as is a parked one unless it is to stay."""
    statuses = ("open", "parked") if parked else ("open",)
    mine = of_scope(connection, entity, scope) & (walks.c.kind == "replay") & walks.c.status.in_(statuses)
    db.execute(update(walks).where(mine).values(status="discarded", reason="begun anew", ended_at=now))


def require_open(db: Connection, walk: int) -> None:
    """LostClaimError unless the walk is open."""
    status = db.execute(_STATUS, {"walk": walk}).scalar()
    if status is None:
        raise StateError(f"there is no walk {walk}")
    if status != "open":
        raise LostClaimError(f"walk {walk} was ended while its pages were fetched: {status}")


def move_message(
    db: Connection, message: int, before: Status, after: Status, reason: str, actor: str, now: int, **values: Any
) -> None:
    """Compare-and-set a message's status and note it; LostClaimError if it is not what we thought any more."""
    if after not in LEGAL.get(before, ()):
        raise StateError(f"a message never goes from {before} to {after}")
    same = {"of_message": message, "was": before}
    attempts = db.execute(_MOVE_MESSAGE, {**same, "status": after, "reason": reason, **values}).scalar()
    if attempts is None:
        raise LostClaimError(f"message {message} is not {before} any more")
    note_move(db, message, before, after, reason, actor, now, attempts)


def move_queued(
    db: Connection, moved: Sequence[tuple[int, Status, str, int]], actor: str, now: int, **values: Any
) -> None:
    """The same for many messages that this transaction has found queued: id, status, reason and attempts of each."""
    for _, after, _, _ in moved:
        if after not in LEGAL[Status.QUEUED]:
            raise StateError(f"a message never goes from {Status.QUEUED} to {after}")
    rows = [{"of_message": message, "status": after, "reason": reason, **values} for message, after, reason, _ in moved]
    db.execute(_SET_MESSAGE, rows)
    history = {"before": Status.QUEUED, "actor": actor, "moved_at": now}
    noted = [
        {"message": message, "after": after, "reason": reason, "attempt": attempt, **history}
        for message, after, reason, attempt in moved
    ]
    db.execute(_NOTE_MOVE, noted)


def note_new(db: Connection, made: Sequence[int], actor: str, now: int) -> None:
    """Begin the history of messages that were just dispatched."""
    same = {
        "before": None,
        "after": Status.QUEUED,
        "reason": "dispatched",
        "actor": actor,
        "attempt": 0,
        "moved_at": now,
    }
    db.execute(_NOTE_MOVE, [{"message": message, **same} for message in made])


def note_move(
    db: Connection, message: int, before: Status | None, after: Status, reason: str, actor: str, now: int, attempt: int
) -> None:
    """Append to the history of a message."""
    move = {"message": message, "before": before, "after": after, "reason": reason, "actor": actor}
    db.execute(_NOTE_MOVE, {"attempt": attempt, "moved_at": now, **move})
