"""Receivers that take what comes: messages in order, one at a time, and the same end as everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.connectors.http.destination import HttpDestination
from postroad.connectors.http.settings import HttpSettings
from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN, ApiSimulator
from postroad.engine.resend import again
from postroad.errors import (
    BatchRefusedError,
    BusyError,
    OutcomeUnknownError,
    TransientError,
)
from postroad.project import Delivery
from postroad.records import Check, Entity, Outcome, Package
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Tools
from tests.flow.doomed import LEASES_ARE_OVER, Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import AT_ONCE


@dataclass
class Arrivals:
    """A receiver that puts over what it holds whatever arrives. `moods` are what it does next, one for each package."""

    ordered: bool = True
    once: bool = False
    rows: dict[int, str | None] = field(default_factory=dict)
    moods: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    arrived: list[tuple[int, int]] = field(default_factory=list)

    def check(self) -> Iterator[Check]:
        """All well."""
        yield Check("look", ok=True)

    def discover(self) -> Iterator[Entity]:
        """Nothing."""
        return iter(())

    def render(self, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """One row each, so that a message has several packages."""
        for place in range(records.num_rows):
            yield Package(records.slice(place, 1), 1)

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """As the mood is; a record with a bad word is refused in any."""
        mood = self.moods.pop(0) if self.moods else "well"
        (row,) = package.body.to_pylist()
        if mood == "down":
            raise TransientError("down")
        if mood == "later":
            return [Outcome(range(1), "retry")]
        if mood == "refused" or row["text"] in self.bad:
            if mood == "spoiled":
                raise BatchRefusedError("no")
            return [Outcome(range(1), "rejected", "refused", "no")]
        self.rows[row["id"]] = row["text"] if row["_op"] == "upsert" else None
        self.arrived.append((row["id"], row["_version"]))
        if mood == "lost":
            raise TransientError("the answer was lost")
        if mood == "riddle":
            raise OutcomeUnknownError("who knows")
        return [Outcome(range(1))]

    def close(self) -> None:
        """Nothing to give back."""

    @property
    def held(self) -> dict[int, str]:
        """What is not deleted."""
        return {key: text for key, text in self.rows.items() if text is not None}


def placed(folder: Path, receiver: Destination, start: str = "beginning") -> Post:
    """A post whose only receiver is that one."""

    def through(_: str, destination: Destination) -> Destination:
        destination.close()
        return receiver

    return Post(folder, (Delivery("toy.books", HERE, start),), through=through)


@pytest.fixture
def receiver() -> Arrivals:
    return Arrivals()


@pytest.fixture
def post(receiver: Arrivals, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """Three commits, of two messages, one and one."""
    small_messages(monkeypatch, 2)
    with memory_folder() as folder:
        post = placed(folder, receiver)
        post.change({1: "a", 2: "a", 3: "a"})
        post.change({1: "b"})
        post.change({1: None, 4: "c"})
        yield post


def test_a_message_holds_one_commit(post: Post, receiver: Arrivals) -> None:
    post.deliver()
    assert post.look("select records from messages order by id") == [(2,), (1,), (1,), (2,)]
    assert post.look("select count(*) from messages where from_version != to_version") == [(0,)]
    versions = [version for _, version in receiver.arrived]
    assert versions == sorted(versions)
    assert receiver.held == post.books


@pytest.mark.parametrize("mood", ["down", "later", "lost", "riddle"])
def test_what_waits_lets_nothing_newer_pass(post: Post, receiver: Arrivals, mood: str) -> None:
    """Put back, wanted later, or held for a person: what comes after it waits too."""
    receiver.moods = [mood]
    post.deliver()
    assert receiver.rows.get(1) in (None, "a")
    assert 4 not in receiver.rows
    if mood == "riddle":
        post.now += 3600
        post.deliver()
        assert 4 not in receiver.rows
        post.do(lambda app: app.deliveries.retry(HERE))
    post.settle()
    assert receiver.held == post.books
    versions = [version for key, version in receiver.arrived if key == 1]
    assert versions == sorted(versions)


def test_two_workers_do_not_pass_each_other(post: Post, receiver: Arrivals) -> None:
    """While one sends, another one finds nothing; once its lease has run out, the same message."""
    post.dispatch()
    with post.open() as one, post.open() as other:
        held = one.tracking.queue.take([HERE])
        assert held is not None
        assert other.tracking.queue.take([HERE]) is None
        post.now += LEASES_ARE_OVER
        again = other.tracking.queue.take([HERE])
        assert again is not None
        assert again.message == held.message
        assert one.tracking.queue.take([HERE]) is None


def test_what_was_refused_comes_before_what_is_newer(post: Post, receiver: Arrivals) -> None:
    """A retry of an old version while a newer one waits: it goes first."""
    receiver.bad = {"b"}
    post.deliver()
    post.change({3: "x"})
    post.change({1: "y"})
    post.dispatch()
    post.do(lambda app: app.deliveries.pause(HERE))
    receiver.bad = {"x"}
    post.do(lambda app: app.deliveries.resume(HERE))
    post.deliver()
    (row,) = post.rejected()
    assert row["key"] == "[3]"
    post.change({3: "z"})
    post.dispatch()
    receiver.bad = set()
    post.do(lambda app: app.deliveries.retry(HERE))
    assert receiver.held == post.books
    assert [version for key, version in receiver.arrived if key == 3] == sorted(
        version for key, version in receiver.arrived if key == 3
    )


def test_nothing_is_retried_while_something_is_sent(post: Post, receiver: Arrivals) -> None:
    """What is sent may be newer, and what is retried would come after it."""
    receiver.bad = {"a"}
    post.deliver()
    assert post.rejected()
    post.change({2: "newer"})
    told = []

    def meanwhile() -> None:
        with pytest.raises(BusyError, match="try again"):
            post.do(lambda app: app.deliveries.retry(HERE))
        told.append(True)

    post.at_send = meanwhile
    post.deliver()
    assert told
    receiver.bad = set()
    post.do(lambda app: app.deliveries.retry(HERE))
    assert receiver.held == post.books


def test_a_retry_that_was_planned_before_a_newer_version_arrived_is_planned_anew(
    post: Post, receiver: Arrivals
) -> None:
    """What it would send came before that."""
    receiver.bad = {"b"}
    post.change({1: "b"})
    post.deliver()
    assert [row["key"] for row in post.rejected()] == ["[1]"]
    receiver.bad = set()
    with post.open() as app:
        planned = app.deliveries.resends(HERE)
        post.change({1: "newer"})
        post.deliver()
        with pytest.raises(BusyError, match="arrived meanwhile"):
            app.tracking.messages.retry(HERE, *again(planned, post.deliveries[0]), "me")
    assert receiver.held == post.books


def test_a_subscription_keeps_its_order_or_begins_anew(post: Post, receiver: Arrivals) -> None:
    """Messages of several commits would be sent in it, or newer ones were sent before older ones."""
    receiver.ordered = False
    post.deliver(most=1)
    receiver.ordered = True
    done = post.deliver()[HERE]
    assert "name another target" in done.problem
    assert done.messages == 0


def test_a_frozen_workers_late_request_is_known_by_its_idempotency_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It arrives after newer ones, at a receiver that compares no versions and keeps its answers."""
    small_messages(monkeypatch, 2)
    with ExitStack() as opened:
        folder = opened.enter_context(memory_folder())
        api = opened.enter_context(ApiSimulator(["id"], versions="ignored"))
        chosen = {"url": api.base_url, "token": DEMO_TOKEN, "sign": [DEMO_SECRET], "versions": "ignored"}
        tools = Tools(MemoryBudget(), time.time)
        receiver = HttpDestination(HttpSettings.model_validate(chosen), tools)
        post = placed(folder, opened.enter_context(closing(receiver)))
        post.change({0: "old", 1: "old"})

        def meanwhile() -> None:
            post.now += LEASES_ARE_OVER
            post.change({0: "new", 1: None})
            post.deliver()

        post.at_send = meanwhile
        post.deliver()
        assert [each.get("repeated", False) for each in api.log()] == [False, False, True]
        assert any("taken over" in each for each in post.said)
        assert {row["id"]: row["text"] for row in api.rows("books")} == post.books == {0: "new"}


