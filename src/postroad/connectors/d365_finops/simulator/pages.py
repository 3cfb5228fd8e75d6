"""Which rows a read of `/data` shows, and in which order: filter, order, skip, top and pages (fact sheet 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.entities import Entity, Field
from postroad.connectors.d365_finops.simulator.filters import Mask
from postroad.connectors.d365_finops.simulator.texts import plain


class Rows(Protocol):
    """Some rows whose columns can be asked for; ascending numbers tell them apart."""

    def __len__(self) -> int: ...

    @property
    def numbers(self) -> pa.Array:
        """The number of each row."""
        ...

    def column(self, of: Field) -> pa.Array:
        """One column of them."""
        ...

    def versions(self) -> pa.Array:
        """At which number of the environment's count each row last changed."""
        ...

    def narrowed(self, mask: pa.Array) -> Rows:
        """Those of them where the mask says so."""
        ...


class Holder(Protocol):
    """What holds rows: those of one company, or of a shared entity."""

    def __len__(self) -> int: ...

    def blocks(self, start: int = 0) -> Iterator[Rows]:
        """All rows in the order of their numbers, from that number on."""
        ...

    def find(self, key: Mapping[str, Any]) -> Rows | None:
        """The row with that key."""
        ...


@dataclass(frozen=True)
class Query:
    """What is asked: `order` is properties, each with whether it descends; `after` the last row of a page."""

    entity: Entity
    where: Mask | None = None
    order: tuple[tuple[Field, bool], ...] = ()
    skip: int = 0
    after: tuple[int, int] | None = None


@dataclass
class Taken:
    """The rows of a page, in pieces; `last` is holder and number of the last one; `more` rows follow."""

    pieces: list[Rows]
    last: tuple[int, int] | None
    more: bool


def counted(holders: Sequence[Holder], query: Query) -> int:
    """How many rows match."""
    if query.where is None:
        return sum(map(len, holders))
    return sum(len(rows) for _, rows in _matching(holders, query, (0, 0)))


def taken(holders: Sequence[Holder], query: Query, most: int) -> Taken:
    """At most that many rows."""
    if query.order:
        return _sorted(holders, query, most)
    pieces: list[Rows] = []
    last, skip, left = query.after, query.skip, most
    start = (0, 0) if query.after is None else (query.after[0], query.after[1] + 1)
    for place, rows in _matching(holders, query, start):
        skipped = min(skip, len(rows))
        skip -= skipped
        if skipped == len(rows):
            continue
        if left == 0:
            return Taken(pieces, last, more=True)
        piece = _slice(rows, skipped, left)
        pieces.append(piece)
        left -= len(piece)
        last = (place, piece.numbers[-1].as_py())
        if len(rows) - skipped > len(piece):
            return Taken(pieces, last, more=True)
    return Taken(pieces, last, more=False)


def _matching(holders: Sequence[Holder], query: Query, start: tuple[int, int]) -> Iterator[tuple[int, Rows]]:
    for place, holder in enumerate(holders):
        if place < start[0]:
            continue
        for rows in holder.blocks(start[1] if place == start[0] else 0):
            found = rows if query.where is None else rows.narrowed(query.where(rows.column))
            if len(found):
                yield place, found


def _sorted(holders: Sequence[Holder], query: Query, most: int) -> Taken:
    """The page in the order asked for; rows that are equal in it keep the order of their numbers."""
    pieces = [rows for _, rows in _matching(holders, query, (0, 0))]
    if not pieces:
        return Taken([], None, more=False)
    keys = {f"k{place}": _whole(pieces, field) for place, (field, _) in enumerate(query.order)}
    size = sum(map(len, pieces))
    table = pa.table({**keys, "row": pa.arange(0, size)})
    order = [(f"k{place}", "descending" if down else "ascending") for place, (_, down) in enumerate(query.order)]
    places = pc.sort_indices(table, [*order, ("row", "ascending")])[query.skip : query.skip + most]
    return Taken([Reordered(pieces, places)], None, more=query.skip + most < size)


@dataclass(frozen=True)
class Reordered:
    """Rows of several pieces in another order; `places` index the pieces laid end to end."""

    pieces: Sequence[Rows]
    places: pa.Array

    def __len__(self) -> int:
        return len(self.places)

    @property
    def numbers(self) -> pa.Array:
        """The number of each row."""
        return pa.concat_arrays([piece.numbers for piece in self.pieces]).take(self.places)

    def column(self, of: Field) -> pa.Array:
        """One column of them."""
        return _whole(self.pieces, of).take(self.places)

    def versions(self) -> pa.Array:
        """At which number of the environment's count each row last changed."""
        return pa.concat_arrays([piece.versions() for piece in self.pieces]).take(self.places)

    def narrowed(self, mask: pa.Array) -> Reordered:
        """Those of them where the mask says so."""
        return Reordered(self.pieces, self.places.filter(mask))


@dataclass(frozen=True)
class Records:
    """Rows of one of data management's own sets with their numbers, made when asked for; holder and block in one."""

    rows: Sequence[tuple[int, dict[str, Any]]]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def numbers(self) -> pa.Array:
        """The number of each row."""
        return pa.array([number for number, _ in self.rows], pa.int64())

    def column(self, of: Field) -> pa.Array:
        """One column of them."""
        return pa.array([row[of.name] for _, row in self.rows], of.arrow)

    def versions(self) -> pa.Array:
        """At which number of the environment's count each row last changed: not known of these."""
        return pa.array([0] * len(self.rows), pa.int64())

    def narrowed(self, mask: pa.Array) -> Records:
        """Those of them where the mask says so."""
        return Records([row for row, kept in zip(self.rows, mask.to_pylist(), strict=True) if kept])

    def blocks(self, start: int = 0) -> Iterator[Records]:
        """All rows from that number on."""
        yield Records([row for row in self.rows if row[0] >= start])

    def find(self, key: Mapping[str, Any]) -> Records | None:
        """The row with that key."""
        found = [row for row in self.rows if all(row[1][name] == value for name, value in key.items())]
        return Records(found) if found else None


def _whole(pieces: Sequence[Rows], field: Field) -> pa.Array:
    return pa.concat_arrays([plain(piece.column(field)) for piece in pieces])


def _slice(rows: Rows, first: int, count: int) -> Rows:
    if first == 0 and len(rows) <= count:
        return rows
    places = pa.arange(0, len(rows))
    return rows.narrowed(pc.and_(pc.greater_equal(places, first), pc.less(places, first + count)))
