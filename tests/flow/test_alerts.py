"""What the people of `notify:` are told by e-mail: each change once, whatever becomes of the mail server or of us."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.app import App, deliveries
from postroad.catalog.deliveries import subscription_status
from postroad.cli import checking, show
from postroad.engine.alerts import run_ended
from postroad.errors import AuthError, RemoteError, StateError, TransientError
from postroad.project import Allowance, Delivery, Sync
from postroad.records import Entity, Feed, Outcome, Package
from postroad.telemetry import Point
from tests.flow.harness import Side, Trap, World
from tests.flow.post import HERE, THERE, Post
from tests.flow.toy import BOOKS, ToySource, ToyWorld
from tests.inbox import US, Inbox, free_port, inbox

POINTS = {Point.MAIL_MADE, Point.MAIL_ANSWERED}
DEAD = RemoteError("the library is closed")
FAILED, WELL = "[postroad toy] toy.changes failed", "[postroad toy] toy.changes succeeds again"
RULE = Sync("toy", ("books",), Allowance(rows=2))


@pytest.fixture(scope="module")
def _server() -> Iterator[Inbox]:
    with inbox() as found:
        yield found


@pytest.fixture
def server(_server: Inbox) -> Inbox:
    """An empty inbox whose server takes everything."""
    _server.received, _server.rcpt, _server.data, _server.silent = [], {}, [], 0
    return _server


@pytest.fixture(scope="module")
def stock(_server: Inbox, tmp_path_factory: pytest.TempPathFactory) -> ToyWorld:
    """Eight books, synced once; nothing to tell."""
    world = ToyWorld(tmp_path_factory.mktemp("stock"), rule=RULE, notify=_server.notify())
    for number in range(8):
        world.toy.put(number, text=f"book {number}", tell=False)
    assert world.sync().exit_code == 0
    assert _server.received == []
    return world


@pytest.fixture
def world(stock: ToyWorld, server: Inbox, tmp_path: Path) -> ToyWorld:
    """The same, of this test's own."""
    return copied(stock, tmp_path)


def copied(stock: ToyWorld, folder: Path) -> ToyWorld:
    shutil.copytree(stock.folder, folder, dirs_exist_ok=True)
    return replace(stock, folder=folder, toy=deepcopy(stock.toy), said=[])


def fails(world: ToyWorld, trap: Trap | None = None) -> Any:
    world.toy.fault = DEAD
    return world.sync(trap)


def succeeds(world: ToyWorld) -> Any:
    world.toy.fault = None
    return world.sync()


def unsent(world: ToyWorld) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.do(lambda app: app.alerts.unsent())
    return found


def test_a_failing_feed_is_told_when_it_begins_once_a_day_and_when_it_recovers(world: ToyWorld, server: Inbox) -> None:
    for _ in range(3):
        assert fails(world).exit_code == 1
        world.now += 3600
    assert server.subjects == [FAILED]
    world.now += 22 * 3600
    fails(world)
    fails(world)
    assert server.subjects == [FAILED, "[postroad toy] still: toy.changes failed"]
    assert succeeds(world).exit_code == 0
    assert succeeds(world).exit_code == 0
    assert server.subjects[2:] == [WELL]
    begun, still, over = (text.replace("\r\n", "\n") for text in server.texts)
    assert "\nsince: 2026-09-21 " in begun
    assert "\nwhy:   the library is closed\n" in begun
    assert "\nlost:  nothing" in begun
    assert "\nlook:  postroad status toy\n" in begun
    since = next(line for line in begun.splitlines() if line.startswith("since:"))
    assert since in still
    assert f"{since} until 2026-09-22 " in over


@pytest.mark.parametrize("sides", [(point, side) for point in (*sorted(POINTS), Point.RUN_ENDED) for side in Side])
def test_a_kill_anywhere_loses_no_alert(world: ToyWorld, server: Inbox, sides: tuple[Point, Side]) -> None:
    """The run that follows ends well: what failed before is told all the same, and told once."""
    point, side = sides
    trap = Trap(point, side=side)
    assert fails(world, trap) is None
    assert trap.fired
    succeeds(world)
    told = " ".join(subject for subject in dict(zip(server.ids, server.subjects, strict=True)).values())
    never_ended = (point, side) == (Point.RUN_ENDED, Side.BEFORE)  # the run is lost, and its successor ends well
    assert told.count("toy.changes failed") == (0 if never_ended else 1)
    assert all(text.count("toy.changes succeeds again") <= 1 for text in server.texts)
    assert unsent(world) == []


