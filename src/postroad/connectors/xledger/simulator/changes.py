"""What people do in the simulated Xledger: every change of a row is one entry of the delta log."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from postroad.connectors.xledger.simulator.company import (
    BLOCK,
    HIDDEN,
    PLACE,
    REFERENCES,
    SCALARS,
    Reference,
    References,
    Value,
)
from postroad.connectors.xledger.simulator.deltas import MutationType
from postroad.connectors.xledger.simulator.filters import OWNER_SETS, everything
from postroad.connectors.xledger.simulator.names import HOURS, TEXTS
from postroad.connectors.xledger.simulator.pages import local_time
from postroad.connectors.xledger.simulator.store import Row, Store

OWNERS_OF_TOKEN = OWNER_SETS["MINE"]


class Changes:
    """Changes a store at a time of the clock. Random choices follow from the seed. Not thread safe."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._draw = random.Random(f"changes {store.company.seed}")

    def mutate(self, count: int, now: float) -> list[int]:
        """Change hours and text of random rows; their dbIds."""
        changed = []
        for number, row in list(self._some(count)):
            values = {"workingHours": self._draw.choice(HOURS), "text": self._draw.choice(TEXTS)}
            self._write("UPDATED", number, _with(row, modifiedAt=local_time(now), **values), now)
            changed.append(int(row[PLACE["dbId"]] or 0))
        return changed

    def update(self, db_id: int, fields: dict[str, Any], now: float, delta: bool) -> None:
        """Set fields of one row. Any value is taken, bad ones too; references by the dbId of their object.

        Without `delta` nothing is logged and `modifiedAt` stays, as when a value goes bad in the remote database.
        """
        number, row = self._existing(db_id)
        values = {name: self._stored(name, value) for name, value in fields.items()}
        stamp = {"modifiedAt": local_time(now)} if delta else {}
        self._write("UPDATED", number, _with(row, **(stamp | values)), now, delta=delta)

    def delete(self, which: int | Iterable[int], now: float) -> list[int]:
        """Delete random rows, or those with these dbIds; their dbIds."""
        found = list(self._some(which)) if isinstance(which, int) else [self._existing(db_id) for db_id in which]
        for number, row in found:
            self.store.remove(number, row)
            self.store.log.append("DELETED", number, now, row, self.store.catalog)
        return [int(row[PLACE["dbId"]] or 0) for _, row in found]

    def restore(self, db_ids: Iterable[int], now: float) -> None:
        """Bring deleted rows back under their dbIds."""
        for db_id in db_ids:
            number = self.store.number(db_id)
            row = None if number is None else self.store.lost_row(number)
            if number is None or row is None:
                raise LookupError(f"no deleted timesheet {db_id}")
            self._write("ADDED", number, _with(row, modifiedAt=local_time(now)), now)

    def add(self, count: int, now: float) -> list[int]:
        """Add new rows, not yet approved; their dbIds."""
        stamp = local_time(now)
        fresh: dict[str, Value] = {
            "createdAt": stamp,
            "modifiedAt": stamp,
            "assignmentDate": stamp[:10],
            "closed": False,
        }
        fresh |= dict.fromkeys(("isHeaderApproved", "approved", "invoiced", "posted"), False)
        fresh |= {"headerApprovedAt": None, "approvedAt": None, "approvedBy": 0, "timesheetStatus": 1}
        added = []
        for _ in range(count):
            number, self.store.end = self.store.end, self.store.end + 1
            row = self.store.company.row(number)
            fresh["owner"] = row[PLACE["owner"]] if row[PLACE["owner"]] in OWNERS_OF_TOKEN else 2
            self._write("ADDED", number, _with(row, **fresh), now)
            added.append(int(row[PLACE["dbId"]] or 0))
        return added

    def rename(self, kind: str, db_id: int, description: str, now: float, delta: bool) -> int:
        """Rename an object that timesheets refer to. With `delta` each of those rows is logged; how many were."""
        place = self._place(kind, db_id)
        entry = {**self.store.catalog[kind][place], "name" if kind == "status" else "description": description}
        catalog = dict(self.store.catalog)
        catalog[kind] = References((*catalog[kind][:place], entry, *catalog[kind][place + 1 :]))
        if kind == "owner":
            catalog = {name: _with_owner(entries, entry) for name, entries in catalog.items()}
        self.store.catalog = catalog
        self.store.version += 1
        return self._log_users(kind, place, now) if delta else 0

    def _log_users(self, kind: str, place: int, now: float) -> int:
        fields = [name for name, target in REFERENCES.items() if target == kind]
        logged = 0
        for part in self.store.parts(everything, 0, self.store.end):
            columns = [self.store.column(name, part.block) for name in fields]
            users = [index for index in part.places if any(column[index] == place for column in columns)]
            for index in users:
                number = part.block * BLOCK + index
                row = self.store.row(number)
                if row is not None:
                    self.store.log.append("UPDATED", number, now, row, self.store.catalog)
            logged += len(users)
        return logged

    def _write(self, kind: MutationType, number: int, row: Row, now: float, delta: bool = True) -> None:
        self.store.put(number, row)
        if delta:
            self.store.log.append(kind, number, now, row, self.store.catalog)

    def _some(self, count: int) -> Iterator[tuple[int, Row]]:
        """Different random rows that the token can see; fewer if there are not enough."""
        store, seen = self.store, set[int]()
        for _ in range(count * 20):
            number = self._draw.randrange(store.end) if store.end else 0
            row = None if number in seen else store.row(number)
            seen.add(number)
            if row is not None and row[PLACE["owner"]] in OWNERS_OF_TOKEN:
                yield number, row
                count -= 1
            if count <= 0:
                return

    def _existing(self, db_id: int) -> tuple[int, Row]:
        number = self.store.number(int(db_id))
        row = None if number is None else self.store.row(number)
        if number is None or row is None:
            raise LookupError(f"no timesheet {db_id}")
        return number, row

    def _stored(self, name: str, value: Any) -> Any:
        if name == "dbId":
            raise ValueError("a dbId cannot be changed")
        if name in SCALARS or name in HIDDEN:
            return value
        if name not in REFERENCES:
            raise ValueError(f"a timesheet has no field '{name}' that can be set")
        return self._place(REFERENCES[name], int(value)) if value else 0

    def _place(self, kind: str, db_id: int) -> int:
        for place, entry in enumerate(self.store.catalog.get(kind, ())):
            if entry["dbId"] == db_id and place:
                return place
        raise LookupError(f"no {kind} {db_id}")


def moment_of(value: str | float) -> float:
    """Seconds since 1970 from a number or an ISO text (UTC where it names no zone)."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    return float(value)


def _with(row: Row, **values: Any) -> Row:
    changed = list(row)
    for name, value in values.items():
        changed[PLACE[name]] = value
    return tuple(changed)


def _with_owner(entries: References, owner: Reference) -> References:
    """The entries, with the owner as it is called now."""
    named = ({**entry, "owner": owner} if _belongs(entry, owner) else entry for entry in entries)
    return References(named)


def _belongs(entry: Reference, owner: Reference) -> bool:
    return bool(entry.get("owner")) and entry["owner"]["dbId"] == owner["dbId"]