def test_others_are_not_held_up(post: Post, receiver: Arrivals) -> None:
    """An ordered subscription that waits is passed by those that are not."""
    other = Delivery("toy.books", "other.books")
    receiver.moods = ["later"]
    post.through = lambda name, destination: receiver if name == "app" else destination
    post.deliveries = (*post.deliveries, other)
    post.deliver()
    assert 4 not in receiver.rows
    assert post.received("other.books") == post.books


changed = st.dictionaries(st.integers(0, 5), st.none() | st.sampled_from("abc"), min_size=1, max_size=5)
traps = st.builds(
    Trap, st.sampled_from(sorted(AT_ONCE)),
    st.integers(1, 3), st.sampled_from(Side),
)  # fmt: skip
moods = st.lists(st.sampled_from(["well", "down", "later", "lost", "refused", "spoiled", "riddle"]), max_size=5)
Step = Callable[[Post, Arrivals], Any]
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda rows, shown: lambda post, _: post.change(rows, materialise=shown), changed, st.booleans()),
    st.builds(lambda trap: lambda post, _: post.deliver(replace(trap, fired=False)), traps),
    st.builds(lambda most: lambda post, _: post.deliver(most=most), st.integers(0, 3)),
    st.builds(lambda found: lambda _, receiver: receiver.moods.extend(found), moods),
    st.builds(lambda bad: lambda _, receiver: setattr(receiver, "bad", {bad}), st.sampled_from("abc")),
    st.just(lambda post, _: post.do(lambda app: _retried(app))),  # noqa: PLW0108 - it is defined below
    st.just(lambda post, _: setattr(post, "now", post.now + 3600)),
)


def _retried(app: Any) -> None:
    known = app.tracking.subscriptions.get(HERE)
    if known is not None:
        app.deliveries.resume(HERE)
        app.deliveries.retry(HERE)


@settings(max_examples=15, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=4, max_size=10), st.sampled_from(["current", "beginning"]))
def test_whoever_takes_what_comes_ends_equal(history: list[Step], start: str) -> None:
    """Changes, refusals, lost answers, riddles, crashes, retries: the last that arrived of a key is its newest."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        receiver = Arrivals()
        post = placed(folder, receiver, start)
        post.change(dict.fromkeys(range(4), "a"))
        for step in history:
            step(post, receiver)
        receiver.moods, receiver.bad = [], set()
        post.change({9: "end"})
        post.do(_retried)
        post.settle()
        post.do(_retried)
        assert not post.rejected()
        assert receiver.held == post.books
