"""Days and times of the generated company: texts of a calendar, made once."""

from __future__ import annotations

import random
from datetime import date, timedelta
from functools import cache

FIRST_DAY = date(2020, 1, 1)
WORKED_DAYS = 1_826  # rows lie on these days; approval and changes follow up to a year later
LAST_DAY = WORKED_DAYS + 400


@cache
def calendar() -> list[str]:
    """The text of each day."""
    return [(FIRST_DAY + timedelta(day)).isoformat() for day in range(LAST_DAY)]


@cache
def months() -> list[int]:
    """For each day how many months have passed since the first one."""
    dates = (FIRST_DAY + timedelta(day) for day in range(LAST_DAY))
    return [(day.year - FIRST_DAY.year) * 12 + day.month - FIRST_DAY.month for day in dates]


@cache
def next_autumn() -> list[int]:
    """For each day the next one on which summer time ends."""
    days = [day for day in range(LAST_DAY) if _is_autumn_change(FIRST_DAY + timedelta(day))]
    return [next((autumn for autumn in days if autumn >= day), day) for day in range(LAST_DAY)]


@cache
def dates_between(first: date, last: date) -> list[str]:
    """4,096 days spread over a span."""
    span = (last - first).days
    return [(first + timedelta(span * place // 4_095)).isoformat() for place in range(4_096)]


def moments(days: list[int], draws: list[int]) -> list[str]:
    """A time on each of these days."""
    texts, times = calendar(), _times_of_days()
    return [texts[day] + times[day][number & 4_095] for day, number in zip(days, draws, strict=True)]


def _is_autumn_change(day: date) -> bool:
    """The last Sunday of October, when the hour from 02:00 comes twice."""
    return day.month == 10 and day.weekday() == 6 and day.day > 24


@cache
def _times() -> tuple[list[str], list[str]]:
    """Times of day: of an ordinary day, never between 02 and 03, which spring skips; and of the autumn change."""
    draw = random.Random(0)
    usual = [
        f"T{draw.choice((7, 8, 9, 11, 15, 16, 17, 22)):02}:{draw.randrange(60):02}:{draw.randrange(60):02}"
        for _ in range(4_096)
    ]
    twice = [f"T02:{draw.randrange(60):02}:{draw.randrange(60):02}" for _ in range(4_096)]
    return usual, twice


@cache
def _times_of_days() -> list[list[str]]:
    usual, twice = _times()
    return [twice if _is_autumn_change(FIRST_DAY + timedelta(day)) else usual for day in range(LAST_DAY)]
