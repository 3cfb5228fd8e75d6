"""Messages that are handed over: a receiver that answers later, by receipts that are late, lost, doubled or forged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.connectors.sql import connector
from postroad.connectors.sql.settings import SqlSettings
from postroad.errors import StateError, StoppedError, TransientError
from postroad.project import Cleaning, Delivery
from postroad.project.where import parse_where
from postroad.records import Entity, Outcome, Package, Receipt
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Settle, Tools
from postroad.sdk.secrets import Secret
from postroad.telemetry import Point
from postroad.tracking.messages import Answer
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, THERE, Post, memory_folder, small_messages

P = Point
IN_RECEIPTS = {P.MESSAGE_HANDED, P.RECEIPT_SETTLED}
HOUR = 3600.0


@dataclass
class Mailroom:
    """Somebody who keeps messages for a receiver, and its receipts for us; and that receiver, a table of SQLite."""

    folder: Path
    kept: list[tuple[Entity, Package]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    refused: list[Receipt] = field(default_factory=list)
    away: bool = False

    def read(self, places: Sequence[int] | None = None, rejected: Sequence[Outcome] = (), *, tell: bool = True) -> int:
        """The receiver reads some messages, all by default, and writes its receipts."""
        taken = self.kept if places is None else [self.kept[each % len(self.kept)] for each in places if self.kept]
        assert connector.destination is not None
        tools = Tools(MemoryBudget(lambda: 0.0), lambda: 0.0, folder=self.folder)
        with closing(connector.destination(SqlSettings(url=Secret.literal("sqlite:///app.db")), tools)) as table:
            for target, package in taken:
                table.send(target, package)
                assert package.facts is not None
                self.receipts += [Receipt(package.facts.identifier, rejected)] if tell else []
        return len(taken)

    def lose(self) -> None:
        """Somebody purged the queue, and the receipts with it."""
        self.kept.clear()
        self.receipts.clear()


class Handing:
    """A destination that hands over."""

    def __init__(self, destination: Destination, mailroom: Mailroom) -> None:
        self.check, self.discover, self.close = destination.check, destination.discover, destination.close
        self.render = destination.render
        self._room = mailroom

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """See `Destination.send`."""
        if self._room.away:
            raise TransientError("the mail room is closed")
        self._room.kept.append((target, package))
        return [Outcome(range(package.records), "handed_over", wait=HOUR)]

    def receipts(self, settle: Settle) -> None:
        """See `HandsOver.receipts`."""
        if self._room.away:
            raise TransientError("the mail room is closed")
        for each in list(self._room.receipts):
            verdict = settle(each)
            if verdict != "later":
                self._room.receipts.remove(each)
            if verdict == "refused":
                self._room.refused.append(each)


def world(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Post, Mailroom]:
    """Six books, handed over in messages of three."""
    small_messages(patch)
    room = Mailroom(folder)
    post = Post(folder, through=lambda name, inner: Handing(inner, room) if name == "app" else inner)
    post.change({number: f"book {number}" for number in range(6)})
    return post, room


@pytest.fixture
def post(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """The project."""
    post, self_room = world(folder, monkeypatch)
    post.room = self_room  # type: ignore[attr-defined]
    return post


@pytest.fixture
def room(post: Post) -> Mailroom:
    """Its mail room."""
    return post.room  # type: ignore[attr-defined, no-any-return]


def statuses(post: Post) -> list[str]:
    """Of all messages."""
    return [row[0] for row in post.look("select status from messages order by id")]


def identifiers(room: Mailroom) -> list[str]:
    """Of all messages that were handed over, in that order."""
    return [package.facts.identifier for _, package in room.kept if package.facts]


def test_what_is_handed_over_is_acknowledged_by_its_receipt_alone(post: Post, room: Mailroom) -> None:
    done = post.deliver()[HERE]
    assert (done.messages, done.records, done.handed_over, done.problem) == (0, 0, 6, None)
    (status,) = post.statuses()
    assert (status.state, status.lag, status.handed_over, status.in_flight) == ("active", 6, 6, 0)
    assert status.as_dict()["handed_since"].startswith("2026-09-21")
    assert post.deliver()[HERE].handed_over == 0, "nobody takes it again"
    assert statuses(post) == ["queued", "queued"]
    assert room.read() == 2
    done = post.deliver()[HERE]
    assert (done.messages, done.records, done.handed_over) == (2, 6, 0)
    post.assert_law()
    assert (statuses(post), room.receipts, room.refused) == (["acknowledged", "acknowledged"], [], [])
    (status,) = post.statuses()
    assert (status.lag, status.handed_over, status.handed_since) == (0, 0, None)
    history = "select group_concat(coalesce(reason, ''), ', ') from moves where message = 1"
    assert post.look(history) == [("dispatched, handed over, 3 acknowledged",)]


def test_a_message_tells_its_place_and_where_it_comes_from(post: Post, room: Mailroom) -> None:
    post.deliver()
    facts = [package.facts for _, package in room.kept]
    assert [(each.batch, each.batches) for each in facts if each] == [(1, 2), (2, 2)]
    assert {(each.origin, each.dataset) for each in facts if each} == {("post", "toy.books")}


def test_receipts_come_in_any_order_and_more_than_once(post: Post, room: Mailroom) -> None:
    post.deliver()
    room.read([1, 1, 0, 1])
    assert post.deliver()[HERE].messages == 2
    room.read([0, 1])
    post.change({9: "nine"})
    post.deliver()
    assert post.deliver()[HERE].messages == 0
    assert (len(room.receipts), room.refused) == (0, [])
    assert post.look("select count(*) from moves where after = 'acknowledged'") == [(2,)]


def test_a_receipt_that_is_faster_than_we_are_counts(post: Post, room: Mailroom) -> None:
    """The receiver answers before we noted that it has the message; another worker sees that first."""

    post.deliver(most=1)

    def answered_at_once(package: Package) -> Sequence[Outcome] | None:
        room.kept.append((Entity("books", ("id",), post.declared.schema), package))
        room.read()
        post.deliver(most=0)
        return [Outcome(range(package.records), "handed_over", wait=HOUR)]

    post.faults["app"] = answered_at_once
    post.deliver()
    assert any("taken over" in each for each in post.said)
    assert statuses(post) == ["acknowledged", "acknowledged"]
    post.assert_law()


def test_a_receipt_that_never_comes_is_asked_for_by_the_same_message_and_then_told(post: Post, room: Mailroom) -> None:
    """Sent again after one hour, and two; in doubt after four more. A receipt settles it even then."""
    post.deliver()
    first = identifiers(room)
    for hours, copies in ((0.9, 2), (0.2, 4), (1.8, 4), (0.3, 6), (3.8, 6)):
        post.now += hours * HOUR
        post.deliver()
        assert len(room.kept) == copies, hours
    assert identifiers(room) == first * 3
    post.now += 0.3 * HOUR
    assert "no receipt came since 2026-09-21" in post.deliver()[HERE].problem
    (status,) = post.statuses()
    assert (status.state, status.held, status.handed_over) == ("held", 2, 6)
    room.read([4])
    done = post.deliver()[HERE]
    assert (done.messages, statuses(post)) == (1, ["acknowledged", "in_doubt"])
    room.lose()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert identifiers(room) == first[1:]
    room.read()
    post.deliver()
    post.assert_law()
    assert statuses(post) == ["acknowledged", "acknowledged"]


def test_what_a_receipt_rejects_is_told_and_closes_by_a_newer_version(post: Post, room: Mailroom) -> None:
    post.deliver()
    room.read([0], [Outcome([1], "rejected", "no_shelf", "there is no such shelf"), Outcome([1], "rejected", "twice")])
    room.read([1])
    done = post.deliver()[HERE]
    assert (done.records, done.rejected) == (5, 1)
    (rejected,) = post.rejected()
    told = (rejected["key"], rejected["cause"], rejected["sentence"])
    assert told == ("[1]", "no_shelf", "there is no such shelf")
    post.change({1: "newer"})
    post.deliver()
    room.kept = room.kept[-1:]
    room.read()
    post.deliver()
    assert not post.rejected()
    post.deliver()
    room.lose()
    post.change({0: "all"})
    post.deliver()
    room.read(rejected=[Outcome([0], "rejected", "refused", "no")])
    post.deliver()
    assert statuses(post)[-1] == "rejected"
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert len(set(identifiers(room))) == 2, "a retry is another message"


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda _: Receipt("", problem="it is no JSON"), "it is no JSON"),
    (lambda _: Receipt("nonsense"), "names no message"),
    (lambda _: Receipt("1" * 40 + "-aa"), "names no message"),
    (lambda _: Receipt("999-00"), "names no message"),
    (lambda _: Receipt("١-00"), "names no message"),
    (lambda name: Receipt(name[:-1] + ("0" if name[-1] != "0" else "1")), "by another identifier"),
    (lambda name: Receipt(name, [Outcome([3], "rejected", "x")]), "rejects a record that its message of 3 has not"),
    (lambda name: Receipt(name, [Outcome([-1], "rejected", "x")]), "rejects a record that its message of 3 has not"),
])  # fmt: skip
def test_a_receipt_that_is_not_ours_is_refused_by_name_and_changes_nothing(
    post: Post, room: Mailroom, make: Callable[[str], Receipt], sentence: str
) -> None:
    post.deliver()
    before = post.look("select * from messages"), post.look("select * from moves")
    room.receipts = [make(identifiers(room)[0])]
    post.deliver()
    assert (len(room.receipts), len(room.refused)) == (0, 1)
    assert [sentence in each for each in post.said if "refused (1 times)" in each] == [True], post.said
    assert before == (post.look("select * from messages"), post.look("select * from moves"))


def test_a_receipt_from_another_receivers_queue_is_refused(post: Post, room: Mailroom) -> None:
    """Two connections that share a queue would settle each other's messages by mistake."""
    post.deliveries = (Delivery("toy.books", HERE), Delivery("toy.books", THERE))
    post.faults["other"] = _down
    post.deliver()
    ((number, receipt),) = post.look("select id, receipt from messages where subscription = 'other.books' limit 1")
    room.receipts = [Receipt(f"{number}-{receipt}")]
    post.deliver()
    assert any("names no message that was sent there" in each for each in post.said)


