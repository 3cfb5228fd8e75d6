"""Texts and numbers to typed columns, where some values cannot be cast: which rows hold them, and all others cast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Bad:
    """Why one row is refused."""

    cause: str
    sentence: str


def cast_or_find(values: pa.Array, target: pa.DataType) -> tuple[pa.Array, list[int]]:
    """The cast column, and the rows that could not be cast, which are null in it.

    Arrow does not say which value it refused, so the column is halved until the bad ones stand alone: cheap for one
    bad value in ten thousand.
    """
    try:
        return values.cast(target), []
    except pa.ArrowInvalid:
        rows = _find(values, target)
    mask = [False] * len(values)
    for row in rows:
        mask[row] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, values.type), values).cast(target), rows


def _cast(values: pa.Array, target: pa.DataType) -> pa.Array:
    return values.cast(target)


def cast_deep(
    values: pa.Array, target: pa.DataType, cast: Callable[[pa.Array, pa.DataType], pa.Array] = _cast
) -> pa.Array:
    """An array, maybe of lists and structures, with other types in it; an ArrowException if one is unfit.

    Arrow's own cast also reads what lies under a null structure: an empty text, which is no number.
    """
    kind = values.type
    if values.offset:
        values = pa.concat_arrays([values])
    if pa.types.is_list(kind) and pa.types.is_list(target):
        entries = cast_deep(values.values, target.value_type, cast)
        return pa.ListArray.from_arrays(values.offsets, entries, mask=values.is_null()).cast(target)
    if pa.types.is_struct(kind) and pa.types.is_struct(target) and {*kind.names} == {*target.names}:
        found = dict(zip(kind.names, values.flatten(), strict=True))
        members = [cast_deep(found[field.name], field.type, cast) for field in target]
        return pa.StructArray.from_arrays(members, fields=list(target), mask=values.is_null())
    return cast(values, target)


def true_rows(mask: pa.Array) -> list[int]:
    """The rows where a mask is true; a null is not."""
    if not pc.any(mask).as_py():
        return []
    rows: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return rows


def _find(values: pa.Array, target: pa.DataType) -> list[int]:
    bad = []
    spans = [(0, len(values))]
    while spans:
        start, length = spans.pop()
        try:
            values.slice(start, length).cast(target)
        except pa.ArrowInvalid:
            if length == 1:
                bad.append(start)
            else:
                spans += [(start, length // 2), (start + length // 2, length - length // 2)]
    return sorted(bad)
