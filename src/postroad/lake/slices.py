"""Claim checks: some rows of some files of a dataset, named without being copied, and read again.

A file of `changes` never goes, one of `tables` stays while an open message names it (`Lake`'s `pinned`, sequence 11).
Names carry their writer's token and are never used twice, so a file of the right size is the one that was meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from postroad.errors import LakeError, StateError
from postroad.lake.changes import versions_after
from postroad.lake.delta import FENCE, Member
from postroad.lake.disk import Disk
from postroad.lake.lake import CHANGES, Dataset, in_key_order
from postroad.lake.parquet import BATCH, conform
from postroad.records import DELETE, OP, UPSERT


@dataclass(frozen=True)
class Slice:
    """`rows` rows of a file from the row `first` on; `size` is that of the file in bytes.

    `told`: rows of a table for somebody who may have older versions of them.
    """

    path: str
    first: int
    rows: int
    size: int
    told: bool = False


Versioned = Sequence[tuple[int, Slice]]  # each with the `_version` of its commit, or that its table shows


def undispatched(dataset: Dataset, offset: int | None) -> tuple[int, Versioned] | None:
    """What a subscription has not been told yet, in commit order, and the offset after it.

    `offset` is the version that it was told up to; with None it is new and gets the current rows, and then what came
    after them. None before the first load.
    """
    if offset is None:
        return _current_state(dataset)
    head = dataset.changes.action(FENCE)
    if head is None and offset == 0:
        return None
    slices = _changes_since(dataset, offset)
    # A commit made since the head was asked for is in the list as well.
    return max([head or 0, offset, *(version for version, _ in slices)]), slices


def _current_state(dataset: Dataset) -> tuple[int, Versioned] | None:
    position, members = dataset.table.members_at(CHANGES)
    if position is None:
        return None
    folder = dataset.table.folder
    rows = [(position, _whole(folder, member)) for member in in_key_order(members, dataset.entity)]
    later = _changes_since(dataset, position)
    return max([position, *(version for version, _ in later)]), [*rows, *later]


def restated(dataset: Dataset, since: int) -> tuple[int, Versioned] | None:
    """What brings somebody who was told everything before the version `since` to the head, without what was between.

    The current rows, and which keys were deleted since then. None before the first load.
    """
    found = _current_state(dataset)
    if found is None:
        return None
    offset, rows = found
    position = dataset.table.action(CHANGES) or 0
    told = [(version, replace(each, told=version == position)) for version, each in rows]
    return offset, [*_deletes(dataset, since - 1, position), *told]


def _deletes(dataset: Dataset, after: int, upto: int) -> Iterator[tuple[int, Slice]]:
    """The deletes of the changes in these versions."""
    for version, whole in _changes_since(dataset, after):
        if version <= upto:
            first = 0
            with closing(dataset.disk.open(whole.path)) as source:
                for batch in pq.ParquetFile(source).iter_batches(BATCH, columns=[OP.name], use_threads=False):
                    places = pc.indices_nonzero(pc.equal(batch.column(0), DELETE)).to_pylist()  # deletes are few
                    for start, end in _runs(places):
                        yield version, Slice(whole.path, first + start, end - start, whole.size)
                    first += batch.num_rows


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending places as ranges of neighbours: where each begins, and where it has ended."""
    for _, group in groupby(enumerate(places), lambda each: each[1] - each[0]):
        run = [place for _, place in group]
        yield run[0], run[-1] + 1


def _changes_since(dataset: Dataset, offset: int) -> Versioned:
    folder = dataset.changes.folder
    return [
        (version, _whole(folder, member))
        for version, members in versions_after(dataset, offset)
        for member in in_key_order(members, dataset.entity)
    ]


def packed(slices: Versioned, most: int) -> Iterator[list[tuple[int, Slice]]]:
    """The same rows in the same order, cut into groups of at most `most` rows."""
    group: list[tuple[int, Slice]] = []
    room = most
    for version, whole in slices:
        done = 0
        while done < whole.rows:
            rows = min(room, whole.rows - done)
            group.append((version, replace(whole, first=whole.first + done, rows=rows)))
            done, room = done + rows, room - rows
            if not room:
                yield group
                group, room = [], most
    if group:
        yield group


