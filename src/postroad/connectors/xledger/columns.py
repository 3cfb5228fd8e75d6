"""JSON values to typed columns, vectorised; what cannot be read is named by row, never by failing the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.xledger.declaration import COLUMN_TYPES, JSON_TYPES, Declaration, Field, Kind
from postroad.records import MONEY
from postroad.sdk.casting import Bad, cast_or_find
from postroad.sdk.times import to_utc

LOCAL = pa.timestamp("us")
DIGITS = r"^-?[0-9]+$"
FITTING = r"^[+-]?0*[0-9]{0,29}(?:\.[0-9]{0,9})?$"
ZEROS_TO_SPARE = r"^([+-]?[0-9]*\.[0-9]{9})0+$"
CAUSES: Mapping[Kind, tuple[str, str]] = {
    "id64": ("bad_number", "is no whole number"),
    "money": ("bad_decimal", "is no decimal number with at most 29 digits before and 9 after the point"),
    "decimal": ("bad_decimal", "is no decimal number with at most 29 digits before and 9 after the point"),
    "number": ("bad_decimal", "is no decimal number with at most 29 digits before and 9 after the point"),
    "date": ("bad_date", "is no date of the form yyyy-mm-dd"),
    "local_time": ("bad_time", "is no local time of the form yyyy-mm-ddThh:mm:ss"),
}


@dataclass
class Columns:
    """The columns of some nodes, the rows that hold something unreadable, and the texts of ambiguous times."""

    arrays: list[pa.Array] = field(default_factory=list)
    bad: dict[int, Bad] = field(default_factory=dict)
    ambiguous: dict[int, dict[str, str]] = field(default_factory=dict)

    def refuse(self, rows: list[int], cause: str, sentence: str) -> None:
        """The first reason for a row stays: one refusal a row."""
        for row in rows:
            self.bad.setdefault(row, Bad(cause, sentence))


def node_type(declaration: Declaration) -> pa.DataType:
    """The JSON type of an entity's node, as `read_json` is told it."""
    tree: dict[str, Any] = {}
    for each in declaration.fields:
        branch = tree
        for step in each.path[:-1]:
            branch = branch.setdefault(step, {})
        branch[each.path[-1]] = JSON_TYPES[each.kind]
    return _struct(tree)


def _struct(tree: Mapping[str, Any]) -> pa.DataType:
    return pa.struct([(name, _struct(inner) if isinstance(inner, dict) else inner) for name, inner in tree.items()])


def convert(nodes: pa.StructArray, declaration: Declaration, zone: str) -> Columns:
    """All columns of an entity from its nodes."""
    columns = Columns()
    absent = _absent_references(nodes, declaration)
    for each in declaration.fields:
        values = pc.struct_field(nodes, list(each.path))
        none = absent.get(each.path[:-1])
        if none is not None:
            values = pc.if_else(none, pa.scalar(None, values.type), values)
        columns.arrays.append(_converted(values, each, zone, columns))
    return columns


def _absent_references(nodes: pa.StructArray, declaration: Declaration) -> dict[tuple[str, ...], pa.Array]:
    """A reference `{dbId: 0}` means none, just as null does (fact sheet 2.3): which rows have one, by path."""
    absent = {}
    for each in declaration.fields:
        if len(each.path) > 1 and each.path[-1] == "dbId":
            ids = pc.struct_field(nodes, list(each.path))
            none = pc.fill_null(pc.equal(ids, pa.scalar("0" if each.kind == "id64" else 0, ids.type)), False)
            if pc.any(none).as_py():
                absent[each.path[:-1]] = none
    return absent


def _converted(values: pa.Array, each: Field, zone: str, columns: Columns) -> pa.Array:
    if each.kind in ("int", "text", "bool"):
        return values
    if each.kind == "local_time":
        return _instants(values, each.column, zone, columns)
    if each.kind == "id64":
        array, rows = cast_ids(values)
    elif each.kind == "date":
        array, rows = _years_1_to_9999(*cast_or_find(values, COLUMN_TYPES[each.kind]))
    elif each.kind == "number":
        array, rows = cast_or_find(values, COLUMN_TYPES[each.kind])
    else:
        array, rows = cast_decimals(values)
    columns.refuse(rows, CAUSES[each.kind][0], f"{each.column} {CAUSES[each.kind][1]}")
    return array


def _instants(values: pa.Array, column: str, zone: str, columns: Columns) -> pa.Array:
    cause, sentence = CAUSES["local_time"]
    local, rows = cast_or_find(values, LOCAL)
    columns.refuse(rows, cause, f"{column} {sentence}")
    instants = to_utc(local, zone)
    columns.refuse(instants.missing, "nonexistent_time", f"{column} names a time that the clocks of {zone} skipped")
    for row in instants.ambiguous:
        columns.ambiguous.setdefault(row, {})[column] = values[row].as_py()
    return instants.values


def cast_ids(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Ids as numbers, and the rows that hold none. Arrow would also read `0x1f`; an id is digits."""
    return (values, []) if values.type == pa.int64() else _cast_plain(values, pa.int64(), DIGITS)


def cast_decimals(values: pa.Array) -> tuple[pa.Array, list[int]]:
    """Decimal strings as they are, and the rows that hold none or more than 38 digits with 9 after the point.

    Arrow's cast refuses what would lose digits, with two exceptions, which are kept from it: it reads `1E-48` as 0, and
    of more than 38 digits some as another number altogether (pyarrow 26). An exponent is refused, since Xledger writes
    none (fact sheet 1.6). A plus sign and a bare point (`+5`, `.5`, `5.`) are exact and taken.
    """
    if pc.all(pc.match_substring_regex(values, FITTING)).as_py() is not False:
        return cast_or_find(values, MONEY)
    return _cast_plain(pc.replace_substring_regex(values, ZEROS_TO_SPARE, r"\1"), MONEY, FITTING)


def _cast_plain(values: pa.Array, target: pa.DataType, pattern: str) -> tuple[pa.Array, list[int]]:
    plain = pc.match_substring_regex(values, pattern)
    odd: list[int] = []
    if pc.all(plain).as_py() is False:
        odd = pc.indices_nonzero(pc.invert(plain)).to_pylist()
        values = pc.if_else(plain, values, pa.scalar(None, values.type))
    array, rows = cast_or_find(values, target)
    return array, sorted({*rows, *odd})


def _years_1_to_9999(array: pa.Array, rows: list[int]) -> tuple[pa.Array, list[int]]:
    """Arrow also reads the year 0, which Python and most readers of Parquet cannot show."""
    days = array.cast(pa.int32())
    early = pc.less(days, pa.scalar(-719_162, pa.int32()))
    if not pc.any(early).as_py():
        return array, rows
    found = pc.indices_nonzero(pc.fill_null(early, False)).to_pylist()
    return pc.if_else(early, pa.scalar(None, array.type), array), sorted({*rows, *found})
