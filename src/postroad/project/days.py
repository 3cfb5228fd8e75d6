"""The first day of a part that is reloaded: as a date, or as words that move with the calendar."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from postroad.errors import ConfigError

WORDS = "a day such as 2026-10-01, or last_month, this_month, this_year, or so many days back as 30d"


def since_day(said: str, now: float) -> str:
    """The day that is meant, `2026-10-01`; `now` in seconds since 1970, days are those of UTC.

    Raises ConfigError if none is.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    first = today.replace(day=1)
    known = {
        "this_month": first,
        "last_month": (first - timedelta(days=1)).replace(day=1),
        "this_year": today.replace(month=1, day=1),
    }
    if said in known:
        return known[said].isoformat()
    if re.fullmatch(r"\d{1,5}d", said):
        return (today - timedelta(days=int(said[:-1]))).isoformat()
    try:
        return date.fromisoformat(said).isoformat()
    except ValueError:
        raise ConfigError(f"'{said}' is no day to reload from; write {WORDS}") from None