def picked(slices: Sequence[Slice], places: Sequence[int]) -> list[Slice]:
    """The rows at these ascending places of the slices; loops over the places, which are few or a range."""
    found: list[Slice] = []
    bounds = iter(slices)
    whole, start = next(bounds), 0
    for place in places:
        while place >= start + whole.rows:
            start += whole.rows
            whole = next(bounds)
        first = whole.first + place - start
        last = found[-1] if found else None
        if last is not None and last.path == whole.path and last.first + last.rows == first:
            found[-1] = replace(last, rows=last.rows + 1)
        else:
            found.append(replace(whole, first=first, rows=1))
    return found


def joined(slices: Iterable[Slice]) -> Iterator[Slice]:
    """The same rows in the same order, those that follow each other in a file as one slice."""
    last: Slice | None = None
    for each in slices:
        if last is not None and last.path == each.path and last.first + last.rows == each.first:
            last = replace(last, rows=last.rows + each.rows)
            continue
        if last is not None:
            yield last
        last = each
    if last is not None:
        yield last


class SliceReader:
    """Reads slices; keeps a file open behind the last one, since the messages of one file follow each other."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._forward: _Forward | None = None

    def read(self, dataset: Dataset, slices: Sequence[Slice]) -> pa.Table:
        """The rows with the columns of `changes`; those of a table are upserts.

        StateError if a file is gone, is another one, or holds no rows; LakeError if it cannot be had now.
        """
        schema = dataset.changes_schema
        found = [schema.empty_table()]
        for each in joined(slices):
            try:
                self._require(each)
                found += [_as_changes(rows, schema) for rows in self._from(each).rows(each.first, each.rows)]
            except (pa.ArrowException, OSError) as error:
                self.close()
                # The machine gives a number: it has no open files left, or may not. What is in the file gives none.
                if isinstance(error, OSError) and error.errno is not None:
                    raise LakeError(f"{each.path} cannot be had now: {os.strerror(error.errno)}") from error
                told = str(error).partition("\n")[0]
                raise StateError(f"{each.path} cannot be read ({told}): put it back from a backup") from error
        return pa.concat_tables(found)

    def close(self) -> None:
        """Close the file."""
        if self._forward is not None:
            self._forward.close()
            self._forward = None

    def _require(self, wanted: Slice) -> None:
        try:
            size = self._disk.size(wanted.path)
        except FileNotFoundError:
            raise StateError(f"{wanted.path} is gone, and a message names it: put it back from a backup") from None
        if size != wanted.size:
            raise StateError(f"{wanted.path} is not the file that a message names: its size differs")

    def _from(self, wanted: Slice) -> _Forward:
        if self._forward is None or self._forward.path != wanted.path or wanted.first < self._forward.start:
            self.close()
            self._forward = _Forward(self._disk, wanted.path)
        return self._forward


class _Forward:
    """A file that is read from its beginning to its end, a batch at a time; `start` is the batch's first row."""

    def __init__(self, disk: Disk, path: str) -> None:
        self.path = path
        self.start = 0
        self._source = disk.open(path)
        self._batches = pq.ParquetFile(self._source).iter_batches(batch_size=BATCH, use_threads=False)
        self._batch: pa.RecordBatch | None = None

    def rows(self, first: int, count: int) -> Iterator[pa.Table]:
        """So many rows from that one on, which is not before `start`."""
        while count:
            batch = self._holding(first)
            rows = batch.slice(first - self.start, count)
            yield pa.Table.from_batches([rows])
            first, count = first + rows.num_rows, count - rows.num_rows

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _holding(self, row: int) -> pa.RecordBatch:
        while self._batch is None or row >= self.start + self._batch.num_rows:
            self.start += 0 if self._batch is None else self._batch.num_rows
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise StateError(f"{self.path} has fewer rows than a message names: put it back from a backup")
        return self._batch


def _as_changes(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    if OP.name not in rows.column_names:
        rows = rows.append_column(OP, pa.chunked_array([pa.repeat(pa.scalar(UPSERT), rows.num_rows)]))
    return conform(rows, schema)


def _whole(folder: str, member: Member) -> Slice:
    return Slice(f"{folder}/{member.path}", 0, member.rows, member.size)
