"""Deliveries: whatever happens, a receiver ends with what the table holds, and what it refused is told."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.app import App
from postroad.app.runs import Report
from postroad.engine.drain import Delivered
from postroad.engine.resend import again
from postroad.engine.runs import Outcome as RunOutcome
from postroad.errors import (
    AuthError,
    BatchRefusedError,
    ConfigError,
    LostClaimError,
    OutcomeUnknownError,
    StateError,
    TransientError,
)
from postroad.lake import delta
from postroad.lake.delta import DeltaLog
from postroad.lake.disk import LocalDisk
from postroad.project import Delivery
from postroad.records import Entity, Outcome, Package
from postroad.telemetry import Point
from tests.flow.doomed import LEASES_ARE_OVER, Side, Trap
from tests.flow.post import HERE, THERE, Post, memory_folder, small_messages
from tests.flow.toy import BOOKS

P = Point
IN_DELIVERIES = {
    P.DISPATCHED,
    P.MESSAGE_TAKEN,
    P.PACKAGE_SENT,
    P.MESSAGE_SETTLED,
    P.MESSAGE_PUT_BACK,
    P.SUBSCRIPTION_SET,
    P.LATE_CLOSED,
    P.AUDIT_FILE,
    P.MESSAGES_DROPPED,
}
AT_ONCE = {P.DISPATCHED, P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_SETTLED}  # passed by any delivery
TWO = (Delivery("toy.books", HERE), Delivery("toy.books", THERE))


@pytest.fixture
def post(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Seven books in two commits, which nobody was told of; three records make a message."""
    small_messages(monkeypatch)
    post = Post(folder)
    post.change({number: f"book {number}" for number in range(6)})
    post.change({6: "book 6", 0: "book 0 again", 1: None})
    return post


class Counted(Trap):
    """Counts what becomes durable, and kills nobody."""

    def __init__(self) -> None:
        super().__init__(P.RUN_CLAIMED, nth=0)
        self.counts: Counter[Point] = Counter()

    def after(self, point: Point) -> None:
        """See `Trap.after`."""
        self.counts[point] += 1


def refusing(word: str) -> Callable[[Package], None]:
    """A receiver that takes no package with this word in it."""

    def fault(package: Package) -> None:
        if word in package.body.column("text").to_pylist():
            raise BatchRefusedError(f"no {word} here")

    return fault


def failing(error: Exception) -> Callable[[Package], None]:
    """A receiver that always fails."""

    def fault(_: Package) -> None:
        raise error

    return fault


# The way


def test_a_dataset_arrives_and_then_its_changes_do(post: Post) -> None:
    done = post.deliver()[HERE]
    assert (done.messages, done.records, done.rejected, done.problem) == (2, 6, 0, None)
    post.assert_law()
    post.change({2: None, 7: "new"})
    assert post.deliver()[HERE].records == 2
    post.assert_law()
    assert post.deliver()[HERE].messages == 0
    assert {row[0] for row in post.look("select status from messages")} == {"acknowledged"}


def test_a_delivery_says_how_large_its_messages_are(post: Post) -> None:
    """Of what is dispatched from now on, and of what is sent again."""
    post.deliveries = (Delivery("toy.books", HERE, most_records=5),)
    post.faults["app"] = refusing("book 4")
    assert post.deliver()[HERE].rejected == 1
    assert post.look("select records from messages order by id")[:2] == [(5,), (1,)]
    post.deliveries = (Delivery("toy.books", HERE, most_records=1),)
    post.change({7: "new", 8: "newer"})
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert post.look("select records, status from messages order by id")[-3:] == [(1, "acknowledged")] * 3
    assert post.received() == post.books


def test_nothing_is_written_for_a_record_that_was_accepted(post: Post) -> None:
    post.deliver()
    counts = [post.look(f"select count(*) from {table}")[0][0] for table in ("messages", "moves", "rejections")]
    assert counts == [2, 4, 0]


