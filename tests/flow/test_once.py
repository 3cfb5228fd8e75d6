"""Receivers where the same record twice does harm: what may have arrived is not sent again, and a person is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postroad.telemetry import Point
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, memory_folder, small_messages
from tests.flow.test_ordered import Arrivals, placed


@pytest.mark.parametrize(("trap", "held", "arrived", "ordered"), [
    (Trap(Point.MESSAGE_TAKEN, 2), [3], 4, False),  # nothing left, which nobody knows
    (Trap(Point.PACKAGE_SENT, 2), [1], 7, True),
    (Trap(Point.MESSAGE_SETTLED, 3, Side.BEFORE), [1], 7, False),
    (Trap(Point.MESSAGE_SETTLED, 3), [], 7, False),
])  # fmt: skip
def test_a_worker_that_ends_makes_nothing_arrive_twice(
    monkeypatch: pytest.MonkeyPatch, trap: Trap, held: list[int], arrived: int, ordered: bool
) -> None:
    """What it may have sent is held, and everything else arrives."""
    small_messages(monkeypatch)
    receiver = Arrivals(ordered=ordered, once=True)
    with memory_folder() as folder:
        post = placed(folder, receiver)
        post.change(dict.fromkeys(range(7), "a"))
        post.deliver(trap)
        assert trap.fired
        post.deliver()
        found = post.look("select records from messages where status = 'in_doubt'")
        post.do(lambda app: app.deliveries.discard(HERE))
        post.deliver()
    assert [records for (records,) in found] == held
    assert len(receiver.arrived) == len({*receiver.arrived}) == arrived


@pytest.mark.parametrize("mood", ["down", "riddle", "refused"])
def test_what_went_well_of_a_message_is_not_sent_again(monkeypatch: pytest.MonkeyPatch, mood: str) -> None:
    """A message of several packages, of which a later one fails: only that one waits, is held, or is refused."""
    small_messages(monkeypatch, 5)
    receiver = Arrivals(ordered=False, once=True, moods=["well", "well", mood])
    with memory_folder() as folder:
        post = placed(folder, receiver)
        post.change(dict.fromkeys(range(4), "a"))
        post.deliver()
        assert [row["key"] for row in post.rejected()] == {
            "riddle": ["message 1: 1 records"], "refused": ["[2]"],
        }.get(mood, [])  # fmt: skip
        if mood == "refused":
            post.do(lambda app: app.deliveries.retry(HERE))
        elif mood == "riddle":
            post.do(lambda app: app.deliveries.discard(HERE))
        post.settle()
        assert len(receiver.arrived) == 4
        assert receiver.held == post.books


def test_nothing_expires() -> None:
    """All current rows would come again."""
    receiver = Arrivals(once=True)
    with memory_folder() as folder:
        post = placed(folder, receiver)
        post.deliveries = (replace(post.deliveries[0], max_lag=60.0),)
        post.change({1: "a"})
        done = post.deliver()[HERE]
    assert "max_lag" in done.problem
    assert not receiver.arrived
