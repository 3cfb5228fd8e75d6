"""Cells to typed columns. A cell that its column cannot hold refuses its row, never the file.

A spreadsheet's numbers are doubles that show 15 digits: those digits are the value, so 0.1 + 0.2 is 0.3, and nothing
else is rounded unless the column says so. Columns of one kind of cell go through Arrow whole; others cell by cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from postroad.records import MONEY
from postroad.sdk.casting import Bad
from postroad.sdk.sheets.columns import Column
from postroad.sdk.sheets.dates import date_of, datetime_of
from postroad.sdk.sheets.grid import Cell, ErrorCell, UnfitError
from postroad.sdk.sheets.instants import instants
from postroad.sdk.sheets.shapes import Kind

EXACT = 2**53  # above it not every whole number is a double
WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
MOST_DIGITS = 60
PLAIN_NUMBER = r"^-?(?:0|[1-9][0-9]{0,28})(?:\.[0-9]{1,9})?$"
PLAIN_DATE = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}$"
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

CAUSES: Mapping[Kind, tuple[str, str]] = {
    "text": ("bad_text", "is no text that can be stored"),
    "int": ("bad_number", "is no whole number, or has more digits than a spreadsheet keeps"),
    "decimal": ("bad_decimal", "is no decimal number with at most 29 digits before and 9 after the point"),
    "date": ("bad_date", "is no date: neither a date cell, a serial number of a day nor yyyy-mm-dd"),
    "datetime": ("bad_time", "is no time: neither a date cell, a serial number nor yyyy-mm-dd hh:mm:ss"),
    "bool": ("bad_bool", "is neither true nor false"),
}


@dataclass(frozen=True)
class Reading:
    """How a file's cells are to be understood."""

    decimal_sign: str
    zone: str
    from_1904: bool


@dataclass
class Converted:
    """A typed column, why some of its rows are bad, and the texts of times that name two instants."""

    array: pa.Array
    bad: dict[int, Bad] = field(default_factory=dict)
    ambiguous: dict[int, str] = field(default_factory=dict)


def convert(cells: Sequence[Cell], column: Column, reading: Reading) -> Converted:
    """The column of these cells; blank ones are null."""
    cells = [None if cell == "" else cell for cell in cells]
    array = _whole(cells, column, {type(cell) for cell in cells} - {type(None)}, reading)
    if array is not None:
        return Converted(array)
    spell = SPELLINGS[column.kind]
    values: list[object] = []
    bad = {}
    for row, cell in enumerate(cells):
        try:
            values.append(None if cell is None else spell(cell, column, reading))
        except (UnfitError, OverflowError, UnicodeEncodeError) as error:
            values.append(None)
            bad[row] = _bad(cell, column, error)
    if column.kind != "datetime":
        return Converted(pa.array(values, column.type), bad)
    found = instants(values, reading.zone)
    cause = f"is a time that the clocks of {reading.zone} skipped"
    bad |= dict.fromkeys(found.missing, Bad("nonexistent_time", cause))
    return Converted(found.array, bad, found.ambiguous)


def _whole(cells: Sequence[Cell], column: Column, kinds: set[type], reading: Reading) -> pa.Array | None:
    """The column by one call of Arrow, where all cells are of the kind that it needs; None if one of them is not."""
    if not kinds:
        return pa.nulls(len(cells), column.type)
    reader = WHOLE_COLUMNS.get((column.kind, kinds.pop())) if len(kinds) == 1 and column.round is None else None
    if reader is _decimal_texts and reading.decimal_sign != ".":
        reader = None
    try:
        return reader(cells) if reader is not None else None
    except (pa.ArrowInvalid, UnicodeEncodeError, OverflowError):
        return None


def _texts(cells: Sequence[Cell]) -> pa.Array | None:
    texts = pa.array(cells, pa.string())
    return None if pc.any(pc.match_substring(texts, "\0")).as_py() else texts


def _ints(cells: Sequence[Cell]) -> pa.Array | None:
    floats = pa.array(cells, pa.float64())
    return None if pc.any(pc.greater(pc.abs(floats), EXACT)).as_py() else floats.cast(pa.int64())


def _decimals(cells: Sequence[Cell]) -> pa.Array | None:
    """Arrow's cast refuses what would lose digits, except that it reads 1e-48 as 0."""
    texts = pa.array([None if cell is None else f"{cell:.15g}" for cell in cells], pa.string())
    return None if pc.any(pc.match_substring_regex(texts, "[a-z]")).as_py() else texts.cast(MONEY)


