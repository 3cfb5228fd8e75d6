"""Texts of a file to typed columns, vectorised; what cannot be read is named by row, never by failing the block.

How a file writes dates and decimals depends on its source format (fact sheet 3.2): the settings say it, nothing is
guessed from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.declaration import TYPES, Field, Kind
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.sdk.casting import Bad, cast_or_find, true_rows

PLAIN = {"n": r"^-?[0-9]{1,29}(\.[0-9]{1,9})?$", "i": r"^-?[0-9]{1,18}$", "r": r"^-?[0-9]{1,19}$"}
CLOCK = r"(?: (?P<h>[0-9]{1,2}):(?P<n>[0-9]{2}):(?P<s>[0-9]{2})(?: (?P<p>[AP]M))?)?$"
PATTERNS = {
    "iso": r"^(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})" + CLOCK,
    "us": r"^(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})/(?P<y>[0-9]{4})" + CLOCK,
    "eu": r"^(?P<d>[0-9]{1,2})/(?P<m>[0-9]{1,2})/(?P<y>[0-9]{4})" + CLOCK,
}
NO_DATE = "1900-01-01"  # what the product writes for none (fact sheet 3.2)
SECONDS = pa.timestamp("s")
CAUSES: Mapping[Kind, tuple[str, str]] = {
    "n": ("bad_decimal", "is no decimal number with at most 29 digits before and 9 after the point"),
    "i": ("bad_number", "is no whole number"),
    "r": ("bad_number", "is no whole number"),
    "d": ("bad_date", "is no date as the settings say that dates are written"),
    "t": ("bad_time", "is no time as the settings say that dates are written"),
}


@dataclass
class Reading:
    """How the files of a connection write their values, and the rows of one block that hold something unreadable."""

    settings: FinopsSettings
    bad: dict[int, Bad] = field(default_factory=dict)

    def column(self, values: pa.Array, of: Field) -> pa.Array:
        """The typed column of a field; of a row that is refused the value is null."""
        if of.kind in "sm":
            return values
        if of.members:
            return _members(values, of.members)
        made, rows = self._moments(values, of.kind) if of.kind in "dt" else self._numbers(values, of.kind)
        if rows:
            cause, sentence = CAUSES[of.kind]
            for row in rows:
                self.bad.setdefault(row, Bad(cause, f"{of.name} {sentence}"))
        return made

    def _numbers(self, values: pa.Array, kind: Kind) -> tuple[pa.Array, list[int]]:
        """An empty text is no number, which the product writes as nothing."""
        if self.settings.decimal_sign == "," and kind == "n":
            values = pc.replace_substring(values, ",", ".")
        return _cast(values, PLAIN[kind], TYPES[kind])

    def _moments(self, values: pa.Array, kind: Kind) -> tuple[pa.Array, list[int]]:
        pattern = PATTERNS[self.settings.dates]
        empty = pc.equal(values, "")
        plain = pc.match_substring_regex(values, pattern)
        odd = pc.and_not(pc.invert(plain), empty)
        texts = pc.if_else(plain, values, pa.scalar(None, pa.string()))
        iso = texts if self.settings.dates == "iso" else _iso(texts, pattern)
        moments, worse = cast_or_find(iso, SECONDS)
        rows = sorted({*true_rows(odd), *worse})
        day = moments.cast(pa.date32())
        none = pc.fill_null(pc.equal(day, pa.scalar(NO_DATE).cast(pa.date32())), False)
        made = day if kind == "d" else moments.cast(pa.timestamp("us")).cast(TYPES[kind])
        return pc.if_else(none, pa.scalar(None, made.type), made), rows


def _members(values: pa.Array, members: tuple[str, ...]) -> pa.Array:
    """Enum values by their names, however the file writes them: name, number or label (fact sheet 12).

    Once per different text. What is none of these stays as it is: enums can be extended.
    """
    encoded = values.dictionary_encode()
    known = {name.casefold(): name for name in members} | {str(place): name for place, name in enumerate(members)}
    named = [known.get(text.replace(" ", "").casefold(), text) for text in encoded.dictionary.to_pylist()]
    return pa.array(named, pa.string()).take(encoded.indices)


def _iso(texts: pa.Array, pattern: str) -> pa.Array:
    """Moments in another writing as ISO texts; the parts are taken out by column."""
    parts = pc.extract_regex(texts, pattern)
    found = {name: pc.struct_field(parts, name) for name in ("y", "m", "d", "h", "n", "s", "p")}
    number = {name: _whole(found[name]) for name in ("h", "n", "s")}
    hour: Any = number["h"]
    late, early = pc.equal(found["p"], "PM"), pc.equal(found["p"], "AM")
    noon = pc.equal(hour, 12)
    hour = pc.if_else(pc.and_(late, pc.invert(noon)), pc.add(hour, 12), hour)
    hour = pc.if_else(pc.and_(early, noon), 0, hour)
    date = pc.binary_join_element_wise(found["y"], _two(found["m"]), _two(found["d"]), "-")
    clock = pc.binary_join_element_wise(
        *(_two(each.cast(pa.string())) for each in (hour, number["n"], number["s"])), ":"
    )
    return pc.binary_join_element_wise(date, clock, " ")


def _whole(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), "0", texts).cast(pa.int64())


def _two(texts: pa.Array) -> pa.Array:
    return pc.utf8_lpad(texts, width=2, padding="0")


def _cast(values: pa.Array, pattern: str, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Values of a form that Arrow casts exactly; the rows that have another, which are null. Empty texts are null."""
    plain = pc.match_substring_regex(values, pattern)
    odd = pc.and_not(pc.invert(plain), pc.equal(values, ""))
    array, rows = cast_or_find(pc.if_else(plain, values, pa.scalar(None, pa.string())), target)
    return array, sorted({*rows, *true_rows(odd)})
