"""What people do in the simulated Xledger: every change of a row is one entry of its table's log."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from postroad.connectors.xledger.simulator.declare import NOW, TODAY, Field, Moment, Table, Value
from postroad.connectors.xledger.simulator.deltas import MutationType
from postroad.connectors.xledger.simulator.filters import OWNER_SETS, everything
from postroad.connectors.xledger.simulator.generate import BLOCK, Row
from postroad.connectors.xledger.simulator.pages import local_time
from postroad.connectors.xledger.simulator.store import Rows, Store
from postroad.connectors.xledger.simulator.tables import CONNECTIONS, ENTITIES, REFERRED, TABLES

OWNERS_OF_TOKEN = OWNER_SETS["MINE"]
STAMPS = ("modifiedAt", "headerModifiedAt")
NAMING = ("description", "code", "name")
"""What other rows show of a row; a change of it is a renaming."""


class Changes:
    """Changes a store at a time of the clock. Random choices follow from the seed. Not thread safe."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._draw = random.Random(f"changes {store.company.seed}")

    def mutate(self, table: str, count: int, now: float) -> list[int]:
        """Change the `mutable` columns of random rows; their dbIds."""
        rows = self.rows(table)
        found = list(self._some(rows, count))
        for number, row in found:
            drawn = self._draw.randrange(1 << 20)
            values = {name: rows.generated.values(name, drawn, drawn + 1)[0] for name in rows.table.mutable}
            self._write("UPDATED", rows, number, _with(rows.table, row, _stamps(rows.table, now) | values), now)
        return [_db_id(rows.table, row) for _, row in found]

    def update(self, table: str, db_id: int, fields: Mapping[str, Any], now: float, delta: bool, spread: bool) -> int:
        """Set fields of one row; how many deltas that made. Any value is taken, bad ones too; references by dbId.

        Without `delta` nothing is logged and `modifiedAt` stays, as when a value goes bad in the remote database.
        With `spread` a new description or code is logged for every row that shows it.
        """
        rows = self.rows(table)
        number, row = self._existing(rows, db_id)
        values = dict(self._stored(rows.table, name, value) for name, value in fields.items())
        stamps = _stamps(rows.table, now) if delta else {}
        self._write("UPDATED", rows, number, _with(rows.table, row, stamps | values), now, delta=delta)
        users = (
            self._log_users(table, number + 1, now) if delta and spread and not set(NAMING).isdisjoint(fields) else 0
        )
        return users + (delta and rows.table.deltas)

    def delete(self, table: str, which: int | Iterable[int], now: float) -> list[int]:
        """Delete random rows to which no other refers, or those with these dbIds; their dbIds."""
        rows = self.rows(table)
        if isinstance(which, int):
            found = list(self._some(rows, which, lonely=True))
        else:
            found = [self._existing(rows, db_id) for db_id in which]
            held = self._held(table)
            for number, row in found:
                if not _is_lonely(rows, number, held):
                    raise ValueError(f"{table} {_db_id(rows.table, row)} cannot be deleted: other rows may refer to it")
        for number, row in found:
            rows.remove(number, row)
            self._log("DELETED", rows, number, row, now)
        return [_db_id(rows.table, row) for _, row in found]

    def restore(self, table: str, db_ids: Iterable[int], now: float) -> None:
        """Bring deleted rows back under their dbIds."""
        rows = self.rows(table)
        for db_id in db_ids:
            number = rows.number(int(db_id))
            row = None if number is None else rows.lost_row(number)
            if number is None or row is None:
                raise LookupError(f"no deleted row {db_id} in {table}")
            self._write("ADDED", rows, number, _with(rows.table, row, _stamps(rows.table, now)), now)

    def add(self, table: str, count: int, now: float) -> list[int]:
        """Add new rows, as `Table.fresh` says; their dbIds."""
        rows, added = self.rows(table), []
        stamp = local_time(now)
        times = {NOW: stamp, TODAY: stamp[:10]}
        fresh: dict[str, Value] = {
            name: times[value] if isinstance(value, Moment) else value for name, value in rows.table.fresh.items()
        }
        for _ in range(count):
            number, row = self._appended(rows, fresh)
            self._log("ADDED", rows, number, row, now)
            added.append(_db_id(rows.table, row))
        return added

    def rename(self, table: str, db_id: int, description: str, now: float, spread: bool) -> int:
        """Give a row another name, which all rows that refer to it show at once. With `spread` each of those is logged
        too; how many deltas that made, its own included.
        """
        rows = self._any_rows(table)
        field = "description" if "description" in rows.table.place else "name"
        number, row = self._existing(rows, db_id)
        changed = _with(rows.table, row, _stamps(rows.table, now) | {field: description})
        self._write("UPDATED", rows, number, changed, now)
        return rows.table.deltas + (self._log_users(rows.table.name, number + 1, now) if spread else 0)

    def live(self, rounds: Iterable[tuple[int, float]]) -> None:
        """What happened to a live company at these times: so many rows of each entity changed, some new, some gone.

        Random choices are others than those of the demo, and the same each time that it is copied.
        """
        own, self._draw = self._draw, random.Random(f"live {self.store.company.seed}")
        for count, at in rounds:
            for table in ENTITIES:
                self.mutate(table.name, count, at)
                self.add(table.name, -(-count // 3), at)
                self.delete(table.name, -(-count // 5), at)
        self._draw = own

    def rows(self, table: str) -> Rows:
        """The rows of a connection; a LookupError that lists them for another name."""
        if table not in CONNECTIONS:
            raise LookupError(f"no entity '{table}'; there are: {', '.join(sorted(CONNECTIONS))}")
        return self.store.rows[table]

    def _any_rows(self, name: str) -> Rows:
        """The rows of any table, by its name or that of one row."""
        table = next((each for each in TABLES.values() if name in (each.name, each.singular)), None)
        if table is None:
            raise LookupError(f"no table '{name}'; there are: {', '.join(sorted(TABLES))}")
        return self.store.rows[table.name]

    def _log_users(self, table: str, place: int, now: float) -> int:
        """Log every row with a reference to that place of a table."""
        return sum(
            self._log_referring(rows, table, place, now) for rows in self.store.rows.values() if rows.table.deltas
        )

    def _log_referring(self, rows: Rows, table: str, place: int, now: float) -> int:
        fields = [name for name in rows.table.stored if rows.table.fields[name].of == table]
        logged = 0
        for part in rows.parts(everything, 0, rows.end) if fields else ():
            columns = [rows.column(name, part.block) for name in fields]
            users = [index for index in part.places if any(column[index] == place for column in columns)]
            for index in users:
                number = part.block * BLOCK + index
                row = rows.row(number)
                if row is not None:
                    self._log("UPDATED", rows, number, row, now)
            logged += len(users)
        return logged

    def _write(self, kind: MutationType, rows: Rows, number: int, row: Row, now: float, delta: bool = True) -> None:
        rows.put(number, row)
        if delta:
            self._log(kind, rows, number, row, now)

    def _log(self, kind: MutationType, rows: Rows, number: int, row: Row, now: float) -> None:
        if rows.table.deltas:
            rows.log.append(kind, number, now, row, self.store.era)

    def _some(self, rows: Rows, count: int, lonely: bool = False) -> Iterator[tuple[int, Row]]:
        """Different random rows that the token can see; fewer if there are not enough."""
        low = rows.generated.reach if lonely and rows.table.name in REFERRED else 0
        held = self._held(rows.table.name) if lonely else set()
        seen = set[int]()
        for _ in range(count * 20 if rows.end > low else 0):
            number = self._draw.randrange(low, rows.end)
            row = None if number in seen else rows.row(number)
            seen.add(number)
            if row is not None and self._is_seen(rows.table, row) and (not lonely or _is_lonely(rows, number, held)):
                yield number, row
                count -= 1
            if count <= 0:
                return

    def _is_seen(self, table: Table, row: Row) -> bool:
        return "owner" not in table.place or row[table.place["owner"]] in OWNERS_OF_TOKEN

    def _held(self, table: str) -> set[Value]:
        """The places of a table to which rows refer that were changed, or deleted and may come back."""
        held: set[Value] = set()
        for rows in self.store.rows.values() if table in REFERRED else ():
            places = [rows.table.place[name] for name in rows.table.stored if rows.table.fields[name].of == table]
            held.update(row[at] for row in (rows.touched() if places else ()) for at in places)
        return held

    def _appended(self, rows: Rows, fresh: Mapping[str, Value]) -> tuple[int, Row]:
        """One more row as it would be generated, but the token's; rows that run beside it come to be too."""
        number, rows.end = rows.end, rows.end + 1
        row = _with(rows.table, rows.generated.row(number), fresh)
        if not self._is_seen(rows.table, row):
            row = _with(rows.table, row, {"owner": min(OWNERS_OF_TOKEN)})
        for name in rows.table.stored:
            target = self.store.rows.get(rows.table.fields[name].of, rows)
            while target is not rows and target.end < int(row[rows.table.place[name]] or 0):
                self._appended(target, {})
        rows.put(number, row)
        return number, row

    def _existing(self, rows: Rows, db_id: int) -> tuple[int, Row]:
        number = rows.number(int(db_id))
        row = None if number is None else rows.row(number)
        if number is None or row is None:
            raise LookupError(f"no row {db_id} in {rows.table.name}")
        return number, row

    def _stored(self, table: Table, name: str, value: Any) -> tuple[str, Any]:
        """The column behind a field, and what it is to hold."""
        if name == "dbId":
            raise ValueError("a dbId cannot be changed")
        field = table.fields.get(name) or Field("")
        column = name if field.make else field.column
        if column not in table.place:
            raise ValueError(f"{table.name} have no field '{name}' that can be set")
        if not field.of:
            return column, value
        return column, self._existing(self.store.rows[field.of], int(value))[0] + 1 if value else 0


def moment_of(value: str | float) -> float:
    """Seconds since 1970 from a number or an ISO text (UTC where it names no zone)."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    return float(value)


def _is_lonely(rows: Rows, number: int, held: set[Value]) -> bool:
    """Whether no row refers to it: neither as generated, nor one that was changed since."""
    return rows.table.name not in REFERRED or (number >= rows.generated.reach and number + 1 not in held)


def _db_id(table: Table, row: Row) -> int:
    return int(row[table.place["dbId"]] or 0)


def _stamps(table: Table, now: float) -> dict[str, Value]:
    return {name: local_time(now) for name in STAMPS if name in table.place}


def _with(table: Table, row: Row, values: Mapping[str, Any]) -> Row:
    changed = list(row)
    for name, value in values.items():
        changed[table.place[name]] = value
    return tuple(changed)
