"""Arrow columns as the bytes of BSON elements and documents, column by column; no row becomes a Python object.

BSON (its specification, version 1.1): a document is its length (int32), elements and a zero byte; an element is a tag,
a name that ends with a zero byte, and a value. All that is written here is checked against the driver's own decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, Inexact
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from bson.decimal128 import Decimal128

from postroad.errors import ConfigError
from postroad.sdk.decimals import plain
from postroad.sdk.jsontext import iso_texts

B = pa.binary()
T = pa.types
NOTHING = pa.scalar(b"", B)
END = pa.scalar(b"\0", B)
NULL = pa.scalar(b"\x0a", B)
MOST_DIGITS = 34  # of a Decimal128
BIAS = 6176  # of its exponent
DAY = 86_400_000  # milliseconds
TOO_LONG = "has more than 34 digits, which is all that a Decimal128 keeps; `decimals: text` keeps more"


@dataclass(frozen=True)
class Forms:
    """Which form decimals, days and instants take."""

    decimals: str = "decimal128"
    dates: str = "midnight"
    times: str = "date"


@dataclass(frozen=True)
class Encoded:
    """Bytes for each row, null where the value is, and which rows have a value that BSON cannot say."""

    data: Any
    bad: pa.Array | None = None


Tree = Mapping[str, Any]  # of columns: a name leads to an array, or to a tree


def document(elements: Sequence[Any], rows: int) -> pa.Array:
    """Documents of these elements."""
    return _framed(joined(*elements, pa.repeat(NOTHING, rows)))


def subdocument(name: str, elements: Sequence[Any], rows: int) -> pa.Array:
    """The element that holds a document."""
    return element(name, document(elements, rows))


def element(name: str, documents: pa.Array) -> pa.Array:
    """The element that holds these documents."""
    return joined(pa.scalar(b"\x03" + _name(name), B), documents)


def array(name: str, documents: Sequence[pa.Array]) -> pa.Array:
    """The element that holds an array of documents."""
    return raw_array(name, [element(str(place), each) for place, each in enumerate(documents)], len(documents[0]))


def raw_array(name: str, elements: Sequence[Any], rows: int) -> pa.Array:
    """The element that holds an array of elements, which are named by their places."""
    return joined(pa.scalar(b"\x04" + _name(name), B), document(elements, rows))


def constant(name: str, tag: bytes, value: bytes) -> pa.Scalar:
    """An element that is the same in each row."""
    return pa.scalar(tag + _name(name) + value, B)


def text(name: str, value: str) -> pa.Scalar:
    """An element that is the same text in each row."""
    data = value.encode() + b"\0"
    return constant(name, b"\x02", len(data).to_bytes(4, "little") + data)


def tree(columns: Tree, forms: Forms) -> tuple[list[pa.Array], pa.Array | None]:
    """The elements of a tree of columns, and the rows that hold a value that BSON cannot say."""
    found: list[pa.Array] = []
    bad: list[pa.Array | None] = []
    for name, value in columns.items():
        if isinstance(value, Mapping):
            inner, more = tree(value, forms)
            found.append(subdocument(name, inner, len(inner[0])))
            bad.append(more)
        else:
            element = column(name, value, forms)
            found.append(element.data)
            bad.append(element.bad)
    return found, either(bad)


def column(name: str, values: pa.Array, forms: Forms) -> Encoded:
    """A column as elements; ConfigError if its type has no form here."""
    return _elements(pa.scalar(_name(name), B), name, values, forms)


def joined(*parts: Any) -> Any:
    """The parts one after another, row by row; null where one is."""
    return pc.binary_join_element_wise(*parts, NOTHING)


def as_text(values: pa.Array) -> pa.Array:
    """Any plain value as a text that loses nothing."""
    kind = values.type
    if T.is_timestamp(kind):
        return iso_texts(values)
    if T.is_decimal(kind):
        return plain(values)
    return values.cast(pa.string())


def _elements(label: Any, name: str, values: pa.Array, forms: Forms) -> Encoded:
    """`label` is the name as bytes, one for all rows or one for each."""
    if T.is_null(values.type):
        return Encoded(joined(NULL, label, pa.repeat(NOTHING, len(values))))
    tag, encoded = _values(name, values, forms)
    data = joined(pa.scalar(tag, B), label, encoded.data)
    return Encoded(pc.coalesce(data, joined(NULL, label)) if data.null_count else data, encoded.bad)


def _values(name: str, values: pa.Array, forms: Forms) -> tuple[bytes, Encoded]:
    """The tag of a column's type and its values without tag and name."""
    values = _formed(values, forms)
    kind = values.type
    if T.is_struct(kind):
        return b"\x03", _struct(name, values, forms)
    if T.is_list(kind) or T.is_large_list(kind):
        return b"\x04", _list(name, values, forms)
    if T.is_decimal(kind) and kind.bit_width <= 128:
        return b"\x13", _decimal(values)
    for matches, tag, made in PLAIN:
        if matches(kind):
            return tag, Encoded(made(values))
    raise ConfigError(f"column {name} is {kind}, for which a document has no type")


