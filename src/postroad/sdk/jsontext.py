"""Arrow columns as JSON texts, column by column: no value becomes a Python object, but binary ones. And back."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from postroad.errors import ConfigError
from postroad.sdk.casting import cast_deep
from postroad.sdk.decimals import plain

T = pa.types
CONTROL = "[\\x00-\\x1f]"
SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


@dataclass(frozen=True)
class Form:
    """What JSON leaves open: whether decimals, and integers of 64 bits, are texts."""

    decimals_as_texts: bool = True
    integers_as_texts: bool = False


def objects(records: pa.RecordBatch, form: Form) -> pa.Array:
    """Each row as a JSON object with the columns in their order; null is null."""
    return _object(records.schema.names, records.columns, form)


def texts(column: pa.Array, form: Form) -> pa.Array:
    """Each value as JSON; a null is `null`."""
    kind = column.type
    if T.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        found = _object(names, column.flatten(), form)
    elif T.is_list(kind) or T.is_large_list(kind) or T.is_fixed_size_list(kind):
        found = _list(column, form)
    else:
        found = bare(column)
        if T.is_string(kind) or T.is_large_string(kind):
            found = _quoted(_escaped(found))
        elif not _number(kind, form):
            found = _quoted(found)
    return pc.if_else(column.is_valid(), found, "null").fill_null("null")


def from_texts(found: Sequence[str | bytes | None], kind: pa.DataType) -> pa.Array:
    """Texts that `texts` made, as values of that type again; ValueError or an ArrowException for others.

    Loops over values: for the few rows that are looked at, not for all. Numbers stay texts until Arrow reads them.
    """
    values = [None if each is None else json.loads(each, parse_int=str, parse_float=str) for each in found]
    return cast_deep(pa.array(values, _as_said(kind)), kind)


def _as_said(kind: pa.DataType) -> pa.DataType:
    if T.is_struct(kind):
        return pa.struct([(each.name, _as_said(each.type)) for each in kind])
    if T.is_list(kind) or T.is_large_list(kind) or T.is_fixed_size_list(kind):
        return pa.list_(_as_said(kind.value_type))
    return kind if T.is_boolean(kind) else pa.string()


def bare(column: pa.Array) -> pa.Array:
    """The texts inside the quotes, before anything is escaped; null stays null."""
    kind = column.type
    if T.is_string(kind) or T.is_large_string(kind):
        return column.cast(pa.string())
    if T.is_decimal(kind):
        return plain(column)
    if T.is_floating(kind):
        return _only(pc.is_finite(column), column.cast(pa.string()))  # JSON has no word for the others
    if T.is_timestamp(kind):
        return iso_texts(column)
    if T.is_binary(kind) or T.is_large_binary(kind):
        coded = [None if each is None else base64.b64encode(each).decode() for each in column.to_pylist()]
        return pa.array(coded, pa.string())
    if T.is_boolean(kind) or T.is_integer(kind) or T.is_date(kind) or T.is_time(kind) or T.is_null(kind):
        return column.cast(pa.string())
    raise ConfigError(f"a column is {kind}, which JSON has no form for: leave it out of the delivery")


def iso_texts(column: pa.Array) -> pa.Array:
    """Times as `2026-11-21T18:30:00.000000`, instants in UTC with a `Z` behind.

    As times without a zone they become texts thirty times as fast.
    """
    kind = column.type
    texts = pc.replace_substring(column.cast(pa.timestamp(kind.unit)).cast(pa.string()), " ", "T", max_replacements=1)
    return pc.binary_join_element_wise(texts, "Z", "") if kind.tz else texts


def _number(kind: pa.DataType, form: Form) -> bool:
    """Whether values stand without quotes."""
    if T.is_decimal(kind):
        return not form.decimals_as_texts
    if T.is_int64(kind) or T.is_uint64(kind):
        return not form.integers_as_texts
    return bool(T.is_boolean(kind) or T.is_integer(kind) or T.is_floating(kind))


def _object(names: Sequence[str], columns: Sequence[pa.Array], form: Form) -> pa.Array:
    pieces: list[pa.Array | str] = []
    for number, (name, column) in enumerate(zip(names, columns, strict=True)):
        label = _escaped(pa.array([name]))[0].as_py()
        pieces += [f'{"," if number else "{"}"{label}":', texts(column, form)]
    return pc.binary_join_element_wise(*pieces, "}", "")


def _list(column: pa.Array, form: Form) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int32())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    values = pa.ListArray.from_arrays(offsets, texts(pc.list_flatten(column), form))
    return pc.binary_join_element_wise("[", pc.binary_join(values, ","), "]", "")


def _quoted(column: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', column, '"', "")


def _escaped(column: pa.Array) -> pa.Array:
    """RFC 8259, 7: backslash, quotation mark and control characters, most of which are rare and looked for first."""
    column = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    for characters in ("\n\r\t", map(chr, range(0x20))):
        if not pc.any(pc.match_substring_regex(column, CONTROL)).as_py():
            break
        for each in characters:
            column = pc.replace_substring(column, each, SHORT.get(each, f"\\u{ord(each):04x}"))
    return column


def _only(mask: pa.Array, column: pa.Array) -> pa.Array:
    return pc.if_else(mask, column, pa.scalar(None, column.type))
