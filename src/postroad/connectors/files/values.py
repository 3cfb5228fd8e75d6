"""Texts of a file to typed columns, vectorised; what cannot be read is named by row, never by failing the block.

Nothing is rounded unless the column says so, and no type is guessed: a value is what its column declares, or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import compress

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.records import MONEY
from postroad.sdk.casting import Bad, cast_or_find, true_rows
from postroad.sdk.sheets.cells import Converted
from postroad.sdk.sheets.columns import Column
from postroad.sdk.sheets.shapes import Kind
from postroad.sdk.times import to_utc

STRING = pa.string()
LOCAL = pa.timestamp("us")
INSTANT = pa.timestamp("us", "UTC")
WHOLE = r"^[+-]?0*[0-9]{1,19}$"
NUMBER = r"^[+-]?0*(?:[0-9]{1,29}\.?[0-9]*|\.[0-9]+)$"
EXACT = r"^[+-]?[0-9]*\.?[0-9]{0,9}$"
ZEROS_TO_SPARE = r"^([+-]?[0-9]*\.[0-9]{9})0+$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
CLOCK = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)?"
ZONE = r"(?:\s?(?:Z|[+-][0-9]{2}:?[0-9]{2}))"
FIRST_DAY = -719_162  # 0001-01-01: Arrow also reads the year 0, which Python and most readers cannot show
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
WIDE = pa.decimal256(70, 40)

CAUSES: Mapping[Kind, Bad] = {
    "text": Bad("bad_text", "holds a NUL, which no text has"),
    "int": Bad("bad_number", "is no whole number that fits into 64 bits"),
    "decimal": Bad("bad_decimal", "is no decimal number with at most 29 digits before and 9 after the point"),
    "date": Bad("bad_date", "is no date of the form yyyy-mm-dd"),
    "datetime": Bad("bad_time", "is no time of the form yyyy-mm-dd hh:mm:ss"),
    "bool": Bad("bad_bool", "is neither true nor false"),
}
NO_TEXT = Bad("bad_encoding", "holds bytes that are no text in the file's encoding")

Cast = tuple[pa.Array, list[int]]


def convert(cells: pa.Array, column: Column, dataset: DeclaredDataset) -> Converted:
    """The column of these cells, bytes of UTF-8 each; blank ones are null."""
    texts, no_text = cast_or_find(cells, STRING)
    blank = pc.is_in(texts, pa.array(["", *dataset.settings.nulls]))
    texts = pc.if_else(blank, pa.scalar(None, STRING), texts)
    if column.kind != "text":
        texts = pc.utf8_trim_whitespace(texts)
        texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, STRING), texts)
    made = _instants(texts, column, dataset.zone) if column.kind == "datetime" else None
    if made is None:
        array, rows = _cast(texts, column, dataset.settings.decimal_sign)
        made = Converted(array, dict.fromkeys(rows, _cause(column)))
    made.bad |= dict.fromkeys(no_text, NO_TEXT)
    return made


def _cause(column: Column) -> Bad:
    cause = CAUSES[column.kind]
    form = {"date": "yyyy-mm-dd", "datetime": "yyyy-mm-dd hh:mm:ss"}.get(column.kind, "")
    return Bad(cause.cause, cause.sentence.replace(form, column.format)) if column.format else cause


def _cast(texts: pa.Array, column: Column, sign: str) -> Cast:
    if column.kind == "text":
        return _emptied(texts, true_rows(pc.match_substring(texts, "\0")))
    if column.kind == "int":
        return _plain(texts, WHOLE, lambda plain: cast_or_find(_without_plus(plain), pa.int64()))
    if column.kind == "decimal":
        return _decimals(texts, column, sign)
    if column.kind == "bool":
        place = pc.index_in(pc.utf8_lower(texts), pa.array(list(WORDS)))
        array = pa.array(list(WORDS.values())).take(place)
        return array, true_rows(pc.and_(pc.is_valid(texts), pc.is_null(array)))
    return _dates(texts, column)


def _plain(texts: pa.Array, pattern: str, cast: Callable[[pa.Array], Cast]) -> Cast:
    """What matches, cast; the rows that do not match, or cannot be cast."""
    plain = pc.match_substring_regex(texts, pattern)
    if pc.all(plain).as_py() is not False:
        return cast(texts)
    array, rows = cast(pc.if_else(plain, texts, pa.scalar(None, STRING)))
    return array, sorted({*rows, *true_rows(pc.invert(plain))})


def _emptied(texts: pa.Array, rows: list[int]) -> Cast:
    if not rows:
        return texts, rows
    bad = pc.is_in(pa.arange(0, len(texts)), pa.array(rows, pa.int64()))
    return pc.if_else(bad, pa.scalar(None, texts.type), texts), rows


def _without_plus(texts: pa.Array) -> pa.Array:
    """Without what Arrow does not take, or counts as digits: a plus sign, zeros before others."""
    return pc.replace_substring_regex(texts, r"^(?:\+|(-))?0*([0-9])", r"\1\2")


def _decimals(texts: pa.Array, column: Column, sign: str) -> Cast:
    if sign == ",":
        texts = pc.replace_substring(pc.replace_substring(texts, ".", "?"), ",", ".")
    if column.round is not None:
        return _plain(texts, NUMBER, lambda plain: _rounded(plain, column.round or 0))
    texts = pc.replace_substring_regex(texts, ZEROS_TO_SPARE, r"\1")

    def exactly(plain: pa.Array) -> Cast:
        return _plain(plain, EXACT, lambda exact: cast_or_find(_without_plus(exact), MONEY))

    return _plain(texts, NUMBER, exactly)


def _rounded(texts: pa.Array, places: int) -> Cast:
    """Half away from zero, as people round; of more than 40 places after the point nobody can say."""
    wide, rows = cast_or_find(texts, WIDE)
    array, more = cast_or_find(pc.round(wide, places, "half_towards_infinity"), MONEY)
    return array, sorted({*rows, *more})


def _dates(texts: pa.Array, column: Column) -> Cast:
    if column.format is not None:
        moments, rows = _by_format(texts, column.format)
        days = moments.cast(pa.date32())
        timed = true_rows(pc.not_equal(days.cast(LOCAL), moments))
        return days, sorted({*rows, *timed})
    return _real(*_plain(texts, DATE, lambda plain: cast_or_find(plain, pa.date32())))


def _real(array: pa.Array, rows: list[int]) -> Cast:
    days = array.cast(pa.int32()) if array.type == pa.date32() else array.cast(pa.date32()).cast(pa.int32())
    early = true_rows(pc.less(days, pa.scalar(FIRST_DAY, pa.int32())))
    return _emptied(array, sorted({*rows, *early})) if early else (array, rows)


def _instants(texts: pa.Array, column: Column, zone: str) -> Converted:
    """A time without a zone is local to the connection's, one with a zone is what it says."""
    zoned = pc.match_substring_regex(texts, CLOCK + ZONE + "$")
    named = pc.if_else(zoned, texts, pa.scalar(None, STRING))
    texts = pc.if_else(zoned, pa.scalar(None, STRING), texts)
    local, rows = _local(texts, column)
    found = to_utc(local, zone)
    array = found.values
    if pc.any(zoned).as_py():
        fixed, worse = cast_or_find(_iso(named), INSTANT)
        array, rows = pc.coalesce(array, fixed), [*rows, *worse]
    bad = dict.fromkeys(rows, _cause(column))
    bad |= dict.fromkeys(found.missing, Bad("nonexistent_time", f"is a time that the clocks of {zone} skipped"))
    return Converted(array, bad, {row: texts[row].as_py() for row in found.ambiguous})


