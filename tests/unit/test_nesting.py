"""Lists and structures: what differs is found, what is equal is not; against plain Python."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.lake.nesting import differs, unlike
from postroad.lake.streams import difference, windows

LINE = pa.struct([("item", pa.string()), ("count", pa.int64()), ("tags", pa.list_(pa.string()))])
few = st.none() | st.sampled_from(["", "a", "b"])
line = st.fixed_dictionaries(
    {"item": few, "count": st.none() | st.integers(0, 1), "tags": st.none() | st.lists(few, max_size=2)}
)
KINDS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.list_(LINE): st.none() | st.lists(st.none() | line, max_size=3),
    pa.large_list(pa.string()): st.none() | st.lists(few, max_size=3),
    pa.list_(pa.int32(), 2): st.none() | st.lists(st.integers(0, 1), min_size=2, max_size=2),
    LINE: st.none() | line,
    pa.string(): few,
}
orders = st.dictionaries(st.integers(0, 4), KINDS[pa.list_(LINE)])


def chunked(values: list[Any], kind: pa.DataType, cut: int) -> pa.ChunkedArray:
    """In two chunks, the second a slice of something longer."""
    return pa.chunked_array([pa.array(values[:cut], kind), pa.array([None, *values[cut:]], kind).slice(1)])


@settings(max_examples=25)
@pytest.mark.parametrize("kind", list(KINDS), ids=str)
@given(data=st.data())
def test_values_differ_where_python_says_so(kind: pa.DataType, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(KINDS[kind], KINDS[kind]) | KINDS[kind].map(lambda one: (one, one))))
    one, other = ([pair[side] for pair in pairs] for side in (0, 1))
    cuts = st.integers(0, len(pairs))
    found = differs(chunked(one, kind, data.draw(cuts)), chunked(other, kind, data.draw(cuts)))
    assert found.to_pylist() == [a != b for a, b in pairs]


@settings(max_examples=25)
@given(orders, orders)
def test_equal_lists_are_no_change_of_a_row_and_others_are(before: dict[int, Any], after: dict[int, Any]) -> None:
    def stream(rows: dict[int, Any]) -> list[pa.Table]:
        keys = sorted(rows)
        lines = pa.array([rows[key] for key in keys], pa.list_(LINE))
        return [pa.table({"order": pa.array(keys, pa.int64()), "lines": lines})] if rows else []

    pairs = windows(iter(stream(after)), iter(stream(before)), ["order"])
    found = [*difference(pairs, ["order"], ["order", "lines"])]
    upserts = {row["order"]: row["lines"] for each, _ in found for row in each.to_pylist()}
    deletes = {row["order"] for _, each in found for row in each.to_pylist()}
    assert upserts == {key: row for key, row in after.items() if key not in before or before[key] != row}
    assert deletes == before.keys() - after.keys()


def test_types_are_told_apart_by_their_members_in_any_order() -> None:
    one = pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())]))
    turned = pa.list_(pa.field("element", pa.struct([("b", pa.string()), ("a", pa.int64())])))
    assert not list(unlike("lines", one, turned))
    other = pa.list_(pa.struct([("b", pa.date32()), ("c", pa.string())]))
    found = [(each.path, each.one, each.other) for each in unlike("lines", one, other)]
    assert found == [
        ("lines.a", pa.int64(), None),
        ("lines.b", pa.string(), pa.date32()),
        ("lines.c", None, pa.string()),
    ]
    assert [each.path for each in unlike("lines", one, pa.string())] == ["lines"]
