from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.errors import ThrottledError
from postroad.sdk.budget import MemoryBudget, count_call, next_slot


@given(st.lists(st.floats(0, 8), max_size=60), st.integers(1, 40))
def test_no_window_holds_more_calls_than_allowed(pauses: list[float], most: int) -> None:
    due, now, sent = 0.0, 1_000.0, list[float]()
    for pause in [0.0] * 50 + pauses:
        now += pause
        due, wait = next_slot(due, now, 5.0, most)
        now += wait
        sent.append(now)
    for first in sent:
        assert sum(1 for call in sent if first <= call < first + 5.0 - 1e-3) <= most


def test_the_first_calls_wait_for_nothing() -> None:
    budget = MemoryBudget(lambda: 100.0)
    assert [budget.take("a", 5.0, 18) for _ in range(6)] == [0.0] * 6
    assert budget.take("a", 5.0, 18) > 0
    assert budget.take("b", 5.0, 18) == 0.0


def test_a_clock_that_was_set_back_does_not_stop_us() -> None:
    assert next_slot(1_000_000.0, 10.0, 5.0, 18)[1] == 0.0


def test_calls_are_counted_by_the_month_and_stop_until_the_next() -> None:
    budget = MemoryBudget()
    now = datetime(2026, 12, 31, 23, tzinfo=UTC).timestamp()
    count_call(budget, "a", now, 1)
    with pytest.raises(ThrottledError) as raised:
        count_call(budget, "a", now, 1)
    assert raised.value.wait == 3600
    count_call(budget, "a", now + 3600, 1)
    assert budget.counts["a", "2027-01"] == 1
    count_call(budget, "a", now, None)
