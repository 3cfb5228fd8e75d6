"""Columns of cells that Arrow reads whole are read as they are cell by cell."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.sdk.sheets import cells
from postroad.sdk.sheets.cells import Reading, convert
from postroad.sdk.sheets.columns import Column

numbers = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,10})?", fullmatch=True)
odd = st.sampled_from(["", " 7 ", "+1", "-0", "00.5", ".5", "1.", "1,5", "1e3", "\ud800", "7\n"])
days = st.dates().map(str) | st.sampled_from(["2026-02-30", "0000-01-01", "2026-13-01", "1000-01-01"])
decimals = st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-(10**28), 10**28, places=9)
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    "decimal": st.lists(st.none() | numbers | odd) | st.lists(st.none() | decimals) | st.lists(numbers),
    "date": st.lists(st.none() | days) | st.lists(days | odd),
    "int": st.lists(st.none() | st.integers() | st.sampled_from([2**63 - 1, -(2**63), 2**63])),
}


@pytest.mark.parametrize("kind", list(KINDS))
@settings(max_examples=40)
@given(data=st.data(), sign=st.sampled_from([".", ","]))
def test_a_column_that_is_read_whole_is_as_its_cells(kind: Any, data: st.DataObject, sign: str) -> None:
    found, column = data.draw(KINDS[kind]), Column("It", "it", kind)
    reading = Reading(sign, "UTC", from_1904=False)
    whole = convert(found, column, reading)
    with patch.object(cells, "WHOLE_COLUMNS", {}):
        single = convert(found, column, reading)
    assert whole.array.to_pylist() == single.array.to_pylist()
    assert whole.bad == single.bad


def test_a_decimal_of_json_loses_nothing() -> None:
    column, reading = Column("It", "it", "decimal"), Reading(".", "UTC", from_1904=False)
    long = Decimal("12345678901234567890123456789.123456789")
    assert convert([long, Decimal("1E+2")], column, reading).array.to_pylist() == [long, 100]
    assert [*convert([long, Decimal("1E-10")], column, reading).bad] == [1]
