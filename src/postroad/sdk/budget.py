"""Budgets of calls: the arithmetic that every implementation shares, and one that lives in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

from postroad.errors import ThrottledError

BURST_SHARE = 3
ABSURD_WINDOWS = 100
ROUNDING = 1e-5  # Seconds since 1970 are exact to 2e-7 as a float; nobody is to sleep for the rest.


def next_slot(due: float, now: float, per: float, most: int) -> tuple[float, float]:
    """Book one call: the new state of the budget, one number, and the seconds to wait before the call.

    The generic cell rate algorithm. `due` is the state (0 at first). A third of `most` may come at once and the rest
    is spread over `per`: so *any* window of `per` seconds holds at most `most` calls. The usual setting, all of them
    at once, lets nearly twice as many into a window that begins just before the burst.
    """
    burst = max(1, most // BURST_SHARE)
    interval = per / max(1, most - burst)
    if due > now + ABSURD_WINDOWS * per:
        due = now  # The clock was set back: a state from its future would stop us for as long.
    due = max(due, now) + interval
    wait = due - now - interval * burst
    return due, wait if wait > ROUNDING else 0.0


class MemoryBudget:
    """A budget for one process: tests, and use as a library without a project."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = Lock()
        self._due: dict[str, float] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def take(self, name: str, per: float, most: int, patience: float) -> tuple[float, int]:
        """See `Budget.take`."""
        with self._lock:
            now = self._clock()
            due, wait = next_slot(self._due.get(name, 0.0), now, per, most)
            if wait > patience:
                return wait, 0
            self._due[name] = due
            month = f"{datetime.fromtimestamp(now + wait, UTC):%Y-%m}"
            self.counts[name, month] = self.counts.get((name, month), 0) + 1
            return wait, self.counts[name, month]


def refuse_beyond(most: int | None, calls: int, now: float) -> None:
    """ThrottledError until the next calendar month (UTC) if a month has more calls than `most`."""
    if most is not None and calls > most:
        wait = _next_month(datetime.fromtimestamp(now, UTC)).timestamp() - now
        raise ThrottledError(f"the {most} calls that calls_per_month allows are used up; raise it or wait", wait)


def _next_month(day: datetime) -> datetime:
    year, month = divmod(day.year * 12 + day.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)