@pytest.mark.parametrize(("start", "records"), [("current", 6), ("beginning", 9), ("2026-09-21", 9), ("2026-09-23", 0)])
def test_a_subscription_that_joins_late_begins_where_it_says(post: Post, start: str, records: int) -> None:
    """From the current rows, from all history, or from a day on; then it follows like any other."""
    post.deliver()
    post.deliveries = (*post.deliveries, Delivery("toy.books", THERE, start))
    done = post.deliver()[THERE]
    assert done.records == records
    post.now += 5 * 86_400
    post.change({5: "changed", 1: "back"})
    post.deliver()
    if records:
        post.assert_law()
    else:
        assert post.received(THERE) == {5: "changed", 1: "back"}


def test_a_table_that_lags_behind_its_history_is_followed_by_it(post: Post) -> None:
    """The first rows are of one version of the table; what is newer comes from the changes."""
    post.change({2: None, 8: "eight"}, materialise=False)
    post.deliver()
    assert post.received() == post.books


def test_any_order_of_messages_ends_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Insert, delete, insert again, change: each in a message of its own, in every order, one of them twice."""
    small_messages(monkeypatch, 1)
    post = Post(folder, (Delivery("toy.books", HERE, "beginning"),))
    rows: list[dict[int, str | None]] = [{1: "first"}, {1: None}, {1: "again"}, {1: "last"}]
    for each in rows:
        post.change(each)
    post.dispatch()
    post.look("update messages set status = 'discarded'")
    with post.open() as app:
        for order in permutations(range(1, 5)):
            for number in (*order, order[0]):
                post.look(f"update messages set status = 'queued' where number = {number}")
                assert app.deliveries.deliver()[HERE].messages == 1
                post.look("update messages set status = 'discarded'")
            assert post.received() == {1: "last"}
            (folder / "app.db").unlink()


def test_a_new_column_widens_the_target(post: Post) -> None:
    post.deliver()
    wide = pa.schema([*BOOKS.schema, pa.field("pages", pa.int64())])
    post.declared = Entity(BOOKS.name, BOOKS.key, wide)

    def widen(app: App) -> None:
        from postroad.engine.columns import widen

        with app.bench("toy") as bench:
            widen(bench, "books", "run")

    post.do(widen)
    post.change({3: "wide"})
    post.deliver()
    post.assert_law()
    assert ("pages",) in post.sql("app", "select name from pragma_table_info('books')")


# Crashes


def _first(post: Post, trap: Trap) -> None:
    post.deliver(trap)


def _refused(post: Post, trap: Trap) -> None:
    post.faults["app"] = refusing("book 4")
    post.deliver(trap)


def _outage(post: Post, trap: Trap) -> None:
    post.faults["app"] = failing(TransientError("down"))
    post.deliver(trap)


def _paused(post: Post, trap: Trap) -> None:
    post.deliver(most=1)

    def pause(app: App) -> None:
        app.deliveries.pause(HERE)
        app.deliveries.resume(HERE)

    post.do(pause, trap)


def _retried(post: Post, trap: Trap) -> None:
    post.faults["app"] = refusing("book 4")
    post.deliver()
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"), trap)


def _dropped(post: Post, trap: Trap) -> None:
    post.deliver()
    post.now += 31 * 86_400
    post.deliver(trap)


ACTS = {
    _dropped: {P.AUDIT_FILE, P.MESSAGES_DROPPED},
    _first: {P.DISPATCHED, P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_SETTLED},
    _refused: {P.PACKAGE_SENT, P.MESSAGE_SETTLED, P.LATE_CLOSED},
    _outage: {P.MESSAGE_PUT_BACK},
    _paused: {P.SUBSCRIPTION_SET},
    _retried: {P.DISPATCHED, P.MESSAGE_SETTLED},
}


def test_every_point_of_deliveries_is_crashed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die just before and just after each; once a retry asked for what was refused, the law holds."""
    assert set().union(*ACTS.values()) == IN_DELIVERIES
    small_messages(monkeypatch)
    cases = [(act, point, side) for act, points in ACTS.items() for point in sorted(points) for side in Side]
    for number, (act, point, side) in enumerate(cases):
        (folder / str(number)).mkdir()
        post = Post(folder / str(number))
        post.change({number: f"book {number}" for number in range(6)})
        trap = Trap(point, 1, side)
        act(post, trap)
        assert trap.fired, (act, point)
        post.settle()
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        post.assert_law()
        assert not post.rejected()


