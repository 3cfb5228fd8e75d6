"""The periods of a table whose link takes a month: which there are today, and what each puts into the link."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MONTH = r"\d{4}-(?:0\d|1[0-2])"
LAST = re.compile(r"last ([1-9]\d{0,2}) months?")
SPAN = re.compile(rf"({MONTH})\.\.({MONTH})?")
ONE = re.compile(MONTH)
WORDS = ("year", "month", "period", "xledger_period")
PLACEHOLDER = re.compile(rf"\{{({'|'.join(WORDS)})\}}")
ANY_WORD = re.compile(r"\{([A-Za-z_]{1,20})\}")
MOST = 600


@dataclass(frozen=True, order=True)
class Period:
    """One month; month 0 is a year's opening period."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def words(self) -> dict[str, str]:
        """What stands for `{year}`, `{month}`, `{period}` and `{xledger_period}` in a link.

        A Flexlink's id of a period is 256 times the year of the century, plus 16, plus the month; the opening period
        is month 0 (fact sheet 4.2, checked for 2300 to 7012).
        """
        number = 256 * (self.year % 100) + 16 + self.month
        return {
            "year": f"{self.year:04}",
            "month": f"{self.month:02}",
            "period": str(self),
            "xledger_period": str(number),
        }


def filled(text: str, period: Period | None) -> str:
    """The text with what a period puts into it."""
    words = period.words if period else {}
    return PLACEHOLDER.sub(lambda match: words.get(match[1], match[0]), text)


def misplaced(texts: Iterable[str], *, periods: bool) -> str | None:
    """What is wrong with the words in braces of a link and its parameters: an unknown one, or one without a period."""
    for word in (match[1] for text in texts for match in ANY_WORD.finditer(text)):
        if word not in WORDS:
            near = difflib.get_close_matches(word, WORDS, 1)
            hint = f"; did you mean {{{near[0]}}}?" if near else ""
            return f"{{{word}}} stands for nothing; there are {', '.join(f'{{{each}}}' for each in WORDS)}{hint}"
        if not periods:
            return f"{{{word}}} asks for a period, but there are no periods"
    return None


def readable(text: str) -> bool:
    """Whether this is a month, a span of months or `last N months`."""
    return bool(LAST.fullmatch(text) or SPAN.fullmatch(text) or ONE.fullmatch(text))


def expanded(texts: tuple[str, ...], now: float) -> tuple[Period, ...]:
    """The periods meant at that time (seconds since 1970, in UTC), oldest first and each once; at most 600."""
    today = datetime.fromtimestamp(now, UTC)
    found = {period for text in texts for period in _months(text, Period(today.year, today.month))}
    return tuple(sorted(found))[-MOST:]


def _months(text: str, current: Period) -> Iterator[Period]:
    if last := LAST.fullmatch(text):
        yield from _between(_moved(current, 1 - int(last[1])), current)
    elif span := SPAN.fullmatch(text):
        yield from _between(_period(span[1]), _period(span[2]) if span[2] else current)
    else:
        yield _period(text)


def _period(text: str) -> Period:
    year, month = text.split("-")
    return Period(int(year), int(month))


def _moved(period: Period, months: int) -> Period:
    year, month = divmod(period.year * 12 + period.month - 1 + months, 12)
    return Period(year, month + 1)


def _between(first: Period, last: Period) -> Iterator[Period]:
    """The months of a span; an opening period only where the span begins with it."""
    if first.month == 0:
        yield first
        first = Period(first.year, 1)
    while first <= last:
        yield first
        first = _moved(first, 1)
