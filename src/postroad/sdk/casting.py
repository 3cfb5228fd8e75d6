"""Texts and numbers to typed columns, where some values cannot be cast: which rows hold them, and all others cast."""

from __future__ import annotations

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