def _local(texts: pa.Array, column: Column) -> Cast:
    if column.format is not None:
        return _by_format(texts, column.format)
    return _real(*_plain(texts, CLOCK + "$", lambda plain: cast_or_find(_iso(plain), LOCAL)))


def _iso(texts: pa.Array) -> pa.Array:
    """As Arrow reads it: a point before fractions, no blank before a zone, no zeros that it has no room for."""
    texts = pc.replace_substring_regex(pc.replace_substring(texts, ",", "."), r"\s([Z+-])", r"\1")
    return pc.replace_substring_regex(texts, r"(\.[0-9]{6})0+", r"\1")


def _by_format(texts: pa.Array, form: str) -> Cast:
    """What reads back as it was written by Arrow's quick way, which takes the 31st of February; others one by one."""
    moments = pc.strptime(texts, form, "us", error_is_null=True)
    same = pc.fill_null(pc.equal(pc.strftime(moments, form), texts), False)
    odd = pc.and_(pc.is_valid(texts), pc.invert(same))
    if not pc.any(odd).as_py():
        return moments, []
    values: Sequence[datetime | None] = pc.if_else(same, moments, pa.scalar(None, LOCAL)).to_pylist()
    found, rows = list(values), []
    for row in compress(range(len(found)), odd.to_pylist()):
        try:
            found[row] = datetime.strptime(texts[row].as_py(), form)  # noqa: DTZ007 - its zone is the connection's
        except ValueError:
            rows.append(row)
    return pa.array(found, LOCAL), rows
