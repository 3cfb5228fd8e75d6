"""Makers of columns: the small vocabulary from which the tables of the company are put together.

Each is a `Make`, or a function that gives one. Nothing here keeps state: the same rows always get the same values.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cache

from postroad.connectors.xledger.simulator.declare import Column, Make, Value
from postroad.connectors.xledger.simulator.generate import Generated
from postroad.connectors.xledger.simulator.moments import WORKED_DAYS, calendar, dates_between, moments, next_autumn

FAR = 60_000  # a draw of 16 bits does not reach all rows of a larger table


def ids(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """The dbIds."""
    return list(rows.ids(start, stop))


def always(value: Value) -> Make:
    """The same value in every row."""
    return lambda _rows, _name, start, stop: [value] * (stop - start)


def words(*values: Value) -> Make:
    """One of these values at random; weights are repetitions, of at most 256."""
    spread = [values[byte % len(values)] for byte in range(256)]
    return lambda rows, name, start, stop: [spread[byte] for byte in rows.draw(name, start, stop)]


def listed(*values: Value) -> Make:
    """These values in their order, and again."""
    return lambda _rows, _name, start, stop: [values[number % len(values)] for number in range(start, stop)]


def share(of_256: int, draws: str = "") -> Make:
    """True in so many of 256 rows; fields that share `draws` are true together."""
    return lambda rows, name, start, stop: [byte < of_256 for byte in rows.draw(draws or name, start, stop)]


def pattern(text: str, odd: str = "", each: int = 0) -> Make:
    """A text with the row's place in it, as codes have; every so many rows the odd one."""

    def make(_rows: Generated, _name: str, start: int, stop: int) -> Column:
        made: Column = [text.format(place) for place in range(start + 1, stop + 1)]
        for number in range(start + -start % each, stop, each) if each else ():
            made[number - start] = odd.format(number + 1)
        return made

    return make


def numbered(titles: Sequence[str]) -> Make:
    """A random title with the row's number."""
    spread = [titles[byte % len(titles)] for byte in range(256)]
    return lambda rows, name, start, stop: [
        f"{spread[byte]} {number}" for number, byte in enumerate(rows.draw(name, start, stop), start)
    ]


def counted(first: int, step: int = 1) -> Make:
    """Ascending whole numbers."""
    return lambda _rows, _name, start, stop: list(range(first + start * step, first + stop * step, step))


def within(low: int, high: int, empty: int = 0) -> Make:
    """A random whole number; null in `empty` of 256 rows."""

    def make(rows: Generated, name: str, start: int, stop: int) -> Column:
        span = high - low + 1
        pairs = zip(rows.draw(name + "?", start, stop), rows.wide(name, start, stop), strict=True)
        return [None if byte < empty else low + number % span for byte, number in pairs]

    return make


def pick(table: str, empty: int = 0) -> Make:
    """The place of a random row of a table, among those that may be referred to; 0 in `empty` of 256 rows."""

    def make(rows: Generated, name: str, start: int, stop: int) -> Column:
        size = rows.target(table).reach
        if not size:
            return [0] * (stop - start)
        numbers = rows.wide(name, start, stop) if size < FAR else rows.deep(name, start, stop)
        pairs = zip(rows.draw(name + "?", start, stop), numbers, strict=True)
        return [0 if byte < empty else 1 + number % size for byte, number in pairs]

    return make


def beside(times: int = 1, plus: int = 1) -> Make:
    """The place in a table that runs beside this one: `times` places for each row, counted from `plus`."""
    return lambda _rows, _name, start, stop: [number * times + plus for number in range(start, stop)]


def reckoned(reference: str, times: int, plus: int) -> Make:
    """The place that follows from another reference, as `beside`; 0 where that is 0."""
    return lambda rows, _name, start, stop: [
        place and (int(place) - 1) * times + plus for place in rows.values(reference, start, stop)
    ]


def same(column: str) -> Make:
    """The values of another column."""
    return lambda rows, _name, start, stop: rows.values(column, start, stop)


def via(reference: str, column: str, otherwise: Value = None) -> Make:
    """What the row that a reference points to was generated with."""

    def make(rows: Generated, _name: str, start: int, stop: int) -> Column:
        target = rows.target(rows.table.fields[reference].of)
        places = [int(place or 0) for place in rows.values(reference, start, stop)]
        wanted = sorted({place - 1 for place in places if place})
        found = dict(zip(wanted, target.gather(column, wanted), strict=True))
        return [found[place - 1] if place else otherwise for place in places]

    return make


def only_where(flag: str, make: Make, otherwise: Value = None) -> Make:
    """What `make` gives where the flag is set; else null, or for a reference 0."""

    def made(rows: Generated, name: str, start: int, stop: int) -> Column:
        pairs = zip(make(rows, name, start, stop), rows.values(flag, start, stop), strict=True)
        return [value if flagged else otherwise for value, flagged in pairs]

    return made