def test_receipts_are_settled_while_a_target_is_paused_and_wait_while_they_cannot_be_had(
    post: Post, room: Mailroom
) -> None:
    post.deliver()
    room.read()
    room.away = True
    assert post.deliver()[HERE].messages == 0
    assert any("no receipts: the mail room is closed" in each for each in post.said)
    room.away = False
    post.do(lambda app: app.deliveries.pause(HERE))
    assert post.deliver()[HERE].messages == 2


def test_a_receipt_of_what_was_discarded_is_dropped(post: Post, room: Mailroom) -> None:
    post.deliver()
    post.look("update messages set status = 'discarded' where id = 1")
    room.read()
    assert post.deliver()[HERE].messages == 1
    assert (statuses(post), room.refused) == (["discarded", "acknowledged"], [])


def test_a_receipt_of_what_is_dropped_at_that_moment_changes_nothing(post: Post) -> None:
    """It was settled long ago, and found just before it went."""
    assert post.do(lambda app: app.tracking.messages.receive(10**6, Answer(1), ("toy", "books"))) is False


def test_rows_that_a_delivery_leaves_out_are_no_records_of_a_receipt(post: Post, room: Mailroom) -> None:
    """A receipt counts what was sent, in that order."""
    few = Cleaning(where=parse_where("id <> 0 and id <> 4"))
    post.deliveries = (replace(post.deliveries[0], cleaning=few),)
    assert post.deliver()[HERE].handed_over == 4
    room.read([0], [Outcome([1], "rejected", "refused", "no")])
    room.read([1], [Outcome([2], "rejected", "refused", "it has but two")])
    done = post.deliver()[HERE]
    assert (done.records, done.rejected, len(room.refused)) == (1, 1, 1)
    assert [row["key"] for row in post.rejected()] == ["[2]"]
    room.read([1])
    post.deliver()
    assert post.look("select reason from moves where after = 'acknowledged' order by message") == [
        ("1 acknowledged, 1 rejected, 1 left out by where",),
        ("2 acknowledged, 1 left out by where",),
    ]


