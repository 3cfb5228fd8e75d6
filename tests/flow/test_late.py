"""A refusal that comes late: what is refused when its receiver holds a newer version is superseded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from postroad.engine import drain
from postroad.engine.late import close_late
from postroad.project import Delivery
from postroad.records import Outcome, Package, Receipt
from postroad.telemetry import Point
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_receipts import identifiers, world

P = Point
BAD = "bad"
Pair = tuple[int, int]  # a key and a version


class Beside(Trap):
    """Lets something else happen just before an effect, as often as it is told; kills nobody."""

    def __init__(self, moments: Sequence[bool], happens: Callable[[], Any], points: Sequence[Point]) -> None:
        super().__init__(P.RUN_CLAIMED, nth=0)
        self.moments, self.happens, self.points = iter(moments), happens, points

    def before(self, point: Point) -> None:
        """See `Trap.before`."""
        if point in self.points and next(self.moments, False):
            self.happens()


@dataclass
class Receiver:
    """Refuses records with that word, and remembers what it took."""

    took: set[Pair] = field(default_factory=set)

    def __call__(self, package: Package) -> Sequence[Outcome] | None:
        body = package.body
        pairs = list(zip(body.column("id").to_pylist(), body.column("_version").to_pylist(), strict=True))
        wrong = [place for place, text in enumerate(body.column("text").to_pylist()) if text == BAD]
        right = [place for place in range(len(pairs)) if place not in wrong]
        self.took |= {pairs[place] for place in right}
        if not wrong:
            return None
        return [Outcome(right), Outcome(wrong, "rejected", "refused", "no")]


@pytest.fixture
def post(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """A book that a receiver took; each record is a message, and its next version is refused."""
    return opened(folder, monkeypatch)


def opened(folder: Path, patch: pytest.MonkeyPatch, most: int = 1) -> Post:
    small_messages(patch, most)
    post = Post(folder)
    post.faults["app"] = Receiver()
    post.change({1: "first", 2: "first"})
    post.deliver()
    return post


def closed(post: Post) -> list[Any]:
    """How each rejection stands, oldest first."""
    return post.look("select status, reason from rejections order by id")


SUPERSEDED = [("discarded", "superseded")]


def test_a_newer_version_was_faster(post: Post) -> None:
    """While the older one is under way another worker delivers the newer one."""
    post.change({1: BAD})
    post.change({1: "good"})
    post.dispatch()
    post.at_send = post.deliver
    post.deliver(most=1)
    assert closed(post) == SUPERSEDED
    assert post.received()[1] == "good"
    assert [each.status for each in _trace(post)[:2]] == ["acknowledged", "discarded"]


@pytest.mark.parametrize("what", ["changes/toy/books/*.parquet", "changes/toy/books/_delta_log/*1.json"])
def test_what_cannot_be_read_stops_nobody(post: Post, what: str) -> None:
    """The rejection stays open, which is never wrong; others are delivered to."""
    post.change({1: BAD})
    post.change({1: "good"})
    post.dispatch()

    def meanwhile() -> None:
        post.deliver()
        for each in (post.folder / "lake").glob(what):
            whole = each.read_bytes()
            each.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
        for each in (post.folder / "lake").glob("changes/toy/books/_delta_log/*"):
            each.touch()  # it is opened anew

    post.at_send = meanwhile
    post.deliver(most=1)
    assert closed(post) == [("rejected", None)]
    assert post.deliver()[HERE].messages == 0


def test_a_rejection_that_was_written_while_the_newer_one_was_settled(post: Post) -> None:
    """Its worker had looked for rejections and found none; its transaction finds this one."""
    post.change({1: BAD})
    post.change({1: "good"})
    post.dispatch()
    post.look("update messages set due_at = 9e15 where id = (select max(id) - 1 from messages)")

    def meanwhile() -> None:
        post.look("update messages set due_at = 0")
        post.deliver(most=1)
        assert closed(post) == [("rejected", None)]

    post.deliver(Beside([True], meanwhile, [P.MESSAGE_SETTLED]))
    assert closed(post) == SUPERSEDED


def test_both_versions_in_one_message(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    post = opened(folder, monkeypatch, most=3)
    post.change({1: BAD})
    post.change({1: "good"})
    post.deliver()
    assert closed(post) == SUPERSEDED


@pytest.mark.parametrize("newer", [BAD, "waits"])
def test_what_is_newer_and_not_accepted_closes_nothing(post: Post, newer: str) -> None:
    """Nor does a message that is acknowledged and names the record as refused, or has yet to be sent."""
    post.change({1: BAD, 2: BAD})
    post.change({1: newer, 2: "good"})
    post.dispatch()
    if newer == "waits":
        post.look("update messages set due_at = 9e15 where id = (select max(id) - 1 from messages)")
    post.at_send = post.deliver
    post.deliver(most=1)
    assert {row["key"] for row in post.rejected()} == {"[1]"}
    assert ("discarded", "superseded") in closed(post)
    post.look("update messages set due_at = 0")
    post.deliver()
    assert {row["key"] for row in post.rejected()} == ({"[1]"} if newer == BAD else set())


@pytest.mark.parametrize("side", Side)
def test_a_kill_before_somebody_has_looked(post: Post, side: Side) -> None:
    """The next run looks."""
    post.change({1: BAD})
    post.change({1: "good"})
    post.dispatch()
    post.at_send = post.deliver
    trap = Trap(P.LATE_CLOSED, 1, side)
    post.deliver(trap, most=1)
    assert trap.fired
    assert closed(post) == ([("rejected", None)] if side is Side.BEFORE else SUPERSEDED)
    post.deliver()
    assert closed(post) == SUPERSEDED


def test_many_refusals_are_few_questions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand records as of one: statements and files do not grow with them."""

    def asked(count: int) -> tuple[int, int]:
        (folder / str(count)).mkdir()
        post = Post(folder / str(count))
        post.faults["app"] = Receiver()
        post.change(dict.fromkeys(range(count), BAD))
        post.dispatch()
        post.change(dict.fromkeys(range(count), "good"))
        post.at_send = post.deliver
        post.deliver(Trap(P.LATE_CLOSED, 1, Side.BEFORE), most=1)
        assert len(post.rejected()) == count
        opened: list[str] = []
        with post.open() as app, app.deliveries._routes(None) as routes, statements() as executed:
            disk, found = app.lake.disk, app.lake.disk.open

            def noted(name: str) -> Any:
                opened.append(name)
                return found(name)

            monkeypatch.setattr(disk, "open", noted)
            close_late(app.tracking, routes)
        assert not post.rejected()
        return len(executed), len(opened)

    assert asked(900) == asked(1)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What any database is asked."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def _trace(post: Post) -> list[Any]:
    found = post.do(lambda app: app.tracing.trace("toy.books", "1"))
    return [told for version in found.versions for told in version.deliveries]


