"""Dates and times of cells: date cells, serial numbers of days (ECMA-376, part 1, 18.17.4) and ISO texts."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from postroad.sdk.sheets.grid import Cell, UnfitError

DAY_0, DAY_0_BEFORE_MARCH, DAY_0_OF_1904 = datetime(1899, 12, 30), datetime(1899, 12, 31), datetime(1904, 1, 1)  # noqa: DTZ001 - cells have no zone
LEAP_DAY = 60  # Excel counts a 29th of February 1900, which never was
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\s?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)


def date_of(cell: Cell, *, from_1904: bool) -> date:
    """The date of a cell; UnfitError where it is none, or has a time of day."""
    if isinstance(cell, str) and DATE.fullmatch(cell.strip()):
        return _parsed(cell).date()
    moment = datetime_of(cell, from_1904=from_1904)
    if moment.time() != time() or moment.tzinfo is not None:
        raise UnfitError("has a time of day: declare the column as datetime")
    return moment.date()


def datetime_of(cell: Cell, *, from_1904: bool) -> datetime:
    """The time of a cell, without a zone unless its text names one; UnfitError where it is none."""
    if isinstance(cell, datetime):
        return _to_millisecond(cell)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001
    if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        return _of_serial(float(cell), from_1904=from_1904)
    if isinstance(cell, str) and TIME.fullmatch(cell.strip()):
        return _parsed(cell)
    raise UnfitError


def _of_serial(days: float, *, from_1904: bool) -> datetime:
    if not 1 <= days < 2_958_466 or (not from_1904 and LEAP_DAY <= days < LEAP_DAY + 1):
        raise UnfitError
    start = DAY_0_OF_1904 if from_1904 else DAY_0 if days > LEAP_DAY else DAY_0_BEFORE_MARCH
    return start + timedelta(milliseconds=round(days * 86_400_000))


def _to_millisecond(moment: datetime) -> datetime:
    """A serial number keeps a millisecond and little more."""
    return moment + timedelta(microseconds=(moment.microsecond + 500) // 1000 * 1000 - moment.microsecond)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip().replace(" +", "+").replace(" -", "-"))
    except ValueError:
        raise UnfitError from None
