"""Sorted streams of rows and how they are joined, in bounded memory and without a loop over rows.

A stream is an iterator of non-empty Arrow tables, sorted by key, every key once. Two streams are walked in *windows*:
pairs of tables that cover the same range of keys. Strings sort by code point on both sides (Arrow and Python agree).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.lake.nesting import differs
from postroad.records import DELETE

Stream = Iterator[pa.Table]
Key = Sequence[str]
Window = tuple[pa.Table | None, pa.Table | None]  # the rows of two streams with one range of keys


def key_column(rows: pa.Table, key: Key) -> pa.ChunkedArray:
    """The key as one column to look up by: itself, or the fields of a composite key joined without ambiguity."""
    if len(key) == 1:
        return rows.column(key[0])
    texts = [pc.replace_substring(rows.column(name).cast(pa.string()), "\x00", "\x00\x01") for name in key]
    return pc.binary_join_element_wise(*texts, "\x00\x02")


def key_at(rows: pa.Table, key: Key, index: int) -> tuple[Any, ...]:
    """The key of one row as Python values."""
    return tuple(rows.column(name)[index].as_py() for name in key)


def latest_of_each(rows: pa.Table, key: Key) -> pa.Table:
    """The rows sorted by key, of each key the last one only."""
    if rows.num_rows < 2 or _strictly_sorted(rows, key):
        return rows
    position = pa.chunked_array([pa.array(range(rows.num_rows), pa.int64())])
    order = pc.sort_indices(
        rows.select(list(key)).append_column("\x00", position), [(name, "ascending") for name in (*key, "\x00")]
    )
    rows = rows.take(order)
    column = key_column(rows, key).combine_chunks()
    last = pc.not_equal(column.slice(0, len(column) - 1), column.slice(1))
    return rows.filter(pa.concat_arrays([_plain(last), pa.array([True])]))


def latest(streams: Sequence[Stream], key: Key) -> Stream:
    """One stream of many; of a key that several hold the row of the last of them."""
    if not streams:
        return iter(())
    while len(streams) > 1:
        pairs = [streams[at : at + 2] for at in range(0, len(streams), 2)]
        streams = [_overlaid(pair[0], pair[1], key) if len(pair) == 2 else pair[0] for pair in pairs]
    return streams[0]


def windows(left: Stream, right: Stream, key: Key) -> Iterator[Window]:
    """Walk two streams side by side: pairs of tables with the same range of keys, None where a side has no rows."""
    one, other = _Buffer(left, key), _Buffer(right, key)
    while True:
        ends = [end for end in (one.end(), other.end()) if end is not None]
        if not ends:
            return
        yield one.take(min(ends)), other.take(min(ends))


def below(stream: Stream, key: Key, bounds: Sequence[tuple[Any, ...] | None]) -> Iterator[Stream]:
    """Cut a stream at ascending bounds: for each a stream of the rows below it, None for all the rest.

    Each must be read to its end before the next is asked for.
    """
    buffer = _Buffer(stream, key)
    for bound in bounds:
        yield _until(buffer, bound)


@dataclass
class Tally:
    """What applying changes did to the current rows."""

    new: int = 0
    changed: int = 0
    deleted: int = 0


def applied(current: Stream, changed: Stream, key: Key, tally: Tally | None = None) -> Stream:
    """The current rows after changed ones: upserts in, deletes out. `changed` has `_op`, the result does not."""
    tally = tally or Tally()
    for old, new in windows(current, changed, key):
        if new is None:
            assert old is not None
            yield old
            continue
        kept = new.filter(pc.not_equal(new.column("_op"), DELETE)).drop_columns(["_op"])
        if old is None:
            tally.new += kept.num_rows
            merged = kept
        else:
            untouched = without_keys(old, new, key)
            added = without_keys(kept, old, key).num_rows
            tally.new += added
            tally.changed += kept.num_rows - added
            tally.deleted += old.num_rows - untouched.num_rows - (kept.num_rows - added)
            merged = _merged(untouched, kept, key)
        if merged.num_rows:
            yield merged


def difference(
    pairs: Iterator[Window], key: Key, columns: Key, absent: Key = ()
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """What turns the right side of windows into the left one: pairs (rows to upsert, rows to delete), in key order.

    Rows are compared column by column over `columns`; no hash of a row is stored or computed. `absent` columns are
    not compared, and keep the right side's values.
    """
    compared = [name for name in columns if name not in absent]
    for wanted, found in pairs:
        if found is None:
            assert wanted is not None
            yield wanted, wanted.slice(0, 0)
        elif wanted is None:
            yield found.slice(0, 0), found
        else:
            yield _to_upsert(wanted, found, key, compared, absent), without_keys(found, wanted, key)


def filled(rows: pa.Table, before: pa.Table, key: Key, absent: Key) -> pa.Table:
    """The rows with the absent columns as an earlier version of the same keys has them, null for new keys.

    Both are sorted by key, every key once.
    """
    known = pc.is_in(key_column(rows, key), key_column(before, key).combine_chunks())
    same = with_keys(before, rows, key)
    at = pc.subtract(pc.cumulative_sum(known.cast(pa.int64())), 1)  # rows and `same` have one order
    at = pc.if_else(known, at, pa.scalar(None, pa.int64()))
    for name in absent:
        place = rows.schema.get_field_index(name)
        values = same.column(name).take(at).cast(rows.schema.field(name).type)
        rows = rows.set_column(place, rows.schema.field(name), values)
    return rows


class _Buffer:
    """The part of a stream that was read and not yet taken."""

    def __init__(self, stream: Stream, key: Key) -> None:
        self._stream = stream
        self._key = key
        self._rows: pa.Table | None = None

    def end(self) -> tuple[Any, ...] | None:
        """The last key read so far, reading on if there is nothing left; None at the end of the stream."""
        if self._rows is None:
            self._rows = next(self._stream, None)
        return None if self._rows is None else key_at(self._rows, self._key, self._rows.num_rows - 1)

    def take(self, bound: tuple[Any, ...], *, including: bool = True) -> pa.Table | None:
        """Take the rows up to a bound."""
        if self._rows is None:
            return None
        count = _rows_up_to(self._rows, self._key, bound, including)
        taken = self._rows.slice(0, count) if count else None
        self._rows = self._rows.slice(count) if count < self._rows.num_rows else None
        return taken


def _until(buffer: _Buffer, bound: tuple[Any, ...] | None) -> Stream:
    while (end := buffer.end()) is not None:
        piece = buffer.take(end) if bound is None or end < bound else buffer.take(bound, including=False)
        if piece is None:
            return
        yield piece


def _rows_up_to(rows: pa.Table, key: Key, bound: tuple[Any, ...], including: bool) -> int:
    within = pa.scalar(including)
    for name, value in reversed(list(zip(key, bound, strict=True))):
        column = rows.column(name)
        limit = pa.scalar(value, column.type)
        within = pc.or_(pc.less(column, limit), pc.and_(pc.equal(column, limit), within))
    return int(pc.sum(within).as_py() or 0)


def _strictly_sorted(rows: pa.Table, key: Key) -> bool:
    greater: Any = pa.scalar(False)
    for name in reversed(key):
        column = rows.column(name).combine_chunks()
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        greater = pc.or_(pc.less(before, after), pc.and_(pc.equal(before, after), greater))
    return bool(pc.all(greater).as_py())


def _overlaid(older: Stream, newer: Stream, key: Key) -> Stream:
    for old, new in windows(older, newer, key):
        if old is None or new is None:
            yield (new if old is None else old)  # one of them has rows
        else:
            yield _merged(without_keys(old, new, key), new, key)


def with_keys(rows: pa.Table, others: pa.Table, key: Key) -> pa.Table:
    """The rows whose keys the others have."""
    return rows.filter(pc.is_in(key_column(rows, key), key_column(others, key).combine_chunks()))


def without_keys(rows: pa.Table, others: pa.Table, key: Key) -> pa.Table:
    """The rows whose keys the others do not have."""
    found = pc.is_in(key_column(rows, key), key_column(others, key).combine_chunks())
    return rows.filter(pc.invert(found))


def _merged(some: pa.Table, others: pa.Table, key: Key) -> pa.Table:
    if not some.num_rows or not others.num_rows:
        return some if some.num_rows else others
    rows = pa.concat_tables([some, others])
    if key_at(some, key, some.num_rows - 1) < key_at(others, key, 0):
        return rows
    return rows.sort_by([(name, "ascending") for name in key])


def _to_upsert(wanted: pa.Table, found: pa.Table, key: Key, columns: Key, absent: Key) -> pa.Table:
    known = pc.is_in(key_column(wanted, key), key_column(found, key).combine_chunks())
    same_keys = wanted.filter(known)
    before = with_keys(found, wanted, key)
    different = reduce(pc.or_, (differs(same_keys.column(name), before.column(name)) for name in columns))
    changed = same_keys.filter(different)
    if absent and changed.num_rows:
        changed = filled(changed, before, key, absent)
    return _merged(wanted.filter(pc.invert(known)), changed, key)


def _plain(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