def test_a_process_that_dies_again_and_again_is_told_of_by_the_next(world: ToyWorld, server: Inbox) -> None:
    """Which sends it before it dies itself; one death may be a restart of the machine."""
    assert world.sync(Trap(Point.HEAD_REACHED)) is None
    assert world.sync(Trap(Point.HEAD_REACHED)) is None
    assert server.subjects == []
    assert world.sync(Trap(Point.HEAD_REACHED)) is None
    assert world.sync(Trap(Point.HEAD_REACHED)) is None
    assert server.subjects == ["[postroad toy] toy.changes: its process died, twice in a row"]
    world.sync()
    world.sync(Trap(Point.HEAD_REACHED))
    world.sync()
    assert server.subjects[1:] == [WELL]


def test_a_mail_whose_answer_we_lost_is_sent_again_under_its_message_id(world: ToyWorld, server: Inbox) -> None:
    fails(world, Trap(Point.MAIL_ANSWERED, side=Side.BEFORE))
    assert len(server.ids) == 1
    fails(world)
    assert len(server.ids) == 2
    assert len(set(server.ids)) == 1
    first, second = (message.as_bytes() for _, message in server.received)
    assert first == second
    fails(world)
    assert len(server.ids) == 2


def test_a_dead_server_neither_loses_nor_doubles(world: ToyWorld, server: Inbox) -> None:
    world.notify = replace(server.notify(), server=replace(server.notify().server, port=free_port()))
    began = time.monotonic()
    assert fails(world).exit_code == 1
    assert succeeds(world).exit_code == 0
    assert time.monotonic() - began < 5
    assert any("Connection refused" in said for said in world.said)
    waiting = unsent(world)
    assert [each["subject"] for each in waiting] == ["toy.changes failed", "toy.changes succeeds again"]
    assert "Connection refused" in waiting[0]["unsent"][US]
    world.notify = server.notify()
    for _ in range(2):
        world.do(lambda app: app.datasets.reset_state("toy.books"))
    assert server.subjects == [FAILED, WELL]
    assert unsent(world) == []


def test_a_server_that_says_451_and_then_250(world: ToyWorld, server: Inbox) -> None:
    server.rcpt[US] = ["451 4.7.1 greylisted, try again"]
    fails(world)
    assert server.received == []
    assert unsent(world)[0]["unsent"] == {US: "451 4.7.1 greylisted, try again"}
    server.data = ["451 4.3.0 not now"]
    fails(world)
    assert server.received == []
    for _ in range(2):
        fails(world)
    assert server.subjects == [FAILED]


def test_two_who_send_at_once_send_once(world: ToyWorld, server: Inbox) -> None:
    world.notify = replace(server.notify(), server=replace(server.notify().server, port=free_port()))
    fails(world)
    world.notify = server.notify()

    def beside(app: App) -> None:
        with app.tracking.leases.hold("mail"):
            world.do(lambda other: other.alerts.deliver())
            assert server.received == []

    world.do(beside)
    world.do(lambda app: app.alerts.deliver())
    assert server.subjects == [FAILED]


def test_who_slept_through_his_turn_sends_no_more(world: ToyWorld, server: Inbox) -> None:
    """Somebody else sends the rest; no mail twice."""
    world.notify = replace(server.notify(), server=replace(server.notify().server, port=free_port()))
    fails(world)
    succeeds(world)
    world.notify = server.notify()

    def taken_over() -> None:
        with sqlite3.connect(world.folder / "postroad.db") as books:
            books.execute("delete from leases where name = 'mail'")

    server.then = taken_over
    world.do(lambda app: app.alerts.deliver())
    assert server.subjects == [FAILED]
    world.do(lambda app: app.alerts.deliver())
    assert server.subjects == [FAILED, WELL]


