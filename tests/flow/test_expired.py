"""A subscription that is further behind than `max_lag` expires: its receiver gets the current rows, and ends equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.errors import OutcomeUnknownError, TransientError
from postroad.project import Cleaning, Delivery
from postroad.project.where import parse_where
from postroad.telemetry import Point
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_cleaning import expected, rows, wheres
from tests.flow.test_deliveries import failing, refusing

DAY = 86_400.0
DOWN = failing(TransientError("down"))


def expiring(where: str | None = None) -> tuple[Delivery]:
    """A delivery whose messages may wait for two weeks."""
    rule = Cleaning(where=None if where is None else parse_where(where))
    return (Delivery("toy.books", HERE, "current", rule, 14 * DAY),)


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """Six books that arrived; then the receiver is down while one changes ten times, one goes, one comes."""
    small_messages(monkeypatch)
    with memory_folder() as folder:
        post = Post(folder, expiring())
        post.change(dict.fromkeys(range(6), "old"))
        post.deliver()
        post.faults["app"] = DOWN
        for number in range(10):
            post.change({0: f"text {number}"})
            post.deliver()
        post.change({1: None, 7: "new"})
        post.deliver()
        yield post


def test_what_waits_is_replaced_by_the_current_rows(post: Post) -> None:
    """Ten versions of one row are not sent any more, and a delete that was among them is."""
    post.now += 15 * DAY
    post.deliver()
    assert post.look("select count(*) from messages where reason = 'expired' and status = 'discarded'") == [(11,)]
    assert post.look("select distinct actor from moves where reason = 'expired'") == [("worker",)]
    post.settle()
    post.assert_law()
    assert post.look("select sum(records) from messages where reason is null or status = 'acknowledged'") == [(13,)]
    post.change({2: "later"})
    post.deliver()
    post.assert_law()


def test_it_expires_once_and_waits_again(post: Post) -> None:
    post.now += 15 * DAY
    for _ in range(3):
        post.deliver()
    expired = post.look("select count(*) from messages where reason = 'expired'")
    assert expired == [(11,)]
    post.now += 15 * DAY
    post.deliver()
    assert post.look("select count(*) from messages where reason = 'expired'") > expired
    post.settle()
    post.assert_law()


def test_nothing_expires_before_its_time_or_unless_said(post: Post) -> None:
    post.now += 13 * DAY
    post.deliver()
    post.deliveries = (Delivery("toy.books", HERE),)
    post.now += 400 * DAY
    post.deliver()
    assert post.look("select count(*) from messages where reason = 'expired'") == [(0,)]
    post.settle()
    post.assert_law()


def test_files_of_the_table_are_pinned_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that nobody answered names files of the table that left it; the new ones name those that it has."""
    small_messages(monkeypatch)
    with memory_folder() as folder:
        post = Post(folder, expiring())
        post.change(dict.fromkeys(range(6), "old"))
        post.faults["app"] = DOWN
        post.deliver()
        (before,) = {each for (each,) in post.look("select json_extract(slices, '$[0][0]') from messages")}
        post.change({3: "new"})
        post.now += 15 * DAY
        post.deliver()
        named = post.look("select slices from messages where status = 'queued'")
        assert named
        assert all(before not in each for (each,) in named)
        post.settle()
        post.assert_law()


