"""Lists and structures in columns: which values differ, which Arrow does not compare, and how two types differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

T = pa.types


@dataclass(frozen=True)
class Difference:
    """Where two types differ: `column.member`, and what one and the other have there; None: it lacks that member."""

    path: str
    one: pa.DataType | None
    other: pa.DataType | None


def unlike(path: str, one: pa.DataType, other: pa.DataType) -> Iterator[Difference]:
    """How two types differ; the order of members does not matter, for they are found by name."""
    if _is_list(one) and _is_list(other):
        for each in unlike(path, one.value_type, other.value_type):
            yield Difference(path, one, other) if each.path == path else each
    elif T.is_struct(one) and T.is_struct(other):
        mine, theirs = {each.name: each.type for each in one}, {each.name: each.type for each in other}
        for name in dict.fromkeys([*mine, *theirs]):
            inner = f"{path}.{name}"
            if name in mine and name in theirs:
                yield from unlike(inner, mine[name], theirs[name])
            else:
                yield Difference(inner, mine.get(name), theirs.get(name))
    elif one != other:
        yield Difference(path, one, other)


def differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Any:
    """True where the values of two columns of one type differ, without a loop over rows.

    Null equals null alone. Lists are equal if they have equal entries in one order; an empty list is not null.
    """
    if _is_list(one.type) or T.is_struct(one.type):
        return _differs(_whole(one), _whole(other))
    return _plain(one, other)


def _differs(one: pa.Array, other: pa.Array) -> Any:
    if _is_list(one.type):
        return _lists(one, other)
    if not T.is_struct(one.type):
        return _plain(one, other)
    members = zip(one.flatten(), other.flatten(), strict=True)
    return reduce(pc.or_, (_differs(*pair) for pair in members), pc.not_equal(pc.is_null(one), pc.is_null(other)))


def _lists(one: pa.Array, other: pa.Array) -> pa.Array:
    """Lists of one length are compared entry by entry, those of all rows at once."""
    lengths = [pc.fill_null(pc.list_value_length(each), -1) for each in (one, other)]
    same = pc.indices_nonzero(pc.equal(*lengths))
    one, other = one.take(same), other.take(same)
    entries = _differs(pc.list_flatten(one), pc.list_flatten(other))
    rows = same.take(pc.list_parent_indices(one).filter(entries))
    return pc.or_(pc.not_equal(*lengths), pc.is_in(pa.arange(0, len(lengths[0])), rows.cast(pa.int64())))


def _plain(one: Any, other: Any) -> Any:
    values = pc.fill_null(pc.not_equal(one, other), False)
    return pc.or_(values, pc.not_equal(pc.is_null(one), pc.is_null(other)))


def _is_list(kind: pa.DataType) -> bool:
    return bool(T.is_list(kind) or T.is_large_list(kind) or T.is_fixed_size_list(kind))


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
