"""Values as text, a column at a time: in files (fact sheet 3.2) and in JSON (fact sheet 5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.entities import Field, catalogue, label_of

Dates = Literal["iso", "us", "eu"]
Decimals = Literal["six", "short", "comma"]
Enums = Literal["symbol", "label", "number"]

_PATTERNS = {"iso": "%Y-%m-%d %H:%M:%S", "us": "%m/%d/%Y %I:%M:%S %p", "eu": "%d/%m/%Y %H:%M:%S"}
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\b", "\\b"), ("\f", "\\f"))
_CONTROLS = re.compile(r"[\x00-\x1f]")


def each(column: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """`function` of every value; of a dictionary only once per entry, where that is less work."""
    if not isinstance(column, pa.DictionaryArray):
        return function(column)
    if len(column) < len(column.dictionary):
        return function(column.dictionary_decode())
    return pa.DictionaryArray.from_arrays(column.indices, function(column.dictionary), safe=False).dictionary_decode()


def plain(column: pa.Array) -> pa.Array:
    """The column without a dictionary."""
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


class FileText:
    """The text of values in files. All its settings but the zone are unknowns (fact sheet 12)."""

    def __init__(self, dates: Dates, decimals: Decimals, enums: Enums, zone: str, zone_shifts_dates: bool) -> None:
        self._dates, self._decimals, self._enums = dates, decimals, enums
        self._zone = None if zone == "UTC" else ZoneInfo(zone)
        self._shifts = zone_shifts_dates

    def of(self, field: Field, values: pa.Array) -> pa.Array:
        """The texts of these values, which are no dictionary."""
        if field.kind in "sm":
            return values
        if field.enum is not None:
            return self._members(field.enum, values)
        if field.kind in "dt":
            return self._moments(values, field.kind == "t" or self._shifts)
        texts = values.cast(pa.string())
        return self._numbers(texts) if field.kind == "n" else texts

    def _members(self, enum: str, values: pa.Array) -> pa.Array:
        if self._enums == "symbol":
            return values
        members = catalogue().enums[enum]
        shown = [str(place) if self._enums == "number" else label_of(name) for place, name in enumerate(members)]
        return pa.array(shown).take(pc.index_in(values, pa.array(members)))

    def _moments(self, values: pa.Array, in_zone: bool) -> pa.Array:
        if self._zone is not None and in_zone:
            values = _shifted(values, self._zone)
        texts = pc.strftime(values, _PATTERNS[self._dates])
        return pc.replace_substring_regex(texts, r"(^|[/ ])0(\d)", r"\1\2") if self._dates == "us" else texts

    def _numbers(self, texts: pa.Array) -> pa.Array:
        if self._decimals == "six":
            return texts
        return short(texts) if self._decimals == "short" else pc.replace_substring(texts, ".", ",")


class JsonText:
    """The JSON of values as OData shows them."""

    def __init__(self, time_of_dates: str) -> None:
        self._date = f'"%Y-%m-%dT{time_of_dates}Z"'

    def of(self, field: Field, values: pa.Array) -> pa.Array:
        """The JSON of these values, which are no dictionary."""
        if field.kind in "smeb":
            return pc.binary_join_element_wise('"', escaped(values), '"', "")
        if field.kind in "dt":
            return pc.strftime(values, self._date if field.kind == "d" else '"%Y-%m-%dT%H:%M:%SZ"')
        texts = values.cast(pa.string())
        return short(texts) if field.kind == "n" else texts


def escaped(values: pa.Array) -> pa.Array:
    """Texts as they stand inside quotes in JSON."""
    for character, escape in _ESCAPES:
        values = pc.replace_substring(values, character, escape)
    if not pc.any(pc.match_substring_regex(values, "[\\x00-\\x1f]")).as_py():
        return values
    return pa.array([_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) for text in values.to_pylist()])


def short(texts: pa.Array) -> pa.Array:
    """Numbers without zeros at their end."""
    return pc.replace_substring_regex(texts, r"\.?0+$", "")


def _shifted(values: pa.Array, zone: ZoneInfo) -> pa.Array:
    """The wall clock of a zone at these times; reckoned once for each different one."""
    encoded = values.dictionary_encode()
    local = [_wall_clock(moment, zone) for moment in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(local, pa.timestamp("s"))).dictionary_decode()


def _wall_clock(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
