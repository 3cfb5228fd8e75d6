"""Columns of a file that pandas wrote, turned back into the JSON values that Xledger had sent.

A file's types are what pandas guessed from its values: whole numbers are doubles where one was missing, a text column
without any text is a column of doubles or of nothing. So a type says little and each value counts. A value without an
exact counterpart is bad; a type that the field's values cannot have had is a ConfigError. NaN is how pandas writes
null.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.xledger.columns import CAUSES, cast_ids
from postroad.connectors.xledger.declaration import JSON_TYPES, Field, Kind
from postroad.errors import ConfigError
from postroad.sdk.casting import Bad, cast_or_find

EXACT_IN_A_DOUBLE = 2.0**53 - 1
SENTENCES: Mapping[Kind, tuple[str, str]] = {
    **CAUSES,
    "int": ("bad_number", "is no whole number"),
    "bool": ("wrong_type", "is neither true nor false"),
}


def as_sent(values: pa.Array, field: Field) -> tuple[pa.Array, dict[int, Bad]]:
    """A column as Xledger sends that field, and the rows whose value it cannot have sent, which are null in it."""
    found = values.type
    values = _plain(values)
    number = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    fits = pa.types.is_boolean if field.kind == "bool" else pa.types.is_string
    if not any(check(values.type) for check in (*number, fits)):
        raise ConfigError(f"column {field.name} holds {found}, not {field.kind}")
    sent, rows = _sent(values, field.kind)
    cause, sentence = SENTENCES.get(field.kind, ("", ""))
    return sent, {row: Bad(cause, f"{field.column} {sentence}") for row in rows}


def as_text(values: pa.Array, name: str) -> pa.Array:
    """A column of texts; ConfigError if it holds anything else."""
    if not pa.types.is_null(values.type) and not pa.types.is_string(_plain(values).type):
        raise ConfigError(f"column {name} holds {values.type}, not text")
    return _plain(values).cast(pa.string())


def may_have_lost(found: pa.DataType, field: Field) -> bool:
    """Whether that type can have cost digits: of a decimal in a double, the leading zeros of a code in a number."""
    floating = bool(pa.types.is_floating(found))
    if field.kind == "text":
        return floating or bool(pa.types.is_integer(found))
    return floating and field.kind in ("money", "decimal", "number")


def _sent(values: pa.Array, kind: Kind) -> tuple[pa.Array, list[int]]:
    bad: list[int] = []
    if kind == "bool":
        good = pc.is_in(values, value_set=pa.array([0, 1]).cast(values.type))
        values, bad = (values, bad) if pa.types.is_boolean(values.type) else _only(good, values)
        return values.cast(pa.bool_()), bad
    if kind in ("int", "id64") and pa.types.is_floating(values.type):
        whole = pc.equal(pc.floor(values), values)
        values, bad = _only(pc.and_(whole, pc.less_equal(pc.abs(values), EXACT_IN_A_DOUBLE)), values)
        values = values.cast(pa.int64())
    texts = values if pa.types.is_string(values.type) else _shortest(values)
    more: list[int] = []
    if kind == "int":
        texts, more = cast_ids(texts)
    elif kind == "number":
        texts, more = cast_or_find(texts, JSON_TYPES[kind])
    return texts, [*bad, *more]


def _plain(values: pa.Array) -> pa.Array:
    """Without dictionaries, large texts, columns of nothing, and NaN."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.int64())
    if pa.types.is_large_string(values.type):
        return values.cast(pa.string())
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values


def _only(good: pa.Array, values: pa.Array) -> tuple[pa.Array, list[int]]:
    """The good values, and the rows that hold something else."""
    bad = pc.and_(values.is_valid(), pc.invert(pc.fill_null(good, False)))
    return pc.if_else(bad, pa.scalar(None, values.type), values), pc.indices_nonzero(bad).to_pylist()


def _shortest(values: pa.Array) -> pa.Array:
    """The shortest text that gives the same number back; Arrow's has an exponent where a number is large or small."""
    found = values.cast(pa.string())
    odd = pc.fill_null(pc.match_substring_regex(found, "[eE]"), False)
    plain = [format(Decimal(text), "f") for text in found.filter(odd).to_pylist()]
    return pc.replace_with_mask(found, odd, pa.array(plain, pa.string()))