def _dates(cells: Sequence[Cell]) -> pa.Array:
    return pa.array(cells, pa.date32())


def _decimal_texts(cells: Sequence[Cell]) -> pa.Array | None:
    texts = pa.array(cells, pa.string())
    return texts.cast(MONEY) if pc.all(pc.match_substring_regex(texts, PLAIN_NUMBER)).as_py() else None


def _date_texts(cells: Sequence[Cell]) -> pa.Array | None:
    texts = pa.array(cells, pa.string())
    return texts.cast(pa.date32()) if pc.all(pc.match_substring_regex(texts, PLAIN_DATE)).as_py() else None


WHOLE_COLUMNS: Mapping[tuple[Kind, type], Callable[[Sequence[Cell]], pa.Array | None]] = {
    ("text", str): _texts,
    ("int", float): _ints,
    ("int", int): lambda cells: pa.array(cells, pa.int64()),
    ("decimal", float): _decimals,
    ("decimal", Decimal): lambda cells: pa.array(cells, MONEY),
    ("decimal", str): _decimal_texts,
    ("date", date): _dates,
    ("date", str): _date_texts,
}


def _bad(cell: Cell, column: Column, error: Exception) -> Bad:
    if isinstance(cell, ErrorCell):
        return Bad("error_cell", f"shows {cell.text[:20]}")
    cause, sentence = CAUSES[column.kind]
    return Bad(cause, str(error) if isinstance(error, UnfitError) and str(error) else sentence)


def _text(cell: Cell, _column: Column, _reading: Reading) -> str:
    """As the spreadsheet shows it: 100 and not 100.0, TRUE and not True."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float | Decimal):
        return _shown(cell)
    if isinstance(cell, datetime | date | time | timedelta | int):
        return str(cell)
    if not isinstance(cell, str) or "\0" in cell:
        raise UnfitError
    cell.encode()
    return cell


def _shown(number: float | Decimal) -> str:
    if isinstance(number, float):
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.15G}"
    if abs(number.adjusted()) > MOST_DIGITS:
        return str(number)
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _int(cell: Cell, _column: Column, _reading: Reading) -> int:
    if isinstance(cell, str) and WHOLE.fullmatch(cell.strip()):
        number = int(cell)
    elif isinstance(cell, int) and not isinstance(cell, bool):
        number = cell
    elif isinstance(cell, float | Decimal) and _exact(cell):
        number = int(cell)
    else:
        raise UnfitError
    if not -(2**63) <= number < 2**63:
        raise UnfitError
    return number


def _exact(number: float | Decimal) -> bool:
    """Whether it is whole, and none of its digits was lost in a spreadsheet."""
    if isinstance(number, float):
        return number.is_integer() and abs(number) <= EXACT
    return number.is_finite() and abs(number.adjusted()) < MOST_DIGITS and number == number.to_integral_value()


def _decimal(cell: Cell, column: Column, reading: Reading) -> Decimal:
    number = _number(cell, reading.decimal_sign)
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
        raise UnfitError
    if column.round is not None:
        number = number.quantize(Decimal(1).scaleb(-column.round), ROUND_HALF_UP)
    digits, exponent = number.normalize().as_tuple()[1:]
    if not isinstance(exponent, int) or exponent < -9 or len(digits) + exponent > 29:
        raise UnfitError
    return number


def _number(cell: Cell, sign: str) -> Decimal:
    if isinstance(cell, bool):
        raise UnfitError
    if isinstance(cell, float):
        return Decimal(f"{cell:.15g}")
    if isinstance(cell, int | Decimal):
        return Decimal(cell)
    if isinstance(cell, str):
        text = cell.strip()
        if sign == ",":
            text = text.replace(".", "?").replace(",", ".")
        if NUMBER.fullmatch(text):
            return Decimal(text)
    raise UnfitError


def _bool(cell: Cell, _column: Column, _reading: Reading) -> bool:
    word = _shown(cell) if isinstance(cell, float | Decimal) else str(cell).strip().casefold()
    if isinstance(cell, ErrorCell) or word not in WORDS:
        raise UnfitError
    return WORDS[word]


SPELLINGS: Mapping[Kind, Callable[[Cell, Column, Reading], object]] = {
    "text": _text,
    "int": _int,
    "decimal": _decimal,
    "date": lambda cell, _, reading: date_of(cell, from_1904=reading.from_1904),
    "datetime": lambda cell, _, reading: datetime_of(cell, from_1904=reading.from_1904),
    "bool": _bool,
}