def test_a_receipt_that_rejects_waits_while_the_rule_is_another(post: Post, room: Mailroom) -> None:
    """Under another rule another row would be meant; the receipt is there when the rule is put back."""
    post.deliver()
    room.read([0], [Outcome([0], "rejected", "refused", "no")])
    before = post.deliveries
    post.deliveries = (replace(before[0], cleaning=Cleaning(where=parse_where("id > 0"))),)
    post.deliver()
    assert len(room.receipts) == 1
    assert any("a receipt waits" in each for each in post.said)
    post.deliveries = before
    assert post.deliver()[HERE].rejected == 1


def test_a_receipt_for_a_delivery_that_is_not_at_work_counts_unless_it_rejects(post: Post, room: Mailroom) -> None:
    """Two targets share a queue of receipts, and one of them left the flows."""
    post.deliveries = (*post.deliveries, Delivery("toy.books", "app.more"))
    post.deliver()
    room.read([0], [Outcome([0], "rejected", "refused", "no")])
    room.read([1, 2, 3])
    both, post.deliveries = post.deliveries, post.deliveries[1:]
    assert post.deliver()["app.more"].messages == 2
    assert (len(room.receipts), statuses(post).count("acknowledged")) == (1, 3)
    post.deliveries = both
    done = post.deliver()[HERE]
    assert (done.messages, done.records, done.rejected) == (1, 2, 1)
    assert not room.receipts