def test_a_row_that_passes_no_more_is_deleted_though_its_change_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the table are left out of a first telling only: here the receiver has an older one that passed."""
    small_messages(monkeypatch)
    with memory_folder() as folder:
        post = Post(folder, expiring("text = 'open'"))
        post.change({1: "open", 2: "open", 3: "closed"})
        post.deliver()
        post.faults["app"] = DOWN
        post.change({1: "closed", 3: "open"})
        post.deliver()
        post.now += 15 * DAY
        post.deliver()
        post.settle()
        assert post.received() == {2: "open", 3: "open"}
        told = post.do(lambda app: app.tracing.trace("toy.books", "1")).versions[0].deliveries
        assert [each.status for each in told] == ["acknowledged"]
        assert "as a delete, for where leaves it out" in told[0].sentence


def test_a_rejection_of_what_expired_is_superseded(post: Post) -> None:
    """Its record is sent again, here as the delete that came after it."""
    post.settle()
    post.faults["app"] = refusing("bad")
    post.change({4: "bad", 5: "bad"})
    post.deliver()
    assert len(post.rejected()) == 2
    post.faults["app"] = DOWN
    post.change({4: None})
    post.deliver()
    post.now += 15 * DAY
    post.deliver()
    assert not post.rejected()
    post.faults.clear()
    post.now += 3600
    post.deliver()
    post.assert_law()
    post.faults["app"] = failing(OutcomeUnknownError("who knows"))
    post.change({4: "again"})
    post.deliver()
    post.now += 15 * DAY
    post.faults.clear()
    post.deliver()
    post.assert_law()
    assert not post.rejected()


def test_what_is_being_sent_does_not_expire(post: Post) -> None:
    """The receiver answers again, if late: what it is told in this moment is not counted as never told."""
    post.faults.clear()
    post.now += 15 * DAY
    post.look("update messages set dispatched_at = dispatched_at + 15 * 86400000000")
    done: list[Any] = []

    def meanwhile() -> None:
        post.look("update messages set dispatched_at = 1")
        done.append(post.deliver(most=0))

    post.at_send = meanwhile
    post.deliver()
    assert done
    assert post.look("select count(*) from messages where reason = 'expired'") == [(0,)]
    post.settle()
    post.assert_law()


def test_a_kill_leaves_both_or_neither(post: Post) -> None:
    """What waits and what replaces it are one transaction."""
    for side in Side:
        post.now += 15 * DAY
        trap = Trap(Point.DISPATCHED, 1, side)
        post.deliver(trap)
        assert trap.fired
    post.settle()
    post.assert_law()


acts = st.sampled_from(["deliver", "dispatch", "late", "late crash", "refuse", "down"])


@settings(max_examples=10, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(wheres, st.lists(st.tuples(rows, acts), min_size=3, max_size=7))
def test_any_history_ends_with_the_rule_applied_to_the_table(where: str, history: list[Any]) -> None:
    """Outages that last longer than a message may wait, again and again, with refusals and kills between them."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        post = Post(folder, expiring(where), gathers=len(history) % 2 == 0)
        for change, then in history:
            post.change(change)
            post.faults.clear()
            if then in ("refuse", "down"):
                post.faults["app"] = refusing("b") if then == "refuse" else DOWN
            if then.startswith("late"):
                post.faults["app"] = DOWN
                post.deliver()
                post.now += 15 * DAY
            if then == "dispatch":
                post.dispatch()
            else:
                post.deliver(Trap(Point.DISPATCHED, 1, Side.AFTER) if then == "late crash" else None)
        post.settle()
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        assert not post.rejected()
        found = post.received() if (folder / "app.db").exists() else {}
        assert found == expected(where, post.books)


def test_the_same_on_postgresql(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Books and receiver there; what is settled is dropped there too."""
    small_messages(monkeypatch)
    with memory_folder() as folder:
        post = Post(folder, expiring(), server=postgresql_url, gathers=True)
        post.change(dict.fromkeys(range(6), "old"))
        post.deliver()
        post.faults["app"] = DOWN
        for number in range(3):
            post.change({0: f"text {number}", 1: None})
            post.deliver()
        post.now += 15 * DAY
        post.deliver()
        with psycopg.connect(postgresql_url) as database:
            found = database.execute("select count(*) from messages where reason = 'expired'").fetchone()
        assert found == (3,)
        post.settle()
        post.assert_law()
        post.now += 31 * DAY
        post.change({8: "last"})
        post.deliver()
        with psycopg.connect(postgresql_url) as database:
            assert database.execute("select count(*) from messages").fetchone() == (1,)