def test_status_and_check_say_what_is_unsent_and_why(world: ToyWorld, server: Inbox) -> None:
    (ok,) = world.do(lambda app: list(checking._alerts(app)))
    assert (ok.ok, ok.sentence) == (True, f"to {US}; all are sent")
    server.rcpt[US] = ["550 5.1.1 no such user"]
    fails(world)
    (failed,) = world.do(lambda app: list(checking._alerts(app)))
    (told,) = unsent(world)
    assert not failed.ok
    assert failed.sentence == show.unsent(told)
    assert show.unsent(told).endswith(f" UTC is not sent (toy.changes failed): {US}: 550 5.1.1 no such user")
    world.notify = server.notify(US, "boss@acme.example")
    fails(world)
    (refused,) = unsent(world)
    assert show.unsent(refused).startswith(f"alerts are refused: {US}: 550 5.1.1 no such user; correct notify.to")
    (tried,) = world.do(lambda app: list(app.alerts.check()))
    assert tried.ok


def test_a_parked_close_asks_a_person(world: ToyWorld, server: Inbox) -> None:
    for number in range(5):
        world.toy.drop(number, tell=False)
    world.sync(full_refresh=True)
    world.sync()
    assert server.subjects == ["[postroad toy] toy.books: a close is parked"]
    assert "toy.books: it would delete 5 of 8 rows; max_deletes allows 2" in server.texts[0]
    assert "postroad rejected retry toy.books --stage guard" in server.texts[0]
    world.do(lambda app: app.rejections.retry("toy.books", "guard"))
    assert server.subjects[1:] == ["[postroad toy] toy: no close waits for a person any more"]


def test_columns_that_vanish_and_appear(world: ToyWorld, server: Inbox) -> None:
    world.toy.absent = ("extra",)
    world.toy.put(1, text="changed")
    for _ in range(2):
        world.sync()
        world.now += 90_000
    assert server.subjects == ["[postroad toy] toy.books: columns are not sent any more"]
    assert "what:  toy.books: extra" in server.texts[0]
    world.toy.absent = ()
    world.toy.declared = replace(BOOKS, schema=pa.schema([*BOOKS.schema, ("colour", pa.string())]))
    world.toy.put(1, text="again", extra="e")
    for _ in range(3):
        world.sync()
    told = " ".join(server.texts[1:])
    assert told.count("toy.books: 1 column added") == 1
    assert "what:  colour" in told
    assert told.count("toy: every column is sent again") == 1


def test_an_entity_that_nobody_runs_is_told_of(tmp_path: Path, server: Inbox) -> None:
    """By whoever runs another one; a failure that is told already is not told twice."""
    world = ToyWorld(tmp_path, rule=replace(RULE, entities=("books", "shelves"), stale_after=7200.0),
                     notify=server.notify())  # fmt: skip
    world.toy.put(1)
    world.sync()
    world.now += 7300
    world.sync(select="toy.books")
    world.sync(select="toy.books")
    assert server.subjects == ["[postroad toy] toy.shelves: not in step for too long"]
    assert "toy.shelves: it was not looked at since 2026-09-21 " in server.texts[0]
    world.sync()
    assert server.subjects[1:] == ["[postroad toy] toy: no entity is out of step for too long any more"]
    fails(world)
    world.now += 7300
    fails(world)
    assert len(server.subjects) == 3
    assert server.subjects[2].startswith("[postroad toy] toy.changes failed, and 2 more")