def test_the_same_on_postgresql(folder: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Books and receiver there: a kill on both sides of each point, a refusal, an outage, two workers at once."""
    small_messages(monkeypatch, 2)
    post = Post(folder, server=postgresql_url)
    for point in (P.DISPATCHED, P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_SETTLED):
        for side in Side:
            post.change(dict.fromkeys(range(post.commits % 3, 6), f"{point} {side}") | {post.commits % 6: None})
            trap = Trap(point, 1, side)
            post.deliver(trap)
            assert trap.fired
    post.change({1: "bad", 2: "good"})
    post.faults["app"] = refusing("bad")
    post.deliver()
    assert [row["key"] for row in post.rejected()] == ["[1]"]
    post.faults["app"] = failing(TransientError("down"))
    post.change(dict.fromkeys(range(20), "end"))
    post.deliver()
    assert {type(each.lag) for each in post.statuses()} == {int}
    post.faults.clear()
    post.now += 3600.0
    threads = [Thread(target=post.deliver) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    post.settle()
    post.assert_law()
    assert not post.rejected()
    before = post.do(lambda app: app.tracing.trace("toy.books", "1", versions=99).as_dict())
    post.now += 32 * 86_400
    post.deliver()
    assert post.do(lambda app: app.tracking.audit.settled(0.0, 1)) == []
    assert post.do(lambda app: app.tracing.trace("toy.books", "1", versions=99).as_dict()) == before


changed = st.dictionaries(st.integers(0, 7), st.none() | st.sampled_from("abc"), min_size=1, max_size=6)
traps = st.builds(
    Trap, st.sampled_from(sorted(AT_ONCE)),
    st.integers(1, 3), st.sampled_from(Side),
)  # fmt: skip
steps = st.one_of(
    st.builds(lambda rows, shown: lambda post: post.change(rows, materialise=shown), changed, st.booleans()),
    st.builds(lambda trap: lambda post: post.dispatch(replace(trap)), traps),
    st.builds(lambda trap: lambda post: post.deliver(replace(trap, fired=False)), traps),
    st.builds(lambda most: lambda post: post.deliver(most=most), st.integers(0, 2)),
    st.builds(lambda start: lambda post: _join(post, start), st.sampled_from(["current", "beginning"])),
    st.builds(lambda word: lambda post: post.faults.update(app=refusing(word)), st.sampled_from("abc")),
    st.just(lambda post: post.faults.update(app=failing(TransientError("down")))),
    st.just(lambda post: _wait(post)),  # noqa: PLW0108 - it is defined below
    st.just(lambda post: _freeze(post)),  # noqa: PLW0108 - it is defined below
)


def _join(post: Post, start: str) -> None:
    if len(post.deliveries) < 2:
        post.deliveries = (*post.deliveries, Delivery("toy.books", THERE, start))


def _wait(post: Post) -> None:
    """Long enough for settled messages to be dropped."""
    post.now += 31 * 86_400


def _freeze(post: Post) -> None:
    """A worker sleeps through its lease while it sends, and another one does everything meanwhile."""

    def meanwhile() -> None:
        post.now += LEASES_ARE_OVER
        post.change({0: "meanwhile", 1: None})
        post.deliver()

    post.at_send = meanwhile
    post.deliver()
    post.at_send = None


@settings(max_examples=15, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=3, max_size=8), st.booleans())
def test_any_history_ends_equal(history: list[Callable[[Post], Any]], gathers: bool) -> None:
    """Changes, dispatches, drains, refusals, outages, crashes, frozen workers, late joins: the receivers end equal."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        post = Post(folder, gathers=gathers)
        post.change(dict.fromkeys(range(4), "a"))
        for step in history:
            step(post)
        post.change({9: "end"})
        post.settle()
        refused = {row["key"] for row in post.rejected()}
        wrong = {each for each in {*post.books} ^ {*post.received()} if f"[{each}]" not in refused}
        assert not wrong
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        post.assert_law()
        assert not post.rejected()
        post.do(_assert_all_is_final)


def _assert_all_is_final(app: App) -> None:
    """Each version has a status that nothing will change, and both sides agree."""
    traced = [app.tracing.trace("toy.books", str(key)) for key in (0, 3, 9)]
    words = {told.status for found in traced for version in found.versions for told in version.deliveries}
    assert words <= {"acknowledged", "discarded", "processed"}, words
    assert app.deliveries.verify(HERE).equal


# What is remembered


def test_settled_messages_are_dropped_after_a_time(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their moves, in small transactions; what comes later has numbers of its own."""
    monkeypatch.setattr("postroad.tracking.audit.AT_ONCE", 1)
    post.deliver()
    post.now += 29 * 86_400
    post.change({7: "later"})
    post.deliver()
    assert post.look("select count(*) from messages") == [(3,)]
    post.now += 2 * 86_400
    post.deliver()
    assert post.look("select id, number from messages") == [(3, 3)]
    assert post.look("select distinct message from moves") == [(3,)]
    post.now += 31 * 86_400
    post.change({8: "last"})
    post.deliver()
    assert post.look("select id, number from messages") == [(4, 4)]
    post.assert_law()


def test_a_message_is_kept_as_long_as_somebody_needs_it(post: Post) -> None:
    """While a record of it is rejected, as long after that ended, and while what came of it is open."""
    post.faults["app"] = refusing("book 4")
    post.deliver(most=4)
    (rejected,) = post.rejected()
    post.look("update messages set status = 'in_doubt' where id = (select max(id) from messages)")
    needed = {rejected["payload"], *(each for row in post.look("select max(id), parent from messages") for each in row)}
    post.now += 31 * 86_400
    post.deliver()
    assert {each for (each,) in post.look("select id from messages")} == needed
    assert post.do(lambda app: app.rejections.show(rejected["id"]))["raw"]
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert not post.rejected()
    assert (rejected["payload"],) in post.look("select id from messages")
    post.now += 31 * 86_400
    post.deliver()
    assert [post.look(f"select count(*) from {each}") for each in ("messages", "moves", "rejections")] == [[(0,)]] * 3
    post.assert_law()


# Workers


def test_two_workers_share_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is settled once, whoever gets it."""
    small_messages(monkeypatch, 1)
    post = Post(folder)
    post.change({number: f"book {number}" for number in range(40)})
    post.dispatch()
    counts: list[int] = []

    def work() -> None:
        with post.open() as app:
            counts.append(app.deliveries.deliver()[HERE].messages)

    threads = [Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(counts) == 40
    assert len(counts) == 2
    post.assert_law()
    assert post.look("select count(*) from moves where after = 'acknowledged'") == [(40,)]


def test_a_frozen_worker_writes_nothing_and_brings_nothing_old_back(post: Post) -> None:
    """It sends what it held; the receiver has newer versions, and the books have another token."""
    _freeze(post)
    assert post.received() == post.books
    assert any("taken over" in each for each in post.said)
    assert post.statuses()[0].lag == 0


def test_a_frozen_workers_failure_says_nothing_of_the_receiver(folder: Path) -> None:
    """Its connection broke while it slept; another worker has had an answer since."""
    post = Post(folder)
    post.change({1: "a"})

    def meanwhile() -> None:
        post.now += LEASES_ARE_OVER
        post.deliver()
        post.faults["app"] = broken

    def broken(_: Package) -> None:
        raise AuthError("the token is over")

    post.at_send = meanwhile
    post.deliver()
    assert post.look("select status, failures, last_outcome from subscriptions") == [("active", 0, "1 acknowledged")]
    assert any("taken over" in each for each in post.said)


def test_what_a_newer_version_closed_was_not_retried(post: Post) -> None:
    """A retry was planned before that arrived; the books tell what closed the rejection."""
    post.faults["app"] = refusing("book 4")
    post.deliver()
    post.faults.clear()
    with post.open() as app:
        planned = app.deliveries.resends(HERE)
        post.change({4: "newer"})
        post.deliver()
        app.tracking.messages.retry(HERE, *again(planned, post.deliveries[0]), "me")
    assert post.look("select status, reason from rejections") == [("discarded", "superseded")]
    post.settle()
    post.assert_law()


def test_a_worker_ends_in_order_when_it_is_asked(post: Post) -> None:
    """The message at hand is settled."""

    def work(app: App) -> None:
        post.at_send = app.stop.ask
        app.deliveries.work()

    post.do(work)
    assert post.look("select status, count(*) from messages group by 1 order by 1") == [
        ("acknowledged", 1),
        ("queued", 1),
    ]


def test_a_message_over_which_workers_die_is_halved_and_then_held(post: Post) -> None:
    """All its records but the one that kills arrive; that one is told as poison, and a retry sends it."""

    def deadly(package: Package) -> None:
        if "book 4" in package.body.column("text").to_pylist():
            raise KeyboardInterrupt

    post.faults["app"] = deadly
    for _ in range(40):
        try:
            post.deliver()
            break
        except KeyboardInterrupt:
            post.now += LEASES_ARE_OVER
    assert {4: "book 4", **post.received()} == post.books
    (rejected,) = post.rejected()
    assert (rejected["cause"], rejected["key"]) == ("poison", "[4]")
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()


def test_small_messages_are_settled_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a package, and one transaction writes all their outcomes; each has its own moves."""
    small_messages(monkeypatch, 1)
    post = Post(folder)
    post.change(dict.fromkeys(range(20), "text"))
    counted = Counted()
    post.deliver(counted)
    assert (counted.counts[P.MESSAGE_TAKEN], counted.counts[P.PACKAGE_SENT], counted.counts[P.MESSAGE_SETTLED]) == (
        3,
        20,
        1,
    )
    assert post.look("select count(*), sum(after = 'acknowledged') from moves") == [(40, 20)]
    assert post.look("select distinct token, leases from messages") == [(None, 0)]
    post.assert_law()


def test_a_receiver_that_gathers_gets_small_messages_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One package, and each message has its outcome; where some record is refused, each is sent by itself."""
    small_messages(monkeypatch, 1)
    post = Post(folder, gathers=True)
    post.change(dict.fromkeys(range(20), "text"))
    counted = Counted()
    post.deliver(counted)
    assert counted.counts[P.PACKAGE_SENT] == 1
    assert post.look("select status, reason, count(*) from messages group by 1, 2") == [
        ("acknowledged", "1 acknowledged", 20)
    ]
    post.assert_law()
    post.change({1: "bad", 2: "good", 3: None})
    post.faults["app"] = refusing("bad")
    assert post.deliver()[HERE].records == 2
    assert [row["key"] for row in post.rejected()] == ["[1]"]
    post.change({1: "mended", 4: "more"})
    post.deliver()
    assert not post.rejected()
    post.assert_law()


def test_what_was_gathered_and_never_answered_is_in_doubt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, for nobody knows what the receiver has; none of it is sent again by us."""
    small_messages(monkeypatch, 1)
    post = Post(folder, gathers=True)
    post.change(dict.fromkeys(range(3), "text"))
    sent: list[Package] = []

    def silent(package: Package) -> None:
        sent.append(package)
        raise OutcomeUnknownError("the line broke")

    post.faults["app"] = silent
    assert "in doubt" in post.deliver()[HERE].problem
    assert len(sent) == 1
    assert post.look("select status, count(*) from messages group by 1") == [("in_doubt", 3)]
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()


@pytest.mark.parametrize("gathers", [False, True])
def test_a_kill_suspects_no_message_beside_the_one_that_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gathers: bool
) -> None:
    """What was taken together is sent one by one from then on: only the record that kills is told as poison."""
    small_messages(monkeypatch, 1)
    post = Post(folder, gathers=gathers)
    post.change({number: f"book {number}" for number in range(8)})

    def deadly(package: Package) -> None:
        if "book 4" in package.body.column("text").to_pylist():
            raise KeyboardInterrupt

    post.faults["app"] = deadly
    for _ in range(10):
        try:
            post.deliver()
            break
        except KeyboardInterrupt:
            post.now += LEASES_ARE_OVER
    assert [(row["cause"], row["key"]) for row in post.rejected()] == [("poison", "[4]")]
    assert {4: "book 4", **post.received()} == post.books


def test_an_outage_amid_messages_gives_the_others_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went well before is settled, and nothing is held against what nobody sent."""
    small_messages(monkeypatch, 1)
    post = Post(folder)
    post.change({number: f"book {number}" for number in range(8)})
    sent: list[Package] = []

    def down(package: Package) -> None:
        sent.append(package)
        if len(sent) == 4:
            raise TransientError("down")

    post.faults["app"] = down
    assert post.deliver()[HERE].records == 3
    assert len(sent) == 4
    assert post.look("select status, token, leases, count(*) from messages group by 1 order by 1") == [
        ("acknowledged", None, 0, 3), ("queued", None, 0, 5),
    ]  # fmt: skip
    assert post.look("select failures from subscriptions") == [(1,)]
    post.settle()
    post.assert_law()


# What receivers answer


def test_one_bad_record_spoils_nothing_but_itself(post: Post) -> None:
    post.faults["app"] = refusing("book 4")
    done = post.deliver()[HERE]
    assert (done.records, done.rejected) == (5, 1)
    assert {4: "book 4", **post.received()} == post.books
    (rejected,) = post.rejected()
    assert (rejected["dataset"], rejected["key"], rejected["sentence"]) == (HERE, "[4]", "no book 4 here")
    shown = post.do(lambda app: app.rejections.show(rejected["id"]))
    assert '"text": "book 4"' in shown["raw"]
    assert post.statuses()[0].rejected == {"refused": 1}


def test_a_newer_version_closes_a_rejection_and_a_refused_one_hides_no_older(post: Post) -> None:
    post.faults["app"] = refusing("bad")
    post.deliver()
    post.change({4: "bad"})
    post.deliver()
    assert post.received()[4] == "book 4"
    assert [row["key"] for row in post.rejected()] == ["[4]"]
    post.change({4: "good"})
    post.deliver()
    assert post.received() == post.books
    assert not post.rejected()
    # And of two refused versions a retry sends the newer one only.
    post.faults["app"] = refusing("bad")
    for _ in range(2):
        post.change({4: "bad"})
    post.deliver()
    assert len(post.rejected()) == 2
    post.faults.clear()
    assert post.do(lambda app: app.rejections.retry(HERE, "deliver")).deliveries[HERE].records == 1
    post.assert_law()


def test_a_record_that_is_discarded_is_told_no_more(post: Post) -> None:
    post.faults["app"] = refusing("book 4")
    post.deliver()
    (rejected,) = post.rejected()
    post.do(lambda app: app.rejections.discard([rejected["id"]]))
    assert not post.rejected()


def test_an_outage_concerns_one_subscription_and_dead_letters_nothing(post: Post) -> None:
    """It is left alone for a while, longer each time; then everything arrives."""
    post.deliveries = TWO
    post.faults["app"] = failing(TransientError("the database is away"))
    for _ in range(9):
        post.deliver()
        post.now += 400
    assert post.received(THERE) == post.books
    here, there = post.statuses()
    assert (here.state, here.lag, here.last_outcome) == ("active", 6, "the database is away")
    assert (there.state, there.lag) == ("active", 0)
    assert {row[0] for row in post.look("select status from messages where subscription = 'app.books'")} == {"queued"}
    post.deliver()
    assert post.statuses()[0].state == "waiting"
    post.faults.clear()
    early = post.deliver()[HERE]
    assert (early.messages, early.problem) == (0, "the database is away")
    post.now += 400
    assert post.deliver()[HERE].problem is None
    post.assert_law()


def test_a_refused_sign_in_pauses_until_a_person_resumes(post: Post) -> None:
    post.faults["app"] = failing(AuthError("who are you"))
    assert post.deliver()[HERE].problem == "paused: who are you"
    post.faults.clear()
    post.now += 86_400
    later = post.deliver()[HERE]
    assert (later.messages, later.problem) == (0, "paused: who are you")
    assert (post.statuses()[0].state, post.statuses()[0].reason) == ("paused", "who are you")
    post.do(lambda app: app.deliveries.resume(HERE))
    post.deliver()
    post.assert_law()


def test_an_answer_that_never_came_is_held_for_a_person(post: Post) -> None:
    """It is not sent again by itself."""
    post.faults["app"] = failing(OutcomeUnknownError("the line went dead"))
    post.deliver()
    post.faults.clear()
    post.now += 86_400
    post.deliver()
    assert {(row["cause"], row["sentence"]) for row in post.rejected()} == {("in_doubt", "the line went dead")}
    assert post.statuses()[0].held == 2
    assert not (post.folder / "app.db").exists()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()
    assert post.look("select group_concat(after, ' ') from moves where message = 1") == [
        ("queued in_doubt queued acknowledged",)
    ]


def test_what_a_receiver_wants_later_goes_on_alone_and_is_given_up_in_the_end(post: Post) -> None:
    """Records that are asked for again move to a message of their own, which waits; the others are answered."""

    def fault(package: Package) -> list[Outcome] | None:
        texts = package.body.column("text").to_pylist()
        if "book 4" not in texts:
            return None
        later = texts.index("book 4")
        rest = [each for each in range(package.records) if each != later]
        return [Outcome(rest, "unchanged"), Outcome([later], "retry")]

    post.faults["app"] = fault
    post.deliver()
    assert post.statuses()[0].lag == 1
    assert post.deliver()[HERE].messages == 0
    for _ in range(8):
        post.now += 7200
        post.deliver()
    assert [(row["key"], row["cause"]) for row in post.rejected()] == [("[4]", "gave_up")]
    assert post.look("select max(attempt) from moves") == [(7,)]


def test_a_connector_that_leaves_records_unanswered_is_stopped(post: Post) -> None:
    post.faults["app"] = lambda package: [Outcome(range(package.records - 1))]
    with pytest.raises(StateError, match="did not answer"):
        post.deliver()
    assert {row[0] for row in post.look("select status from messages")} == {"queued"}


# Operations


@pytest.mark.parametrize(
    ("done", "code"), [(Delivered(3, 7), 0), (Delivered(3, 7, 1), 3), (Delivered(problem="down"), 3)]
)
def test_a_run_says_by_its_exit_code_that_something_did_not_arrive(done: Delivered, code: int) -> None:
    assert Report(deliveries={HERE: done}).exit_code == code
    failed = RunOutcome("run", "toy", "books", "failed")
    assert Report([failed], deliveries={HERE: done}).exit_code == 1


def test_a_paused_target_gets_nothing_and_then_all(post: Post) -> None:
    post.deliver()
    post.do(lambda app: app.deliveries.pause(HERE))
    post.change({3: "while paused"})
    done = post.deliver()[HERE]
    assert (done.messages, done.problem) == (0, None)
    status = post.statuses()[0]
    assert (status.state, status.lag) == ("paused", 1)
    assert status.lag_seconds > 0
    post.do(lambda app: app.deliveries.resume(HERE))
    post.deliver()
    post.assert_law()
    with pytest.raises(ConfigError, match="no flow delivers"):
        post.do(lambda app: app.deliveries.pause(THERE))


def test_sequence_11_files_that_messages_name_are_not_vacuumed(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a message or a rejection names a file of the table."""
    vacuumed: list[str] = []
    monkeypatch.setattr(delta, "TIDY_EVERY", 1)
    monkeypatch.setattr(DeltaLog, "_vacuum", lambda log: vacuumed.append(log.folder))
    post.faults["app"] = refusing("book 4")
    post.dispatch()
    for text in "abc":
        post.change({0: text})
    assert "tables/toy/books" not in vacuumed
    post.deliver()
    post.change({0: "d"})
    assert "tables/toy/books" not in vacuumed
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.change({0: "e"})
    assert "tables/toy/books" in vacuumed


def test_a_file_that_is_gone_is_told_and_put_back(post: Post) -> None:
    """The message waits for a person; nothing else of the project stops."""
    post.dispatch()
    path = post.folder / "lake" / str(post.look("select slices from messages")[0][0]).split('"')[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "its size differs" in post.deliver()[HERE].problem
    path.unlink()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert {row["cause"] for row in post.rejected()} == {"dead_lettered"}
    path.write_bytes(whole)
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()


@pytest.mark.parametrize("method", ["open", "size"])
def test_a_machine_that_cannot_open_a_file_now_waits(post: Post, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """No file is gone, so no person is asked."""
    post.dispatch()

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(LocalDisk, method, full)
        assert "Too many open files" in post.deliver()[HERE].problem
    assert post.rejected() == []
    assert post.statuses()[0].state == "waiting"
    post.settle()
    post.assert_law()


def test_a_target_takes_one_dataset_for_good(post: Post) -> None:
    post.deliver()
    post.look("update subscriptions set dataset = 'toy.shelves'")
    assert "name another target" in post.deliver()[HERE].problem


def test_a_lake_that_was_put_back_is_not_taken_for_one_in_step(post: Post) -> None:
    post.deliver()
    post.look('update subscriptions set "offset" = "offset" + 1')
    assert "was put back or removed" in post.deliver()[HERE].problem


def test_a_delivery_that_left_the_flows_is_shown_while_it_has_messages(post: Post) -> None:
    post.deliveries = TWO
    post.dispatch()
    post.deliveries = TWO[1:]
    post.deliver()
    assert [(each.subscription, each.state, each.lag) for each in post.statuses()] == [
        (THERE, "active", 0),
        (HERE, "forgotten", 6),
    ]
    assert post.do(lambda app: app.deliveries.discard(HERE)) == (2, 0)
    assert [each.subscription for each in post.statuses()] == [THERE]


def test_what_a_forgotten_delivery_holds_can_be_dropped_whole(post: Post) -> None:
    """How old it is shows, and once it is dropped, nothing of it is shown."""
    post.change({3: "bad"})
    post.faults["app"] = refusing("bad")
    post.deliver()
    post.change({4: "more"})
    post.dispatch()
    post.deliveries = ()
    post.now += 60
    (found,) = post.statuses()
    assert (found.state, found.lag, found.rejected) == ("forgotten", 1, {"refused": 1})
    assert found.lag_seconds >= 60
    assert post.do(lambda app: app.deliveries.discard(HERE)) == (1, 1)
    assert (post.statuses(), post.rejected()) == ([], [])
    with pytest.raises(ConfigError, match=r"no flow delivers to 'app\.boks'"):
        post.do(lambda app: app.deliveries.discard("app.boks"))


def test_progress_tells_of_what_was_answered(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of what an outage put back, nor twice of what went on in halves."""
    post.change({**dict.fromkeys(range(7), "good"), 3: "bad"})
    post.dispatch()
    (waiting,) = [each.lag for each in post.statuses()]
    told: list[int] = []
    with post.open() as app:
        monkeypatch.setattr(app.reporter, "progress", lambda name, rows, size: told.append(rows))
        post.faults["app"] = failing(TransientError("down"))
        app.deliveries.deliver()
        assert told == []
        post.faults["app"] = refusing("bad")
        post.now += 400
        app.deliveries.deliver()
    assert sum(told) == waiting


def test_a_table_that_was_dropped_is_made_again(post: Post) -> None:
    """A worker that had seen it before notices; what it held before needs a new target."""
    with post.open() as app, app.deliveries._routes(None) as routes, app.deliveries._drain(routes) as drain:
        app.deliveries._round(drain, routes)
        post.sql("app", "drop table books")
        post.change({3: "three"})
        app.deliveries._round(drain, routes)
        post.now += 400
        app.deliveries._round(drain, routes)
    assert post.received() == {3: "three"}


def test_two_dispatchers_write_each_record_once(post: Post) -> None:
    """The offset is compared before it is set."""
    with post.open() as one:
        messages = one.tracking.messages
        known = one.tracking.subscriptions.get(HERE)
        post.dispatch()
        with one.deliveries._routes(None) as routes, pytest.raises(LostClaimError):
            messages.dispatch(routes[HERE].wanted, known, [], 1, lambda _: None)
