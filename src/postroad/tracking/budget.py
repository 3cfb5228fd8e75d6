"""The calls that a tenant allows, shared by every process of the project.

Written only here: the tables `budgets` (the times of the last calls per budget) and `calls` (a count per calendar
month), both in one transaction before each call. A crash after it and before calling wastes one call of the budget and
nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from postroad.store.database import Database
from postroad.store.schema import budgets, calls
from postroad.telemetry import Point

# Made once: making a statement costs SQLAlchemy more than executing it, and every call passes these.
_MINE = budgets.c.name == bindparam("of_budget")
_TAKEN = select(budgets.c.taken).where(_MINE)
_TAKE = update(budgets).where(_MINE)
_IN_MONTH = (calls.c.name == bindparam("of_budget")) & (calls.c.month == bindparam("in_month"))
_COUNT = update(calls).where(_IN_MONTH).values(count=calls.c.count + 1)
_COUNTED = select(calls.c.count).where(_IN_MONTH)


class TrackedBudget:
    """The Budget of the SDK, kept in the tracking database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, per: float, most: int, patience: float) -> tuple[float, int]:
        """Take one of at most `most` calls in any `per` seconds: the seconds to wait, the calls of its month so far."""
        with self._database.write(Point.BUDGET_TAKEN) as db:
            now = self._database.now(db) / 1e6
            row = db.execute(_TAKEN, {"of_budget": name}).first()
            # Nobody books further ahead than that: such times come from a clock that was set back, and count no more.
            taken = [at for at in (row.taken if row else []) if at <= now + max(per, patience)][-most:]
            start = max(now, taken[0] + per) if len(taken) == most else now
            if start - now > patience:
                return start - now, 0
            _book(db, name, [*taken, start][-most:], new=row is None)
            return start - now, _counted(db, name, f"{datetime.fromtimestamp(start, UTC):%Y-%m}")

    def counted(self) -> dict[str, dict[str, int]]:
        """The calls made, by budget and month."""
        with self._database.read() as db:
            found: dict[str, dict[str, int]] = {}
            for row in db.execute(select(calls).order_by(calls.c.name, calls.c.month)):
                found.setdefault(row.name, {})[row.month] = row[2]
            return found


def _book(db: Connection, name: str, taken: list[float], *, new: bool) -> None:
    if new:
        db.execute(insert(budgets), {"name": name, "taken": taken})
    else:
        db.execute(_TAKE, {"of_budget": name, "taken": taken})


def _counted(db: Connection, name: str, month: str) -> int:
    """Count a call in its month; how many there are now."""
    mine = {"of_budget": name, "in_month": month}
    if db.execute(_COUNT, mine).rowcount == 0:
        db.execute(insert(calls), {"name": name, "month": month, "count": 1})
    return int(db.execute(_COUNTED, mine).scalar_one())