def _formed(values: pa.Array, forms: Forms) -> pa.Array:
    """Values that are to be texts as texts. A local time is no instant, so it is no BSON date either."""
    if T.is_dictionary(values.type):
        return _formed(values.dictionary_decode(), forms)
    return as_text(values) if said_as_text(values.type, forms) else values


def said_as_text(kind: pa.DataType, forms: Forms) -> bool:
    """Whether a document has values of this type as texts although they are none."""
    return bool(
        T.is_time(kind)
        or (T.is_decimal(kind) and forms.decimals == "text")
        or (T.is_date(kind) and forms.dates == "text")
        or (T.is_timestamp(kind) and (kind.tz is None or forms.times == "text"))
    )


def _struct(name: str, values: pa.Array, forms: Forms) -> Encoded:
    pairs = zip(values.type, values.flatten(), strict=True)
    found = [column(require_name(field.name, name), each, forms) for field, each in pairs]
    data = document([each.data for each in found], len(values))
    return Encoded(_where(values, data), either([each.bad for each in found]))


def _list(name: str, values: pa.Array, forms: Forms) -> Encoded:
    """Arrays are documents whose names are the places: `0`, `1`, …"""
    lengths = pc.fill_null(pc.list_value_length(values), 0).cast(pa.int32())
    ends = pc.cumulative_sum(lengths)
    flat, parents = values.flatten(), pc.list_parent_indices(values)
    places = pc.subtract(pa.arange(0, len(flat)), pc.subtract(ends, lengths).take(parents).cast(pa.int64()))
    labels = joined(places.cast(pa.string()).cast(B), END)
    inner = _elements(labels, name, flat, forms)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    whole = pc.binary_join(pa.ListArray.from_arrays(offsets, inner.data), NOTHING)
    bad = None
    if inner.bad is not None:
        bad = pc.is_in(pa.arange(0, len(values)), parents.filter(inner.bad).cast(pa.int64()))
    return Encoded(_where(values, _framed(whole)), bad)


def _decimal(values: pa.Array) -> Encoded:
    """IEEE 754-2008, binary integer significand: sign, 14 bits of exponent, 113 of the number. Its scale is kept."""
    kind = values.type
    values = values.cast(pa.decimal128(kind.precision, kind.scale))
    size = pc.abs(values)
    words = pa.FixedSizeListArray.from_arrays(_words(size), 2)
    exponent = (BIAS - kind.scale) << 49
    plus, minus = pa.scalar(exponent, pa.uint64()), pa.scalar(exponent | 1 << 63, pa.uint64())
    signs = pc.if_else(pc.less(values, pa.scalar(0, kind)), minus, plus)
    high = pc.bit_wise_or(pc.list_element(words, 1), signs)
    data = joined(_bytes(pc.list_element(words, 0)), _bytes(high))
    if kind.precision <= MOST_DIGITS:
        return Encoded(data)
    most = pa.scalar(Decimal((0, (9,) * MOST_DIGITS, -kind.scale)), size.type)
    long = pc.fill_null(pc.greater(size, most), False)
    return _shortened(values, data, long) if pc.any(long).as_py() else Encoded(data)


