from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.errors import ThrottledError
from postroad.sdk.budget import MemoryBudget, next_slot, refuse_beyond


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
    assert [budget.take("a", 5.0, 18, 60.0)[0] for _ in range(6)] == [0.0] * 6
    assert budget.take("a", 5.0, 18, 60.0)[0] > 0
    assert budget.take("b", 5.0, 18, 60.0)[0] == 0.0


def test_a_clock_that_was_set_back_does_not_stop_us() -> None:
    assert next_slot(1_000_000.0, 10.0, 5.0, 18)[1] == 0.0


def test_calls_are_counted_by_the_month_and_stop_until_the_next() -> None:
    now = datetime(2026, 12, 31, 23, tzinfo=UTC).timestamp()
    budget = MemoryBudget(lambda: now)
    assert [budget.take("a", 5.0, 18, 60.0)[1] for _ in range(2)] == [1, 2]
    refuse_beyond(2, 2, now)
    refuse_beyond(None, 2, now)
    with pytest.raises(ThrottledError) as raised:
        refuse_beyond(1, 2, now)
    assert raised.value.wait == 3600
    now += 3600
    assert budget.take("a", 5.0, 18, 60.0)[1] == 1
    assert budget.counts == {("a", "2026-12"): 2, ("a", "2027-01"): 1}


def test_a_call_that_will_not_be_made_is_not_counted() -> None:
    budget = MemoryBudget(lambda: 100.0)
    waits = [budget.take("a", 50.0, 1, 10.0)[0] for _ in range(2)]
    assert waits[1] > 10.0
    assert budget.counts == {("a", "1970-01"): 1}
