"""Rejections: records that were not accepted, with stage, cause and sentence.

Written only here: the table `rejections`. The rejections of a payload are replaced in one transaction before the
commit of its accepted rows, and those of the same keys that landed earlier close in it too: a crash between the two
leaves the payload to be normalised again by the next stage call, which writes the same rows again (unique by payload,
row and stage). The raw text lies in a file in the lake that each row names. Of stage `deliver` are records that a
receiver refused: `payload` is their message, `row` their place in it. They are written in the transaction that settles
the message: a crash leaves both or neither, and the message is sent again. One whose key the receiver holds in a newer
version is closed by whoever is later: by the newer version's outcome, which looks in its own transaction at what is
open; else by a look at the refusals of late (`engine/late`), which notes how far it got in `looked` of `subscriptions`.
A crash before that note leaves them to the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from postroad.errors import ConfigError
from postroad.records import ALL, Refusal
from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import rejections, subscriptions, walks
from postroad.telemetry import Point
from postroad.tracking.moves import of_scope

BATCH = 1000

NORMALISE = "normalise"
GUARD = "guard"
DELIVER = "deliver"


# Made once: every message passes it.
_REFUSED = (
    select(rejections)
    .where((rejections.c.subscription == bindparam("of_subscription")) & (rejections.c.status == "rejected"))
    .order_by(rejections.c.version, rejections.c.id)
)

_LATER = (
    (rejections.c.id > bindparam("upto"))
    & (rejections.c.subscription == bindparam("of_subscription"))
    & (rejections.c.status == "rejected")
)
_KEYS_AFTER = select(rejections.c.key).where(_LATER).distinct()
_ANY = select(rejections.c.id).where(_LATER).limit(1)
_AFTER = select(rejections).where(_LATER).order_by(rejections.c.id).limit(bindparam("most"))
_NEWEST = select(func.max(rejections.c.id))


@dataclass(frozen=True)
class Origin:
    """Where refused rows come from: the dataset's entity, the payload's landing number, its walk, the run."""

    connection: str
    entity: str
    payload: int
    walk: int | None
    run: str


@dataclass(frozen=True)
class Refused:
    """A record version that a receiver refused: its place in its message, its key, and why."""

    row: int
    key: str
    version: int
    cause: str
    sentence: str


@dataclass(frozen=True)
class Newer:
    """The versions that a receiver holds now of the keys that had an open rejection, when `upto` was the newest one.

    `of` says the same of other keys: somebody else may have written a rejection since.
    """

    held: Mapping[str, int]
    upto: int
    of: Callable[[Collection[str]], Mapping[str, int]]


class Rejections:
    """All rejections of a project."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(
        self, origin: Origin, refusals: Sequence[Refusal], file: str | None, accepted: Iterable[str] = ()
    ) -> None:
        """Make these the rejections of a payload, and close earlier ones of the keys that it accepts.

        `accepted` are key texts. What a person discarded stays discarded.
        """
        if not refusals and not self._concerned(origin):
            return
        with self._database.write(Point.REJECTED_ROWS) as db:
            now = self._database.now(db)
            mine = _of_payload(origin)
            db.execute(delete(rejections).where(mine & (rejections.c.status == "rejected")))
            kept = set(db.execute(select(rejections.c.row).where(mine)).scalars())
            rows = [_row(origin, refusal, file, now) for refusal in refusals if refusal.row not in kept]
            for start in range(0, len(rows), BATCH):
                db.execute(insert(rejections), rows[start : start + BATCH])
            self._supersede(db, origin, set(accepted), now)

    def answer(self, origin: Origin, accepted: set[str]) -> None:
        """Close the rejections of the keys that a payload accepted, where what was rejected landed earlier."""
        with self._database.write(Point.REJECTED_ROWS) as db:
            self._supersede(db, origin, accepted, self._database.now(db))

    def park_deletes(self, origin: Origin, keys: Sequence[str]) -> None:
        """List the deletes that a snapshot with an unreadable key did not emit (sequence 9)."""
        sentence = "the snapshot lacks this key, but another of its rows had no readable key: the delete is parked"
        with self._database.write(Point.REJECTED_ROWS) as db:
            now = self._database.now(db)
            db.execute(delete(rejections).where(_of_payload(origin) & (rejections.c.stage == GUARD)))
            refusals = [Refusal(row, key, "delete_parked", sentence, "") for row, key in enumerate(keys)]
            rows = [_row(origin, refusal, None, now) | {"stage": GUARD} for refusal in refusals]
            for start in range(0, len(rows), BATCH):
                db.execute(insert(rejections), rows[start : start + BATCH])

    def open(self, connection: str, entity: str, walk: int | None = None) -> list[Row]:
        """The open rejections of an entity, or only those on the pages of one walk."""
        wanted = _open(connection, entity)
        if walk is not None:
            wanted &= (rejections.c.walk == walk) & (rejections.c.stage == NORMALISE)
        with self._database.read() as db:
            return many(db.execute(select(rejections).where(wanted).order_by(rejections.c.id)))

    def of_key(self, connection: str, entity: str, key: str, most: int = 100) -> list[Row]:
        """The rejections of a key of every stage and status, newest first."""
        mine = (rejections.c.connection == connection) & (rejections.c.entity == entity) & (rejections.c.key == key)
        with self._database.read() as db:
            return many(db.execute(select(rejections).where(mine).order_by(rejections.c.id.desc()).limit(most)))

    def close_before(self, db: Connection, walk: Row, whole: int | None) -> None:
        """Within a closing transaction: what landed before a walk began is superseded by the walk (sequence 9).

        The walk of a part of the entity supersedes only what earlier walks of the same part rejected, and those of the
        changes that landed before every part was read: up to landing number `whole`, None if some part never was.
        """
        mine, payload = _open(walk["connection"], walk["entity"]), rejections.c.payload
        older = payload <= walk["begun_landing"]
        if walk["scope"] != ALL.name:
            same = of_scope(walk["connection"], walk["entity"], walk["scope"])
            older &= rejections.c.walk.in_(select(walks.c.id).where(same))
            if whole is not None:
                older |= rejections.c.walk.is_(None) & (payload <= whole)
        _close(db, mine & older, "superseded", self._database.now(db))

    def close_ids(self, db: Connection, ids: Sequence[int], reason: str = "superseded") -> None:
        """Within a closing transaction: those of these that are open are superseded, or what the reason says."""
        for start in range(0, len(ids), BATCH):
            still = rejections.c.id.in_(ids[start : start + BATCH]) & (rejections.c.status == "rejected")
            _close(db, still, reason, self._database.now(db))

    def all_open(self, db: Connection, ids: Sequence[int]) -> bool:
        """Within a transaction that closes them: whether nobody has closed any of these yet."""
        parts = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
        found = select(func.count()).select_from(rejections).where(rejections.c.status == "rejected")
        return sum(db.execute(found.where(rejections.c.id.in_(part))).scalar_one() for part in parts) == len(ids)

    def refuse(
        self, db: Connection, dataset: tuple[str, str], subscription: str, message: int, refused: Sequence[Refused]
    ) -> None:
        """Within the transaction that settles a message: the receiver refuses these of its records."""
        now = self._database.now(db)
        origin = {"connection": dataset[0], "entity": dataset[1], "stage": DELIVER, "payload": message}
        told = {"subscription": subscription, "run": subscription, "status": "rejected", "rejected_at": now}
        rows = [{**vars(each), **origin, **told} for each in refused]
        for start in range(0, len(rows), BATCH):
            db.execute(insert(rejections), rows[start : start + BATCH])

    def accept(self, db: Connection, subscription: str, answers: Sequence[Newer]) -> None:
        """Within the same: what was refused of keys in versions up to those that the receiver holds is superseded.

        Also what was written since these answers were put together, by a worker with an older version.
        """
        late = self._keys_after(db, subscription, min((each.upto for each in answers), default=0)) if answers else set()
        newest: dict[str, int] = {}
        for held in (held for each in answers for held in (each.held, each.of(late) if late else {})):
            newest |= {key: max(version, newest.get(key, 0)) for key, version in held.items()}
        found = [row for row in _open_of(db, subscription, [*newest]) if row["version"] <= newest[row["key"]]]
        self.close_ids(db, [row["id"] for row in found])

    def _keys_after(self, db: Connection, subscription: str, upto: int) -> set[str]:
        return set(db.execute(_KEYS_AFTER, {"of_subscription": subscription, "upto": upto}).scalars())

    def any_open(self, subscription: str) -> tuple[bool, int]:
        """Whether a record of a subscription is rejected, and the newest rejection of all."""
        with self._database.read() as db:
            found = db.execute(_ANY, {"of_subscription": subscription, "upto": 0}).first() is not None
            return found, db.execute(_NEWEST).scalar() or 0

    def open_keys(self, subscription: str, keys: Sequence[str]) -> set[str]:
        """Those of these keys of which a record is rejected."""
        with self._database.read() as db:
            return {row["key"] for row in _open_of(db, subscription, keys)}

    def refused_after(self, subscription: str, upto: int, most: int) -> tuple[list[Row], int]:
        """The open rejections of a subscription behind that one, so many at most; and up to which one those are all."""
        with self._database.read() as db:
            newest = db.execute(_NEWEST).scalar() or 0
            if newest <= upto:
                return [], upto
            found = many(db.execute(_AFTER, {"of_subscription": subscription, "upto": upto, "most": most}))
            return found, found[-1]["id"] if len(found) == most else newest

    def of_keys(self, subscription: str, keys: Sequence[str]) -> set[tuple[int, str, int]]:
        """What was ever rejected of these keys in a subscription: the message, the key and the version."""
        found: set[tuple[int, str, int]] = set()
        with self._database.read() as db:
            for start in range(0, len(keys), BATCH):
                mine = (rejections.c.subscription == subscription) & rejections.c.key.in_(keys[start : start + BATCH])
                wanted = select(rejections.c.payload, rejections.c.key, rejections.c.version).where(mine)
                found |= {(row.payload, row.key, row.version) for row in db.execute(wanted)}
        return found

    def supersede(self, subscription: str, ids: Sequence[int], upto: int) -> int:
        """Close those of these that are still open, and note up to which rejection somebody has looked; how many."""
        closed = 0
        with self._database.write(Point.LATE_CLOSED) as db:
            now = self._database.now(db)
            for start in range(0, len(ids), BATCH):
                part = rejections.c.id.in_(ids[start : start + BATCH]) & (rejections.c.status == "rejected")
                closed += _close(db, part, "superseded", now)
            looked = (subscriptions.c.name == subscription) & (subscriptions.c.looked < upto)
            db.execute(update(subscriptions).where(looked).values(looked=upto))
        return closed

    def refused(self, subscription: str) -> list[Row]:
        """The open rejections of a subscription, oldest version first."""
        with self._database.read() as db:
            return self.refused_in(db, subscription)

    def refused_in(self, db: Connection, subscription: str) -> list[Row]:
        """The same within a transaction."""
        return many(db.execute(_REFUSED, {"of_subscription": subscription}))

    def refused_messages(self, since: int | None = None) -> Any:
        """The messages of which records are still rejected, or were `since` then, for a condition."""
        still = rejections.c.status == "rejected"
        if since is not None:
            still |= rejections.c.closed_at >= since
        wanted = (rejections.c.stage == DELIVER) & still
        return select(rejections.c.payload).where(wanted)

    def drop(self, db: Connection, settled: Sequence[int]) -> None:
        """Within the transaction that drops these messages: what was rejected of them, all of it closed."""
        db.execute(delete(rejections).where((rejections.c.stage == DELIVER) & rejections.c.payload.in_(settled)))

    def refused_counts(self) -> dict[tuple[str, str], int]:
        """How many rejections are open, by subscription and cause."""
        group = (rejections.c.subscription, rejections.c.cause)
        wanted = (rejections.c.stage == DELIVER) & (rejections.c.status == "rejected")
        with self._database.read() as db:
            found = db.execute(select(*group, func.count()).where(wanted).group_by(*group))
            return {(row[0], row[1]): row[2] for row in found}

    def groups(self, stage: str | None = None) -> list[Row]:
        """The open rejections by dataset, subscription, stage and cause: how many, the newest of each; most first."""
        group = [rejections.c[name] for name in ("connection", "entity", "subscription", "stage", "cause")]
        wanted = rejections.c.status == "rejected"
        if stage is not None:
            wanted &= rejections.c.stage == stage
        count = func.count().label("records")
        found = select(*group, count, func.max(rejections.c.id).label("newest")).where(wanted).group_by(*group)
        counted = found.subquery()
        joined = select(counted, rejections.c.sentence).join(rejections, rejections.c.id == counted.c.newest)
        with self._database.read() as db:
            return many(db.execute(joined.order_by(counted.c.records.desc(), counted.c.newest.desc())))

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many rejections of the lake are open, by connection, entity and cause."""
        group = (rejections.c.connection, rejections.c.entity, rejections.c.cause)
        wanted = (rejections.c.status == "rejected") & (rejections.c.stage != DELIVER)
        with self._database.read() as db:
            found = db.execute(select(*group, func.count()).where(wanted).group_by(*group))
            return {(row[0], row[1], row[2]): row[3] for row in found}

    def files(self) -> list[str]:
        """The path of every file that holds the raw text of a rejection."""
        with self._database.read() as db:
            wanted = select(rejections.c.file).where(rejections.c.file.is_not(None)).distinct()
            return list(db.execute(wanted).scalars())

    def get(self, rejection: int) -> Row:
        """One rejection; ConfigError if there is none of that number."""
        with self._database.read() as db:
            row = first(db.execute(select(rejections).where(rejections.c.id == rejection)))
        if row is None:
            raise ConfigError(f"there is no rejection {rejection}; `postroad rejected list` shows them")
        return row

    def discard(self, ids: Sequence[int], actor: str) -> int:
        """Drop these rejections for good; how many were open."""
        with self._database.write(Point.REJECTED_ROWS) as db:
            wanted = rejections.c.id.in_(ids) & (rejections.c.status == "rejected")
            return _close(db, wanted, f"discarded by {actor}", self._database.now(db))

    def discard_all(self, subscription: str, actor: str) -> int:
        """Drop all that a receiver refused for good; how many were open."""
        with self._database.write(Point.REJECTED_ROWS) as db:
            wanted = (rejections.c.subscription == subscription) & (rejections.c.status == "rejected")
            return _close(db, wanted, f"discarded by {actor}", self._database.now(db))

    def list(self, stage: str | None = None, limit: int = 1000) -> list[Row]:
        """The open rejections, newest first."""
        wanted = rejections.c.status == "rejected"
        if stage is not None:
            wanted &= rejections.c.stage == stage
        with self._database.read() as db:
            found = db.execute(select(rejections).where(wanted).order_by(rejections.c.id.desc()).limit(limit))
            return many(found)

    def _concerned(self, origin: Origin) -> bool:
        """Whether any stored rejection could change; spares the good path a write transaction."""
        any_open = _open(origin.connection, origin.entity)
        with self._database.read() as db:
            concerned = select(rejections.c.id).where(_of_payload(origin) | any_open).limit(1)
            return db.execute(concerned).first() is not None

    def _supersede(self, db: Connection, origin: Origin, accepted: set[str], now: int) -> None:
        earlier = _open(origin.connection, origin.entity) & (rejections.c.payload < origin.payload)
        # Loops over open rejections, which are few; never over the accepted rows.
        keys = db.execute(select(rejections.c.id, rejections.c.key).where(earlier))
        found = [row.id for row in keys if row.key in accepted]
        for start in range(0, len(found), BATCH):
            _close(db, rejections.c.id.in_(found[start : start + BATCH]), "superseded", now)


def _row(origin: Origin, refusal: Refusal, file: str | None, now: int) -> dict[str, Any]:
    return {
        "connection": origin.connection,
        "entity": origin.entity,
        "stage": NORMALISE,
        "payload": origin.payload,
        "walk": origin.walk,
        "run": origin.run,
        "row": refusal.row,
        "key": refusal.key,
        "cause": refusal.cause,
        "sentence": refusal.sentence,
        "file": file,
        "status": "rejected",
        "rejected_at": now,
    }


def _of_payload(origin: Origin) -> Any:
    mine = (rejections.c.payload == origin.payload) & (rejections.c.entity == origin.entity)
    return mine & (rejections.c.stage != DELIVER)


def _open(connection: str, entity: str) -> Any:
    mine = (rejections.c.connection == connection) & (rejections.c.entity == entity)
    return mine & (rejections.c.status == "rejected") & (rejections.c.stage != DELIVER)


def _open_of(db: Connection, subscription: str, keys: Sequence[str]) -> Iterator[Row]:
    """The open rejections of these keys, whatever number of others there is."""
    mine = (rejections.c.subscription == subscription) & (rejections.c.status == "rejected")
    for start in range(0, len(keys), BATCH):
        part = rejections.c.key.in_(keys[start : start + BATCH])
        yield from many(db.execute(select(rejections).where(mine & part)))


def _close(db: Connection, wanted: Any, reason: str, now: int) -> int:
    done = db.execute(update(rejections).where(wanted).values(status="discarded", reason=reason, closed_at=now))
    return int(done.rowcount)
