"""Finds the edges that Arrow cannot read. Only for a page that it refused, because this looks at each edge alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from postroad.connectors.xledger.declaration import JSON_TYPES
from postroad.sdk.casting import Bad

_SCALARS: dict[pa.DataType, type] = {
    pa.string(): str,
    pa.int64(): int,
    pa.bool_(): bool,
    JSON_TYPES["number"]: Decimal,
}


def sift(texts: Sequence[bytes], node: pa.DataType, read: Callable[[bytes], object]) -> dict[int, Bad]:
    """Why each bad edge is bad, by its number.

    A typed decoder knows nearly all of them in 2 µs an edge and says where the value is. What it lets pass and Arrow
    does not (a field given twice, a number beyond 64 bits) is found by letting Arrow read ever smaller parts.
    """
    decoder = _decoder(node)
    bad: dict[int, Bad] = {}
    for row, text in enumerate(texts):
        if why := _mistyped(decoder, text):
            bad[row] = why
    rest = [row for row in range(len(texts)) if row not in bad]
    return bad | dict.fromkeys(_unread(texts, rest, read), UNREADABLE_JSON)


def _unread(texts: Sequence[bytes], rows: list[int], read: Callable[[bytes], object]) -> list[int]:
    """Those of the rows that Arrow does not read, found by halving."""
    if _reads(read, b",".join(texts[row] for row in rows)):
        return []
    if len(rows) == 1:
        return rows
    middle = len(rows) // 2
    return _unread(texts, rows[:middle], read) + _unread(texts, rows[middle:], read)


UNREADABLE_JSON = Bad("bad_json", "the row holds a field twice, a number that is too large or text that is no UTF-8")


def _mistyped(decoder: msgspec.json.Decoder[Any], text: bytes) -> Bad | None:
    try:
        decoder.decode(text)
    except msgspec.ValidationError as error:
        return Bad("wrong_type", f"the row has a value of another type than declared: {error}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return UNREADABLE_JSON
    return None


def _reads(read: Callable[[bytes], object], text: bytes) -> bool:
    try:
        read(bytes(text))
    except pa.ArrowInvalid:
        return False
    return True


@lru_cache(maxsize=64)
def _decoder(node: pa.DataType) -> msgspec.json.Decoder[Any]:
    edge = msgspec.defstruct("Edge", [("node", _typed(node), None)])
    return msgspec.json.Decoder(edge)


def _typed(kind: pa.DataType) -> Any:
    """The decoder's type for an Arrow type; everything may be null or absent, as it may for Arrow."""
    if kind in _SCALARS:
        return _SCALARS[kind] | None
    fields = [(kind.field(place).name, _typed(kind.field(place).type), None) for place in range(kind.num_fields)]
    return msgspec.defstruct("Node", fields) | None
