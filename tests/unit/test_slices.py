"""Claim checks: cut, picked and read again, they are the rows that they name."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.errors import StateError
from postroad.lake import Dataset, slices
from postroad.lake.disk import LocalDisk
from postroad.lake.slices import Slice, SliceReader, packed, picked
from postroad.records import Entity

files = st.lists(st.integers(1, 9), min_size=1, max_size=5)
Row = tuple[str, int]


def whole(counts: list[int]) -> list[tuple[int, Slice]]:
    """A file of each of these numbers of rows, each of a version of its own."""
    return [(number, Slice(f"file {number}", 0, rows, 100)) for number, rows in enumerate(counts)]


def rows(found: list[Slice]) -> list[Row]:
    """The rows that slices name."""
    return [(each.path, row) for each in found for row in range(each.first, each.first + each.rows)]


@given(files, st.integers(1, 12))
def test_packing_keeps_each_row_once_and_in_order(counts: list[int], most: int) -> None:
    groups = list(packed(whole(counts), most))
    assert [row for group in groups for row in rows([each for _, each in group])] == rows(
        [each for _, each in whole(counts)]
    )
    sizes = [sum(each.rows for _, each in group) for group in groups]
    assert set(sizes[:-1]) <= {most}
    assert 0 < sizes[-1] <= most


@given(files, st.data())
def test_what_is_picked_are_the_rows_at_those_places(counts: list[int], data: st.DataObject) -> None:
    check = [each for _, each in whole(counts)]
    every = rows(check)
    places = sorted(data.draw(st.sets(st.integers(0, len(every) - 1), min_size=1)))
    found = picked(check, places)
    assert rows(found) == [every[place] for place in places]
    assert all(one.path != other.path or one.first + one.rows < other.first for one, other in pairwise(found))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A file of 100 rows in row groups of 30."""
    names = ["id", "_op", "_changed_at", "_ambiguous", "_version", "_run"]
    made = Dataset(
        LocalDisk(tmp_path), "toy", Entity("books", ("id",), pa.schema([pa.field("id", pa.int64(), nullable=False)]))
    )
    assert made.changes_schema.names == names
    (tmp_path / "one").parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"id": pa.array(range(100), pa.int64())}), tmp_path / "one", row_group_size=30)
    return made


def test_reading_goes_forward_and_back_over_batches_and_row_groups(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "BATCH", 7)
    size = (tmp_path / "one").stat().st_size
    reader = SliceReader(dataset.disk)
    for first, count in ((0, 5), (5, 5), (10, 40), (12, 1), (50, 50), (0, 100), (99, 1), (28, 4)):
        found = reader.read(dataset, [Slice("one", first, count, size)])
        assert found.column("id").to_pylist() == list(range(first, first + count))
        assert set(found.column("_op").to_pylist()) == {"upsert"}
    with pytest.raises(StateError, match="fewer rows"):
        reader.read(dataset, [Slice("one", 90, 20, size)])
    with pytest.raises(StateError, match="is gone"):
        reader.read(dataset, [Slice("two", 0, 1, size)])
    with pytest.raises(StateError, match="its size differs"):
        reader.read(dataset, [Slice("one", 0, 1, size + 1)])
    (tmp_path / "one").write_bytes(b"x" * size)
    with pytest.raises(StateError, match="cannot be read"):
        reader.read(dataset, [Slice("one", 0, 1, size)])
    reader.close()
