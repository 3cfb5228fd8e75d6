"""Rows of a dataset beside those that a receiver gave back, value by value; a few thousand at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.lake.nesting import differs
from postroad.lake.streams import with_keys
from postroad.records import VERSION, Entity, key_texts
from postroad.sdk.casting import cast_deep

UNITS = {"s": "second", "ms": "millisecond"}


@dataclass(frozen=True)
class Different:
    """One record whose values differ: the fields and, where they were asked for, the dataset's and the receiver's."""

    key: str
    fields: Sequence[str]
    values: Mapping[str, tuple[Any, Any]] | None = None


def differing(target: Entity, ours: pa.Table, theirs: pa.Table, *, show: bool) -> tuple[int, list[Different]]:
    """How many records were compared, and those that differ. One that moved on meanwhile is left out.

    A column that the receiver lacks differs where the dataset has a value. Values are compared as those of the type
    that the receiver keeps.
    """
    key = list(target.key)
    order = [(name, "ascending") for name in key]
    theirs = theirs.select([*key, *(name for name in theirs.column_names if name not in key)])
    ours = with_keys(ours.sort_by(order), theirs, key)
    theirs = with_keys(_keyed(theirs, target).sort_by(order), ours, key)
    same = pc.equal(ours.column(VERSION.name), theirs.column(VERSION.name))
    ours, theirs = ours.filter(same), theirs.filter(same)
    found: dict[int, list[str]] = {}
    for field in target.schema:
        if field.name not in key:
            held = theirs.column(field.name) if field.name in theirs.column_names else None
            for place in _places(ours.column(field.name), held):
                found.setdefault(place, []).append(field.name)
    return ours.num_rows, [_different(key, ours, theirs, at, names, show=show) for at, names in sorted(found.items())]


def _keyed(theirs: pa.Table, target: Entity) -> pa.Table:
    for name in target.key:
        place = theirs.column_names.index(name)
        theirs = theirs.set_column(place, name, theirs.column(name).cast(target.schema.field(name).type))
    return theirs


def _places(ours: pa.ChunkedArray, theirs: pa.ChunkedArray | None) -> list[int]:
    """Where two columns differ; a value that no type of the receiver has is as good as none."""
    if theirs is None:
        return _true(pc.is_valid(ours))
    try:
        wanted = pa.chunked_array([cast_deep(each, theirs.type, _as_kept) for each in ours.chunks], theirs.type)
        return _true(differs(_numbers(wanted), _numbers(theirs)))
    except (pa.ArrowException, TypeError):  # types that Arrow does not compare: loops over a sample
        pairs = zip(ours.to_pylist(), theirs.to_pylist(), strict=True)
        return [at for at, (one, other) in enumerate(pairs) if one != other]


def _as_kept(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """A value as a coarser type keeps it; of a time the digits are cut off, before 1970 as well."""
    if pa.types.is_timestamp(values.type) and pa.types.is_timestamp(kind) and kind.unit in UNITS:
        values = pc.floor_temporal(values, unit=UNITS[kind.unit])
    return values.cast(kind, safe=False)


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """NaN is no value: some receivers keep it as null, and it is not equal to itself."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _true(mask: Any) -> list[int]:
    places: list[int] = pc.indices_nonzero(mask).to_pylist()
    return places


def _different(
    key: Sequence[str], ours: pa.Table, theirs: pa.Table, at: int, names: Sequence[str], *, show: bool
) -> Different:
    (text,) = key_texts(ours.slice(at, 1), key)
    if not show:
        return Different(text, names)
    values = {
        name: (
            ours.column(name)[at].as_py(),
            theirs.column(name)[at].as_py() if name in theirs.column_names else None,
        )
        for name in names
    }
    return Different(text, names, values)
