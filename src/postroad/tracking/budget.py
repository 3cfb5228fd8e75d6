"""The calls that a tenant allows, shared by every process of the project.

Written only here: the tables `budgets` (the times of the last calls per budget) and `calls` (a count per calendar
month). A crash after taking and before calling wastes one call of the budget and nothing else.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from postroad.store.database import Database
from postroad.store.schema import budgets, calls
from postroad.telemetry import Point


class TrackedBudget:
    """The Budget of the SDK, kept in the tracking database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, per: float, most: int) -> float:
        """Take one of at most `most` calls in any `per` seconds; the seconds to wait before making it."""
        with self._database.write(Point.BUDGET_TAKEN) as db:
            now = self._database.now(db) / 1e6
            row = db.execute(select(budgets.c.taken).where(budgets.c.name == name)).first()
            # Times ahead of us by more than the window come from a clock that was set back since: they count no more.
            taken = [at for at in (row.taken if row else []) if at < now + per][-most:]
            start = max(now, taken[0] + per) if len(taken) == most else now
            db.execute(delete(budgets).where(budgets.c.name == name))
            db.execute(insert(budgets).values(name=name, taken=[*taken, start][-most:]))
            return start - now

    def count(self, name: str, month: str) -> int:
        """Count one call in that month; how many there are now."""
        with self._database.write(Point.BUDGET_TAKEN) as db:
            mine = (calls.c.name == name) & (calls.c.month == month)
            if db.execute(update(calls).where(mine).values(count=calls.c.count + 1)).rowcount == 0:
                db.execute(insert(calls).values(name=name, month=month, count=1))
            return int(db.execute(select(calls.c.count).where(mine)).scalar_one())

    def counted(self) -> dict[str, dict[str, int]]:
        """The calls made, by budget and month."""
        with self._database.read() as db:
            found: dict[str, dict[str, int]] = {}
            for row in db.execute(select(calls).order_by(calls.c.name, calls.c.month)):
                found.setdefault(row.name, {})[row.month] = row[2]
            return found