def either(flag: str, make: Make, other: Make) -> Make:
    """What the first gives where the flag is set, else what the other gives."""

    def made(rows: Generated, name: str, start: int, stop: int) -> Column:
        flags = rows.values(flag, start, stop)
        pairs = zip(make(rows, name, start, stop), other(rows, name, start, stop), flags, strict=True)
        return [one if flagged else two for one, two, flagged in pairs]

    return made


def unknown(empty: int, make: Make) -> Make:
    """What `make` gives, null in `empty` of 256 rows."""

    def made(rows: Generated, name: str, start: int, stop: int) -> Column:
        pairs = zip(make(rows, name, start, stop), rows.draw(name + "??", start, stop), strict=True)
        return [None if byte < empty else value for value, byte in pairs]

    return made


def amounts(low: int, high: int, digits: int = 2) -> Make:
    """Decimal strings; one in some hundreds has nine digits after the point."""

    def make(rows: Generated, name: str, start: int, stop: int) -> Column:
        spread = _amounts(low, high, digits)
        return [spread[number & 4_095] for number in rows.wide(name, start, stop)]

    return make


def floats(low: float, high: float, empty: int = 0) -> Make:
    """Numbers of two decimals."""

    def make(rows: Generated, name: str, start: int, stop: int) -> Column:
        pairs = zip(rows.draw(name + "?", start, stop), rows.wide(name, start, stop), strict=True)
        return [None if byte < empty else round(low + (high - low) * number / 65_535, 2) for byte, number in pairs]

    return make


def dates(first: date, last: date, empty: int = 0) -> Make:
    """Days of a span; null in `empty` of 256 rows."""

    def make(rows: Generated, name: str, start: int, stop: int) -> Column:
        spread = dates_between(first, last)
        pairs = zip(rows.draw(name + "?", start, stop), rows.wide(name, start, stop), strict=True)
        return [None if byte < empty else spread[number & 4_095] for byte, number in pairs]

    return make


def later(days: str, low: int, high: int) -> Make:
    """The day of each row, as `days_of` counts it with draws of that name, and so many days more."""

    def make(rows: Generated, name: str, start: int, stop: int) -> Column:
        texts = calendar()
        pairs = zip(days_of(rows, start, stop), rows.draw(days, start, stop), strict=True)
        more = rows.draw(name, start, stop)
        return [
            texts[day + byte % 7 + low + extra % (high - low + 1)]
            for (day, byte), extra in zip(pairs, more, strict=True)
        ]

    return make


def days_of(rows: Generated, start: int, stop: int) -> list[int]:
    """The day of each row in a table whose rows ascend in time."""
    size = rows.size
    days = [number * WORKED_DAYS // size for number in range(start, min(stop, size))]
    return days + [WORKED_DAYS - 1] * (stop - start - len(days))  # rows that were added


def assigned(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """The day of each row as a date."""
    texts = calendar()
    return [texts[day] for day in days_of(rows, start, stop)]


def created(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """A time within a week of the row's day."""
    return list(moments(_created_days(rows, start, stop), rows.wide("created at", start, stop)))


def modified(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """A time after that of creation."""
    return list(moments(_modified_days(rows, start, stop), rows.wide("modified at", start, stop)))


def approved_at(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """A time on the day of the last change."""
    return list(moments(_modified_days(rows, start, stop), rows.wide("approved at", start, stop)))


def product(left: str, right: str) -> Make:
    """The product of two decimal columns, rounded to two digits; null where the left one is."""

    def make(rows: Generated, _name: str, start: int, stop: int) -> Column:
        return list(map(_product, rows.values(left, start, stop), rows.values(right, start, stop)))

    return make


def joined(*columns: str) -> Make:
    """The texts of columns with a space between them."""

    def make(rows: Generated, _name: str, start: int, stop: int) -> Column:
        texts = zip(*(rows.values(column, start, stop) for column in columns), strict=True)
        return [" ".join(str(text) for text in parts if text) for parts in texts]

    return make


def _created_days(rows: Generated, start: int, stop: int) -> list[int]:
    pairs = zip(days_of(rows, start, stop), rows.draw("created", start, stop), strict=True)
    return [day + byte % 7 for day, byte in pairs]


def _modified_days(rows: Generated, start: int, stop: int) -> list[int]:
    """A day after that of creation; for one row in 97 the next autumn clock change."""
    autumn = next_autumn()
    pairs = zip(_created_days(rows, start, stop), rows.draw("modified", start, stop), strict=True)
    days = [day + 1 + byte % 20 for day, byte in pairs]
    for number in range(start + (13 - start) % 97, stop, 97):
        days[number - start] = autumn[days[number - start]]
    return days


@cache
def _amounts(low: int, high: int, digits: int) -> list[str]:
    draw = random.Random(f"{low} {high} {digits}")
    made = [f"{draw.uniform(low, high):.{digits}f}" for _ in range(4_096)]
    for place in range(0, 4_096, 256):
        made[place] = f"{draw.uniform(low, high):.9f}"
    made[7], made[77], made[777] = "0.00", "-0.01", "1234567.123456789"
    return made


@cache
def _product(left: str | None, right: str) -> str | None:
    return None if left is None else str((Decimal(left) * Decimal(right)).quantize(Decimal("0.01")))
