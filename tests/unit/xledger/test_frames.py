"""Columns as pandas writes them: what comes back is exactly what was sent, and what cannot be is named."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.connectors.xledger.declaration import Kind, field_of
from postroad.connectors.xledger.frames import as_sent, may_have_lost
from postroad.errors import ConfigError

INT64 = st.integers(-(2**63), 2**63 - 1)


def good(values: pa.Array, kind: Kind) -> list[Any]:
    sent, bad = as_sent(values, field_of("value", kind))
    assert not bad
    return list(sent.to_pylist())


def bad(values: pa.Array, kind: Kind) -> list[int]:
    sent, rows = as_sent(values, field_of("value", kind))
    assert all(sent[row].as_py() is None for row in rows)
    return sorted(rows)


@given(st.lists(st.none() | INT64))
def test_whole_numbers_come_back_from_any_type(numbers: list[int | None]) -> None:
    """Also from a double, as pandas writes whole numbers where one is missing: if the double holds them exactly."""
    wanted = [None if each is None else str(each) for each in numbers]
    for kind, expected in (("int", numbers), ("id64", wanted)):
        assert good(pa.array(numbers, pa.int64()), kind) == expected  # type: ignore[arg-type]
        assert good(pa.array(wanted, pa.string()), kind) == expected  # type: ignore[arg-type]
    doubles = pa.array([None if each is None else float(each) for each in numbers], pa.float64())
    unsafe = [row for row, each in enumerate(numbers) if each is not None and abs(each) >= 2**53]
    sent, rows = as_sent(doubles, field_of("value", "int"))
    assert sorted(rows) == unsafe
    assert sent.to_pylist() == [None if row in unsafe else each for row, each in enumerate(numbers)]


@given(st.lists(st.none() | st.decimals(-(10**12), 10**12, places=2)))
def test_money_of_15_digits_survives_a_double(amounts: list[Decimal | None]) -> None:
    """The shortest text of the double is the amount that was cast to it."""
    doubles = pa.array([None if each is None else float(each) for each in amounts], pa.float64())
    assert [None if each is None else Decimal(each) for each in good(doubles, "money")] == amounts


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_the_text_of_a_double_gives_the_double_back(numbers: list[float]) -> None:
    found = good(pa.array(numbers, pa.float64()), "money")
    assert [float(each) for each in found] == numbers
    assert not [each for each in found if "e" in each]


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (pa.array([1.0, 2.5, None, float("inf"), float("nan")]), [1, 3]),
        (pa.array(["1", "01", "x", "", "1.0", "99999999999999999999", "9999999999999999999"]), [2, 3, 4, 5, 6]),
        (pa.array([Decimal("1.00")]), [0]),
        (pa.array([1, 2**64 - 1], pa.uint64()), [1]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_what_is_no_whole_number_is_named(values: pa.Array, rows: list[int]) -> None:
    assert bad(values, "int") == rows


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pa.array(["a", None, "", "1e5"]), ["a", None, "", "1e5"]),
        (pa.array(["a", None]).cast(pa.large_string()), ["a", None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (pa.nulls(2), [None, None]),
        (pa.array([float("nan"), None, 24.0]), [None, None, "24"]),
        (pa.array([24, None]), ["24", None]),
        (pa.array([Decimal("0.000000001")]), ["0.000000001"]),
        (pa.array([0.1], pa.float32()), ["0.1"]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_texts_of_every_type(values: pa.Array, found: list[str | None]) -> None:
    assert good(values, "text") == found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([True]), "text"),
        (pa.array([b"a"]), "text"),
        (pa.array([{"a": 1}]), "money"),
        (pa.array([date(2026, 1, 1)]), "int"),
        (pa.array([datetime(2026, 1, 1, tzinfo=UTC)]), "local_time"),
        (pa.array(["true"]), "bool"),
    ],
    ids=str,
)
def test_a_type_that_the_field_cannot_have_is_refused_whole(values: pa.Array, kind: Kind) -> None:
    with pytest.raises(ConfigError, match=rf"column value holds .*, not {kind}"):
        as_sent(values, field_of("value", kind))


def test_truths() -> None:
    assert good(pa.array([True, None, False]), "bool") == [True, None, False]
    assert good(pa.nulls(2), "bool") == [None, None]
    sent, rows = as_sent(pa.array([1.0, 0.0, None, 2.0]), field_of("value", "bool"))
    assert (sent.to_pylist(), list(rows)) == ([True, False, None, None], [3])


def test_what_pandas_guesses_comes_back() -> None:
    """Numbers with a gap, texts without any: as its frame without declared types becomes Parquet."""
    frame = pd.DataFrame({"id": [1, None, 3], "text": [None, None, None], "flag": [True, None, False]})
    batch = pa.Table.from_pandas(frame).combine_chunks().to_batches()[0]
    assert good(batch.column("id"), "id64") == ["1", None, "3"]
    assert good(batch.column("text"), "text") == [None, None, None]
    assert good(batch.column("flag"), "bool") == [True, None, False]


def test_types_that_may_have_lost_digits() -> None:
    double, whole, text = pa.float64(), pa.int64(), pa.string()
    told = {(found, kind) for found in (double, whole, text) for kind in ("text", "money", "id64")
            if may_have_lost(found, field_of("value", kind))}  # fmt: skip
    assert told == {(double, "text"), (whole, "text"), (double, "money")}