def test_a_walk_that_failed_once_hides_no_standstill(
    tmp_path: Path, server: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never began and nothing asks for it again, so its failure says nothing of the days after."""
    world = ToyWorld(tmp_path, rule=replace(RULE, entities=("books", "shelves"), stale_after=7200.0),
                     notify=server.notify())  # fmt: skip
    world.toy.put(1)
    world.sync()

    def unknown(_source: ToySource, _feed: Feed) -> str:
        raise DEAD

    with monkeypatch.context() as patch:
        patch.setattr(ToySource, "forecast", unknown)
        world.sync(select="toy.books", full_refresh=True)
    world.sync(select="toy.books")
    assert server.subjects == ["[postroad toy] toy.books failed"]
    world.now += 7300
    world.sync(select="toy.shelves")
    assert server.subjects[1:] == ["[postroad toy] toy.books: not in step for too long"]


def test_rejected_rows_are_counted_and_never_shown(tmp_path: Path, server: Inbox) -> None:
    with World(tmp_path) as world:
        world.project = replace(world.project, notify=server.notify())
        new = min(world.sim.rows())
        world.sim.update(new, workingHours="unspeakable")
        world.sync()
        world.sync()
        assert server.subjects == ["[postroad rehearsal] xledger.timesheets: 1 row rejected"]
        (text,) = server.texts
        assert "xledger.timesheets: 1 bad_decimal" in text
        assert "postroad rejected list" in text
        for secret in ("unspeakable", str(new), world.sim.token):
            assert secret not in text
        world.sim.update(new, workingHours="4.00")
        world.sync()
        assert server.subjects[1:] == ["[postroad rehearsal] xledger: no row is rejected any more"]


def test_another_tenant_is_told_of(tmp_path: Path, server: Inbox) -> None:
    with World(tmp_path) as world:
        world.project = replace(world.project, notify=server.notify())
        world.sync()
        world.sim.swap_tenant(seed=2)
        world.sync()
        (subject,) = server.subjects
        assert subject == "[postroad rehearsal] xledger: another tenant or endpoint than before"
        assert "a full refresh begins" in server.texts[0]


def test_entities_that_fail_alone_make_a_partial_success() -> None:
    entities = tuple(Entity(name, ("id",), pa.schema([])) for name in ("a", "b", "c"))
    feed = Feed("changes", entities, "changes")
    failed = {"b": RemoteError("no right to it\r\nBcc: x"), "a": RemoteError("gone")}
    alert = run_ended("erp", feed, "partly_succeeded", "…", failed, None)
    assert alert is not None
    assert (alert.state, alert.subject) == ("partly: a, b", "erp.changes partly succeeded, failed: a, b")
    assert alert.text.splitlines()[:2] == ["why:   a: gone", "       b: no right to it  Bcc: x"]
    assert "the others succeeded" in alert.text
    stopped = run_ended("erp", feed, "cancelled", "by a person", failed, None)
    assert stopped is None


def test_nobody_is_told_without_notify(tmp_path: Path) -> None:
    world = ToyWorld(tmp_path, rule=RULE)
    fails(world)
    succeeds(world)
    assert world.do(lambda app: app.tracking.alerts.left()) is False
    assert unsent(world) == []


def changes_of_state(world: ToyWorld) -> list[str]:
    """By the runs that came to their end."""
    ended = [run["status"] for run in world.do(lambda app: app.runs.list(1000)) if run["feed"] == "changes"]
    states = ["succeeded", *(status for status in reversed(ended) if status in ("succeeded", "failed"))]
    told = {"failed": "toy.changes failed", "succeeded": "toy.changes succeeds again"}
    return [told[state] for before, state in pairwise(states) if state != before]


FATES = ("well", "down", "451", "no", "killed before", "killed after", "killed making")


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(FATES)), min_size=1, max_size=5))
def test_any_history_is_told_change_by_change(
    stock: ToyWorld, tmp_path_factory: pytest.TempPathFactory, server: Inbox, history: list[tuple[bool, str]]
) -> None:
    """One alert for each change of state, none in two mails; the same mail again only after a kill."""
    server.received, server.rcpt, server.data = [], {}, []
    world = copied(stock, tmp_path_factory.mktemp("history"))
    kills = 0
    for fail, fate in history:
        server.rcpt = {US: ["451 later"]} if fate == "451" else {US: ["550 no"]} if fate == "no" else {}
        port = free_port() if fate == "down" else server.port
        world.notify = replace(server.notify(), server=replace(server.notify().server, port=port))
        side = Side.BEFORE if fate == "killed before" else Side.AFTER
        point = Point.MAIL_MADE if fate == "killed making" else Point.MAIL_ANSWERED
        trap = Trap(point, side=side) if fate.startswith("killed") else None
        world.toy.fault = DEAD if fail else None
        world.sync(trap)
        kills += trap is not None and trap.fired
    server.rcpt, world.notify = {}, server.notify()
    world.now += 25 * 3600  # whoever refused us is asked again
    world.do(lambda app: app.alerts.deliver())
    expected = changes_of_state(world)
    told = dict(zip(server.ids, server.texts, strict=True))
    found = [line for text in told.values() for line in text.splitlines() if line.startswith("toy.changes ")]
    assert sorted(found) == sorted(expected)
    assert len(server.ids) - len(told) <= kills
    assert unsent(world) == []


# Deliveries


def delivers(post: Post) -> None:
    """As `postroad run` and `postroad worker` do it."""

    def work(app: App) -> None:
        with app.alerts.told():
            app.deliveries.deliver()

    post.do(work)


def _refuses(_: Package) -> None:
    raise AuthError("the receiver wants another password")


def _rejects(package: Package) -> list[Outcome]:
    return [Outcome(range(package.records), "rejected", "refused", "no such customer")]


def test_a_receiver_that_refuses_us_is_told_once_and_when_it_is_well_again(server: Inbox, tmp_path: Path) -> None:
    post = Post(tmp_path, notify=server.notify())
    post.change({1: "a"})
    post.faults["app"] = _refuses
    for _ in range(2):
        delivers(post)
    assert server.subjects == ["[postroad post] app.books: the receiver refuses us"]
    assert "postroad resume app.books" in server.texts[0]
    post.settle()
    delivers(post)
    assert server.subjects[1:] == ["[postroad post] app.books gets what is new again"]
    post.assert_law()


def test_a_person_who_paused_a_delivery_is_not_told_of_it(server: Inbox, tmp_path: Path) -> None:
    post = Post(tmp_path, notify=server.notify())
    post.change({1: "a"})
    delivers(post)
    post.do(lambda app: app.deliveries.pause("app.books"))
    post.change({1: "b"})
    post.now += 3 * 86_400
    delivers(post)
    assert server.subjects == []


def test_rejected_records_are_told_without_what_they_hold(server: Inbox, tmp_path: Path) -> None:
    post = Post(tmp_path, notify=server.notify())
    post.change({1: "secret text", 2: "b"})
    post.faults["app"] = _rejects
    for _ in range(2):
        delivers(post)
    assert server.subjects == ["[postroad post] app.books: 2 records rejected"]
    assert "2 refused" in server.texts[0]
    assert "secret text" not in server.texts[0] + "".join(server.texts)
    post.faults.clear()
    post.change({1: "c", 2: "d"})
    delivers(post)
    assert server.subjects[1:] == ["[postroad post] app.books: no record is rejected any more"]


def test_a_delivery_that_cannot_be_looked_at_hides_no_other(
    server: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post(tmp_path, (Delivery("toy.books", THERE), Delivery("toy.books", HERE)), notify=server.notify())
    post.change({1: "a"})
    post.faults["app"] = _rejects

    def one_is_damaged(tracking: Any, dataset: Any, delivery: Delivery) -> Any:
        if delivery.to == THERE:
            raise StateError("its log cannot be read")
        return subscription_status(tracking, dataset, delivery)

    monkeypatch.setattr(deliveries, subscription_status.__name__, one_is_damaged)
    delivers(post)
    assert server.subjects == ["[postroad post] app.books: 1 record rejected"]


def test_what_waits_for_too_long_is_told(server: Inbox, tmp_path: Path) -> None:
    post = Post(tmp_path, notify=server.notify())
    post.change({1: "a"})
    post.faults["app"] = _dead
    delivers(post)
    assert server.subjects == []
    post.now += 2 * 86_400
    delivers(post)
    assert server.subjects == ["[postroad post] app.books: 1 record not delivered for too long"]
    post.settle()
    delivers(post)
    assert server.subjects[1:] == ["[postroad post] app.books gets what is new again"]


def _dead(_: Package) -> None:
    raise TransientError("nobody answers")