# Receipts


def test_receipts_in_any_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer version's comes first; or while it is written, another worker writes the one that refuses the older."""
    post, room = world(folder, monkeypatch)
    post.deliver()
    post.change({1: "good", 2: "older", 3: "older"})
    post.deliver()
    for text in ("newer", "newest"):
        post.change({2: text, 3: text})
        post.deliver()
    no = Outcome([1], "rejected", "refused", "no")
    room.read([4])
    room.read([2], [no, replace(no, records=[2])])
    post.deliver()
    assert closed(post) == SUPERSEDED * 2

    def meanwhile() -> None:
        room.receipts[:] = [Receipt(identifiers(room)[0], [replace(no, records=[0])])]
        post.deliver()
        assert closed(post) == [*SUPERSEDED * 2, ("rejected", None)]
        room.receipts[:] = [newer]

    post.change({0: "last"})
    post.deliver()
    room.receipts.clear()
    room.read([5])
    (newer,) = room.receipts
    post.deliver(Beside([True], meanwhile, [P.RECEIPT_SETTLED]))
    assert closed(post) == SUPERSEDED * 3, "it was for later: the rows had to be read"
    assert room.refused == []


# Two workers in any order

changed = st.dictionaries(st.integers(0, 2), st.sampled_from([BAD, "good", None]), min_size=1)
moments = st.lists(st.booleans(), min_size=1, max_size=12)


@settings(max_examples=12, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(changed, min_size=2, max_size=5), moments, moments, st.integers(1, 3), st.booleans(),
    st.sampled_from([1, 200]), st.sampled_from([None, Side.BEFORE, Side.AFTER]),
)  # fmt: skip
def test_two_workers_in_any_order(
    history: list[dict[int, str | None]], first: list[bool], second: list[bool], most: int, gathers: bool,
    together: int,
    killed: Side | None,
) -> None:  # fmt: skip
    """A rejection is open if and only if its receiver took no newer version of its key."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, most)
        patch.setattr(drain, "TOGETHER", together)
        receiver = Receiver()
        post = Post(folder, (Delivery("toy.books", HERE, "beginning"),), gathers=gathers)
        post.faults["app"] = receiver
        for rows in history:
            post.change(rows)
        post.dispatch()
        points = [P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_SETTLED, P.LATE_CLOSED]
        third = Beside(second, lambda: post.deliver(most=1), points)
        post.deliver(Beside(first, lambda: post.deliver(third, most=2), points))
        if killed is not None:
            post.deliver(Trap(P.LATE_CLOSED, 1, killed))
        post.deliver()
        assert post.look("select count(*) from messages where status = 'queued'") == [(0,)]
        for key, version, status in post.look("select key, version, status from rejections"):
            newer = any(f"[{number}]" == key and took > version for number, took in receiver.took)
            assert (status == "discarded") == newer, (key, version, status)
