"""Sorted streams against plain dictionaries: the same laws, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from postroad.lake.streams import Tally, applied, below, difference, latest, latest_of_each, windows

SINGLE = ("id",)
COMPOSITE = ("company", "id")
SCHEMA = pa.schema([("company", pa.string()), ("id", pa.int64()), ("value", pa.string())])

companies = st.sampled_from(["", "se01", "se01\x00", "åö", "z"])
values = st.sampled_from([None, "a", "b"])
rows_by_key = st.dictionaries(st.tuples(companies, st.integers(0, 30)), values, max_size=25)
cuts = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def table(rows: Sequence[tuple[tuple[str, int], str | None]], ops: Sequence[str] | None = None) -> pa.Table:
    """Rows as an Arrow table, with `_op` where operations are given."""
    columns = [[key[0] for key, _ in rows], [key[1] for key, _ in rows], [value for _, value in rows]]
    found = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    return found if ops is None else found.append_column("_op", pa.array(ops, pa.string()))


def stream(rows: pa.Table, sizes: Sequence[int]) -> Iterator[pa.Table]:
    """The table in pieces of these sizes, over and over."""
    at = 0
    while at < rows.num_rows:
        size = sizes[at % len(sizes)]
        yield rows.slice(at, size)
        at += size


def read(found: Iterator[pa.Table]) -> dict[tuple[str, int], str | None]:
    """A stream as a dictionary; fails unless it is strictly sorted."""
    rows = [row for piece in found for row in piece.to_pylist()]
    keys = [(row["company"], row["id"]) for row in rows]
    assert keys == sorted(set(keys))
    return {key: row["value"] for key, row in zip(keys, rows, strict=True)}


@given(st.lists(st.tuples(st.tuples(companies, st.integers(0, 5)), values), max_size=30))
def test_of_each_key_the_last_row_stays(rows: list[tuple[tuple[str, int], str | None]]) -> None:
    """Order decides, not the value."""
    assert read(iter([latest_of_each(table(rows), COMPOSITE)])) == dict(rows)


@given(st.lists(rows_by_key, max_size=5), cuts)
def test_the_latest_of_many_streams_wins(layers: list[dict[tuple[str, int], str | None]], sizes: list[int]) -> None:
    """Overlaying streams is updating dictionaries."""
    expected: dict[tuple[str, int], str | None] = {}
    for layer in layers:
        expected |= layer
    streams = [stream(table(sorted(layer.items(), key=lambda item: item[0])), sizes) for layer in layers]
    assert read(latest(streams, COMPOSITE)) == expected


@given(rows_by_key, rows_by_key, cuts)
def test_a_difference_turns_one_into_the_other(
    before: dict[tuple[str, int], str | None], after: dict[tuple[str, int], str | None], sizes: list[int]
) -> None:
    """It names every changed row once and no unchanged one, and applying it gives the truth."""
    truth = table(sorted(after.items(), key=lambda item: item[0]))
    current = table(sorted(before.items(), key=lambda item: item[0]))
    upserts: dict[tuple[str, int], str | None] = {}
    deletes: dict[tuple[str, int], str | None] = {}
    for new, gone in difference(
        windows(stream(truth, sizes), stream(current, sizes[::-1]), COMPOSITE), COMPOSITE, ["value"]
    ):
        upserts |= read(iter([new]))
        deletes |= read(iter([gone]))
    assert deletes == {key: value for key, value in before.items() if key not in after}
    assert upserts == {key: value for key, value in after.items() if key not in before or before[key] != value}


@given(rows_by_key, st.dictionaries(st.tuples(companies, st.integers(0, 30)), st.tuples(values, st.booleans())), cuts)
def test_applying_changes_is_updating_a_dictionary(
    before: dict[tuple[str, int], str | None],
    changed: dict[tuple[str, int], tuple[str | None, bool]],
    sizes: list[int],
) -> None:
    """Upserts in, deletes out, and the tally tells what that did."""
    items = sorted(changed.items(), key=lambda item: item[0])
    ops = ["delete" if delete else "upsert" for _, (_, delete) in items]
    news = table([(key, value) for key, (value, _) in items], ops)
    current = table(sorted(before.items(), key=lambda item: item[0]))
    tally = Tally()
    found = read(applied(stream(current, sizes), stream(news, sizes[::-1]), COMPOSITE, tally))
    upserts = {key: value for key, (value, delete) in items if not delete}
    kept = {key: value for key, value in before.items() if key not in changed}
    assert found == kept | upserts
    assert tally.new == len(upserts.keys() - before.keys())
    assert tally.changed == len(upserts.keys() & before.keys())
    assert tally.deleted == len(before) - len(kept) - tally.changed


@given(st.sets(st.integers(0, 50)), st.lists(st.integers(0, 50), max_size=4, unique=True), cuts)
def test_a_stream_is_cut_at_bounds(keys: set[int], bounds: list[int], sizes: list[int]) -> None:
    """Every row falls into the first piece whose bound is above it."""
    bounds = sorted(bounds)
    rows = table([(("", key), None) for key in sorted(keys)])
    pieces = [
        [row["id"] for piece in part for row in piece.to_pylist()]
        for part in below(stream(rows, sizes), SINGLE, [*((bound,) for bound in bounds), None])
    ]
    lows = [-1, *bounds]
    highs = [*bounds, 51]
    assert pieces == [[key for key in sorted(keys) if low <= key < high] for low, high in zip(lows, highs, strict=True)]