def _shortened(values: pa.Array, data: pa.Array, long: pa.Array) -> Encoded:
    """Loops over values of more than 34 digits, which fit where the last ones are zeros."""
    found: list[bytes | None] = []
    for each in values.filter(long).to_pylist():
        try:
            found.append(Decimal128(each).bid)
        except Inexact:
            found.append(None)
    data = pc.replace_with_mask(data, long, pa.array(found, B))
    return Encoded(data, pc.and_(long, data.is_null()))


def _truth(values: pa.Array) -> pa.Array:
    return pc.if_else(values, pa.scalar(b"\1", B), pa.scalar(b"\0", B))


def _midnights(values: pa.Array) -> pa.Array:
    days = values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    return _bytes(pc.multiply(days, DAY))


def _milliseconds(values: pa.Array) -> pa.Array:
    """BSON knows no shorter time; what is finer is cut off, before 1970 as well."""
    kind = pa.timestamp("ms", values.type.tz)
    if values.type.unit in {"us", "ns"}:
        values = pc.floor_temporal(values, unit="millisecond")
    return values.cast(kind).cast(pa.int64())


def _text(values: pa.Array) -> pa.Array:
    data = values.cast(pa.string()).cast(B)
    return joined(_length(data, 1), data, END)


def _blob(values: pa.Array) -> pa.Array:
    data = values.cast(B)
    return joined(_length(data, 0), END, data)  # the byte between is the kind of binary: any


def _framed(body: pa.Array) -> pa.Array:
    return joined(_length(body, 5), body, END)


def _length(data: pa.Array, more: int) -> pa.Array:
    return _bytes(pc.add(pc.binary_length(data), pa.scalar(more, pa.int32())))


def _bytes(values: pa.Array) -> pa.Array:
    """Numbers as they lie in memory, which is little-endian as BSON is."""
    return values.view(pa.binary(values.type.bit_width // 8)).cast(B)


def _words(values: pa.Array) -> pa.Array:
    """128-bit numbers as twice as many of 64 bits, the lower half first."""
    whole = pa.concat_arrays([values]) if values.offset else values
    return pa.Array.from_buffers(pa.uint64(), 2 * len(whole), [None, whole.buffers()[1]])


def _where(values: pa.Array, data: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), data, pa.scalar(None, B)) if values.null_count else data


def either(masks: Sequence[pa.Array | None]) -> pa.Array | None:
    """The rows that any of the masks names; None where there is no mask."""
    found = [each for each in masks if each is not None]
    return reduce(pc.or_, found) if found else None


def _name(name: str) -> bytes:
    return name.encode() + b"\0"


def require_name(name: str, whole: str) -> str:
    """A field's name, which MongoDB must be able to store and to ask for; ConfigError if it is not."""
    if not name or name.startswith("$") or "\0" in name:
        raise ConfigError(f"column '{whole}' gives a field the name '{name}', which MongoDB does not take: rename it")
    return name


PLAIN: tuple[tuple[Callable[[pa.DataType], bool], bytes, Callable[[pa.Array], pa.Array]], ...] = (
    (lambda kind: T.is_string(kind) or T.is_large_string(kind), b"\x02", _text),
    (T.is_boolean, b"\x08", _truth),
    (lambda kind: T.is_integer(kind) and kind.bit_width < 32, b"\x10", lambda values: _bytes(values.cast(pa.int32()))),
    (T.is_int32, b"\x10", _bytes),
    (lambda kind: T.is_int64(kind) or T.is_uint32(kind), b"\x12", lambda values: _bytes(values.cast(pa.int64()))),
    (T.is_floating, b"\x01", lambda values: _bytes(values.cast(pa.float64()))),
    (lambda kind: T.is_binary(kind) or T.is_large_binary(kind) or T.is_fixed_size_binary(kind), b"\x05", _blob),
    (T.is_date, b"\x09", _midnights),
    (T.is_timestamp, b"\x09", lambda values: _bytes(_milliseconds(values))),
)
