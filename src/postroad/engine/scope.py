"""Scopes: which rows a walk rules over, and how a close keeps to them.

A close deletes only inside its own scope, and leaves alone what a snapshot that began later rules over, on whichever
side of the comparison a row lies there: an older page never takes back what a newer one said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.lake.streams import Window, without_keys
from postroad.records import Scope


def scope_of(walk: Mapping[str, Any]) -> Scope:
    """The scope that a walk was begun for."""
    return Scope(walk["scope"], **(walk["bounds"] or {}))


def inside(scope: Scope, rows: pa.Table) -> pa.ChunkedArray | pa.Array:
    """For each row whether the scope holds it; a null is in no scope but that of all rows."""
    if scope.column is None:
        return pa.repeat(pa.scalar(True), rows.num_rows)
    column = rows.column(scope.column)
    if scope.equals is not None:
        found = pc.equal(column, _value(scope.equals, column.type))
    else:
        found = pc.greater_equal(column, _value(scope.at_least, column.type))
    return pc.fill_null(found, False)


def _value(said: Any, kind: pa.DataType) -> pa.Scalar:
    """A bound as a value of its column; a day means midnight UTC."""
    value = pa.scalar(said)
    return (
        value.cast(pa.date32()).cast(pa.timestamp("us")).cast(kind) if pa.types.is_timestamp(kind) else value.cast(kind)
    )


@dataclass(frozen=True)
class Rule:
    """What one close may compare and delete: its own scope, without those that later snapshots rule over."""

    scope: Scope
    later: Sequence[Scope]
    key: Sequence[str]

    def compared(self, windows: Iterator[Window]) -> Iterator[Window]:
        """The windows without the keys that have a row, on either side, where a later snapshot rules."""
        for window in windows:
            sides: list[pa.Table | None] = [*window]
            ruled = [each.filter(self._ruled(each)) for each in window if each is not None and self.later]
            for taken in (each for each in ruled if each.num_rows):
                sides = [self._rest(side, taken) for side in sides]
            if any(side is not None for side in sides):
                yield sides[0], sides[1]

    def deletable(self, rows: pa.Table) -> pa.Table:
        """Of current rows that the snapshot lacks those inside its scope."""
        if self.scope.adds:
            return rows.slice(0, 0)
        return rows if self.scope.column is None else rows.filter(inside(self.scope, rows))

    def _rest(self, rows: pa.Table | None, taken: pa.Table) -> pa.Table | None:
        rest = None if rows is None else without_keys(rows, taken, self.key)
        return rest if rest is not None and rest.num_rows else None

    def _ruled(self, rows: pa.Table) -> Any:
        return reduce(pc.or_, (inside(scope, rows) for scope in self.later))
