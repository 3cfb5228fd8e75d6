from __future__ import annotations

from datetime import UTC, timedelta
from datetime import datetime as aware

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroad.sdk.times import to_utc

LOCAL = pa.timestamp("us")


def datetime(*parts: int) -> aware:
    """A local time, which has no zone."""
    return aware(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc, arg-type]


ZONES = ["Europe/Oslo", "Europe/Stockholm", "Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC"]
times = st.datetimes(datetime(1980, 1, 1), datetime(2036, 12, 31))
near_changes = st.builds(
    lambda year, month, days, seconds: datetime(year, month, 20) + timedelta(days=days, seconds=seconds),
    st.integers(1997, 2036),
    st.sampled_from([3, 10]),
    st.integers(0, 11),
    st.integers(0, 4 * 3600),
)


@given(st.lists(st.none() | times | near_changes, max_size=40), st.sampled_from(ZONES))
@example([datetime(2024, 3, 31, 2, 30), datetime(2024, 10, 27, 2, 30), None], "Europe/Oslo")
def test_local_times_are_read_as_arrow_reads_them(values: list[aware | None], zone: str) -> None:
    local = pa.array(values, LOCAL)
    found = to_utc(local, zone)
    early = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest").cast(pa.int64()).to_pylist()
    late = pc.assume_timezone(local, zone, ambiguous="latest", nonexistent="latest").cast(pa.int64()).to_pylist()
    for row, instant in enumerate(found.values.cast(pa.int64()).to_pylist()):
        if row not in found.missing:
            assert instant == early[row]
        assert (row in found.ambiguous or row in found.missing) == (early[row] != late[row])


@pytest.mark.parametrize(
    ("text", "ambiguous", "missing"),
    [
        ("2024-03-31T01:59:59.999999", False, False),
        ("2024-03-31T02:00:00", False, True),
        ("2024-03-31T02:59:59", False, True),
        ("2024-03-31T03:00:00", False, False),
        ("2024-10-27T01:59:59", False, False),
        ("2024-10-27T02:00:00", True, False),
        ("2024-10-27T02:59:59", True, False),
        ("2024-10-27T03:00:00", False, False),
    ],
)
def test_the_edges_of_the_clock_changes(text: str, ambiguous: bool, missing: bool) -> None:
    found = to_utc(pa.array([text]).cast(LOCAL), "Europe/Oslo")
    assert (found.ambiguous == [0], found.missing == [0]) == (ambiguous, missing)


def test_an_ambiguous_time_is_the_earlier_instant() -> None:
    found = to_utc(pa.array([datetime(2024, 10, 27, 2, 30)], LOCAL), "Europe/Oslo")
    assert found.values[0].as_py().isoformat() == "2024-10-27T00:30:00+00:00"


def test_times_far_away_are_read_too() -> None:
    values = [datetime(9999, 12, 31, 12), datetime(1900, 1, 1, 12), None, datetime(1, 1, 1), datetime(2024, 7, 1, 12)]
    found = to_utc(pa.array(values, LOCAL), "Europe/Oslo")
    assert found.values[0].as_py().isoformat() == "9999-12-31T11:00:00+00:00"
    assert found.values[4].as_py().isoformat() == "2024-07-01T10:00:00+00:00"
    assert found.values.null_count == 2
    assert found.missing == [3]


def test_an_empty_column_stays_empty() -> None:
    assert len(to_utc(pa.array([], LOCAL), "Europe/Oslo").values) == 0