def test_who_is_asked_to_stop_settles_no_further_receipt(post: Post, room: Mailroom) -> None:
    """They are there for the next one."""
    post.deliver()
    room.read()
    with post.open() as app:
        app.stop.ask()
        with pytest.raises(StoppedError):
            app.deliveries.deliver()
    assert (len(room.receipts), statuses(post)) == (2, ["queued", "queued"])
    assert post.deliver()[HERE].messages == 2


def test_a_flood_of_refusals_is_told_in_a_few_sentences(post: Post, room: Mailroom) -> None:
    post.deliver()
    room.receipts = [Receipt("", problem=f"problem {each % 12}") for each in range(36)]
    post.deliver()
    assert len(room.refused) == 36
    told = [each for each in post.said if "is refused (3 times)" in each]
    assert (len(told), room.receipts) == (10, [])


def test_the_same_on_postgresql(folder: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marks, the counts and what a receipt settles."""
    post, room = world(folder, monkeypatch)
    post.server = postgresql_url
    assert post.deliver()[HERE].handed_over == 6
    assert post.statuses()[0].handed_over == 6
    room.read(rejected=[Outcome([0], "rejected", "refused", "no")])
    assert post.deliver()[HERE].rejected == 2
    assert (post.statuses()[0].lag, post.statuses()[0].rejected) == (0, {"refused": 2})


def test_a_message_that_is_handed_over_in_part_is_a_bug(post: Post) -> None:
    half = [Outcome([0], "handed_over"), Outcome([1, 2])]
    post.faults["app"] = lambda _: half
    with pytest.raises(StateError, match="in part"):
        post.deliver()


def test_every_point_of_receipts_is_crashed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die just before and just after each; once the receiver has read what there is, the law holds."""
    points = [P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_HANDED, P.RECEIPT_SETTLED]
    assert set(points) >= IN_RECEIPTS
    for number, (point, side) in enumerate((point, side) for point in points for side in Side):
        (folder / str(number)).mkdir()
        post, room = world(folder / str(number), monkeypatch)
        trap = Trap(point, 1, side)
        for _ in range(2):
            post.deliver(trap)
            room.read()
        assert trap.fired, point
        assert len(set(identifiers(room))) <= 2
        end(post, room)


def end(post: Post, room: Mailroom) -> None:
    """Nothing fails any more: every message is read, and every receipt settled."""
    room.away = False
    post.faults.clear()
    for _ in range(3):
        post.deliver()
        room.read()
        post.deliver()
        if set(statuses(post)) <= {"acknowledged"} and not post.rejected():
            break
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        post.now += 10 * HOUR
    else:
        room.read()
        post.deliver()
    assert {each.lag for each in post.statuses()} == {0}
    assert not post.rejected()
    assert set(statuses(post)) <= {"acknowledged", "rejected"}
    assert not room.refused
    post.assert_law()


def _wait(post: Post, hours: float) -> None:
    post.now += hours * HOUR


def _down(_: Package) -> Sequence[Outcome]:
    raise TransientError("down")


changed = st.dictionaries(st.integers(0, 5), st.none() | st.sampled_from("abc"), min_size=1, max_size=4)
traps = st.builds(Trap, st.sampled_from(sorted({P.PACKAGE_SENT, *IN_RECEIPTS})), st.integers(1, 2),
                  st.sampled_from(Side))  # fmt: skip
Step = Callable[[Post, Mailroom], Any]
steps = st.one_of(
    st.builds(lambda rows: lambda post, _: post.change(rows), changed),
    st.builds(lambda trap: lambda post, _: post.deliver(replace(trap, fired=False)), traps),
    st.builds(lambda hours: lambda post, _: _wait(post, hours), st.sampled_from([0.5, 3, 9])),
    st.builds(lambda at, tell: lambda _, room: room.read(at, tell=tell), st.lists(st.integers(0, 9), max_size=4),
              st.booleans()),
    st.builds(lambda at: lambda _, room: room.read(at, [Outcome([0], "rejected", "refused", "no")]),
              st.lists(st.integers(0, 9), max_size=2)),
    st.just(lambda _, room: room.lose()),
    st.just(lambda _, room: setattr(room, "away", not room.away)),
)  # fmt: skip


@settings(max_examples=8, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=3, max_size=9))
def test_any_history_of_receipts_ends_equal(history: list[Step]) -> None:
    """Late, lost, doubled, rejecting, in any order; purged queues, outages, crashes: in the end all is there."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        post, room = world(folder, patch)
        for step in history:
            step(post, room)
        end(post, room)
