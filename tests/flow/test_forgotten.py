"""What tracking forgets is kept in audit files: a trace says the same before and after, whatever was killed between."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.engine import forget
from postroad.errors import TransientError
from postroad.project import Delivery
from postroad.telemetry import Point
from postroad.tracking import audit
from tests.flow.doomed import LEASES_ARE_OVER, Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import Counted, failing, refusing
from tests.flow.test_delivery_commands import company, shell
from tests.flow.test_late import Beside
from tests.shell import Shell

__all__ = ["company", "shell"]  # fixtures
MONTH = 32 * 86_400.0
KEYS = range(6)


def told(post: Post, keys: Sequence[int] = KEYS) -> dict[int, Any]:
    """What a trace says of every key, in every version."""

    def ask(app: Any) -> dict[int, Any]:
        return {key: app.tracing.trace("toy.books", str(key), versions=100).as_dict() for key in keys}

    found: dict[int, Any] = post.do(ask)
    return found


def forgotten(post: Post) -> None:
    """A month later tracking knows nothing any more."""
    post.now += MONTH
    post.deliver()
    assert [post.look(f"select count(*) from {each}") for each in ("messages", "moves", "rejections")] == [[(0,)]] * 3


def kept(post: Post, columns: str = "*") -> list[Any]:
    """The audit files as DuckDB reads them, past all of our code."""
    files = f"{post.folder}/lake/audit/messages/*.parquet"
    with duckdb.connect() as database:
        return database.execute(f"select {columns} from read_parquet('{files}') order by id").fetchall()


@pytest.fixture
def post(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Six books that arrived but one, which was refused, mended and sent again."""
    small_messages(monkeypatch)
    post = Post(folder)
    post.change({number: f"book {number}" for number in range(6)})
    post.faults["app"] = refusing("book 4")
    post.deliver()
    post.change({4: "mended", 1: None})
    post.deliver()
    assert not post.rejected()
    return post


def test_a_trace_says_the_same_when_tracking_has_forgotten(post: Post) -> None:
    before = told(post)
    assert {each["status"] for trace in before.values() for version in trace["versions"]
            for each in version["deliveries"]} == {"acknowledged", "discarded"}  # fmt: skip
    assert [row["cause"] for row in before[4]["rejections"]] == ["refused"]
    forgotten(post)
    assert told(post) == before
    post.change({4: "later"})
    post.deliver()
    (newest, *older) = told(post)[4]["versions"]
    assert newest["deliveries"][0]["status"] == "acknowledged"
    assert older == before[4]["versions"]


def test_everything_that_was_said_is_in_the_file(post: Post) -> None:
    moves = post.look("select message, before, after, reason, actor, attempt, moved_at from moves order by id")
    rows = post.look(
        "select id, subscription, number, parent, slices, status, reason, attempts, settled_at "
        "from messages order by id"
    )
    rejections = post.look(
        "select id, payload, key, version, cause, sentence, status, reason, closed_at from rejections"
    )
    forgotten(post)
    names = "id, subscription, number, parent, slices, status, reason, attempts, epoch_us(settled_at)"
    found = [(*row[:4], [list(each.values())[:4] for each in row[4]], *row[5:]) for row in kept(post, names)]
    assert found == [(*row[:4], json.loads(row[4]), *row[5:]) for row in rows]
    assert {each for (each,) in kept(post, "dataset")} == {"toy.books"}
    moved = "unnest(moves).before, unnest(moves).after, unnest(moves).reason, unnest(moves).actor"
    moved += ", unnest(moves).attempt, epoch_us(unnest(moves).moved_at)"
    assert sorted(kept(post, f"id, {moved}"), key=str) == sorted(moves, key=str)
    closed = ["key", "version", "cause", "sentence", "status", "reason"]
    said = ", ".join(f"unnest(rejections).{each}" for each in closed)
    said = f"unnest(rejections).id, id, {said}, epoch_us(unnest(rejections).closed_at)"
    assert kept(post, said) == rejections


def test_a_day_makes_one_file(post: Post) -> None:
    """A message is forgotten once the day on which it was settled is over, and has been for so long."""
    for hour in range(4):
        post.now += 3600.0
        post.change({hour: f"hour {hour}"})
        post.deliver()
    post.now += 30 * 86_400.0
    for _ in range(3):
        post.now += 3600.0 * 6
        post.change({1: f"{post.now}"})
        post.deliver()
    days = {f"{at:%Y%m%d}" for (at,) in kept(post, "settled_at")}
    assert (len(_files(post)), len(days)) == (1, 1)
    assert post.look("select count(*) from messages") == [(3,)]
    assert post.do(lambda app: (app.datasets.litter(), app.datasets.missing())) == ([], [])


def test_what_a_subscription_began_with_is_told_when_its_files_are_gone(post: Post) -> None:
    """They left the table, and were deleted: all messages of such rows say the same, but for what was refused."""
    post.change(dict.fromkeys(range(6), "all new"))
    post.deliver()
    paths = {path for (slices,) in post.look("select slices from messages") for path, *_ in json.loads(slices)}
    for path in paths:
        if path.startswith("tables/"):
            (post.folder / "lake" / path).unlink()
    before = told(post)
    oldest = [before[key]["versions"][-1]["deliveries"][0] for key in KEYS]
    assert [each["status"] for each in oldest] == ["acknowledged"] * 4 + ["discarded", "acknowledged"]
    assert oldest[0]["sentence"] == "in one of messages 1-2, none of which says otherwise"
    forgotten(post)
    assert told(post) == before


def test_an_audit_file_that_is_gone_is_told(post: Post) -> None:
    forgotten(post)
    (path,) = _files(post)
    path.unlink()
    name = path.relative_to(post.folder / "lake").as_posix()
    assert post.do(lambda app: app.datasets.missing()) == [name]
    (answer,) = {each["sentence"] for each in told(post)[4]["versions"][0]["deliveries"]}
    assert name in answer


@pytest.mark.parametrize("point", [Point.AUDIT_FILE, Point.MESSAGES_DROPPED])
@pytest.mark.parametrize("side", Side)
def test_a_kill_loses_nothing_and_tells_nothing_twice(
    post: Post, monkeypatch: pytest.MonkeyPatch, point: Point, side: Side
) -> None:
    """At each transaction of an export of several: some are here, some there, some in both."""
    monkeypatch.setattr(audit, "AT_ONCE", 2)
    before = told(post, [1, 4])
    post.now += MONTH
    for nth in range(1, 10):
        trap = Trap(point, nth, side)
        post.deliver(trap)
        assert told(post, [1, 4]) == before, nth
        assert post.do(lambda app: app.datasets.missing()) == []
        if not trap.fired:
            break
    assert nth > 1
    assert post.look("select count(*) from messages") == [(0,)]


@pytest.mark.parametrize("point", [Point.AUDIT_FILE, Point.MESSAGES_DROPPED, Point.LEASE_ENDED])
def test_two_that_export_the_same_tell_it_once(post: Post, point: Point) -> None:
    """One sleeps through its lease, before its file is there, or before it is listed, or later."""
    before = told(post, [1, 4])
    post.now += MONTH

    def meanwhile() -> None:
        post.now += LEASES_ARE_OVER
        post.deliver()

    moments = [False] * 2 + [True] if point is Point.LEASE_ENDED else [True]
    post.deliver(Beside(moments, meanwhile, [point]))
    assert told(post, [1, 4]) == before
    assert post.look("select count(*) from messages") == [(0,)]
    assert post.do(lambda app: app.datasets.missing()) == []


def test_few_files_and_few_rows_of_them_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those whose versions may be the one that is asked for."""
    small_messages(monkeypatch, 1)
    monkeypatch.setattr(forget, "MOST", 2)
    post = Post(folder, (Delivery("toy.books", HERE, "beginning"),))
    for number in range(8):
        post.change({number % 6: f"{number}"})
    post.deliver()
    forgotten(post)
    assert len(_files(post)) == 4
    opened: list[str] = []
    with post.open() as app:
        disk, found = app.lake.disk, app.lake.disk.open

        def noted(name: str) -> Any:
            opened.append(name)
            return found(name)

        monkeypatch.setattr(disk, "open", noted)
        trace = app.tracing.trace("toy.books", "3", versions=1)
    assert trace.versions[0].deliveries[0].status == "acknowledged"
    assert len([name for name in opened if name.startswith("audit/")]) == 1


# Any history

changed = st.dictionaries(st.sampled_from(KEYS), st.none() | st.sampled_from("abc"), min_size=1, max_size=5)
traps = st.builds(
    Trap, st.sampled_from([Point.AUDIT_FILE, Point.MESSAGES_DROPPED]), st.integers(1, 3), st.sampled_from(Side)
)
steps = st.one_of(
    st.builds(lambda rows: lambda post: post.change(rows), changed),
    st.builds(lambda rows: lambda post: (post.change(rows), post.deliver()), changed),
    st.builds(lambda word: lambda post: post.faults.update(app=refusing(word)), st.sampled_from("abc")),
    st.just(lambda post: post.faults.update(app=failing(TransientError("down")))),
    st.just(lambda post: post.faults.clear()),
    st.just(lambda post: post.do(_retry)),
    st.builds(lambda days: lambda post: _wait(post, days), st.sampled_from([1, 5, 20])),
)


def _retry(app: Any) -> None:
    if app.tracking.subscriptions.get(HERE) is not None:
        app.rejections.retry(HERE, "deliver")


def _wait(post: Post, days: int) -> None:
    post.now += days * 86_400.0
    post.deliver()


@settings(max_examples=4, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=4, max_size=10), traps)
def test_any_history_is_told_alike_before_and_after(history: list[Callable[[Post], Any]], trap: Trap) -> None:
    """Refusals, outages, halves, an expiry, retries; the export is killed on its way."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        patch.setattr(audit, "AT_ONCE", 2)
        post = Post(folder, (Delivery("toy.books", HERE, max_lag=14 * 86_400.0),))
        post.change(dict.fromkeys(range(5), "a"))
        for step in history:
            step(post)
        post.settle()
        post.do(_retry)
        before = told(post)
        post.now += MONTH
        post.deliver(trap)
        assert told(post) == before
        forgotten(post)
        assert told(post) == before


# As a person sees it


def test_what_a_person_sees_a_month_later(shell: Shell, company: XledgerSimulator) -> None:
    """Time passes by the books; `run` exports, `trace` tells, `check` knows the file."""
    shell("run")
    key = str(min(company.rows()))
    before = shell.json("trace", "xledger.timesheets", key)
    line = next(each for each in shell("trace", "xledger.timesheets", key).splitlines() if "  to " in each)
    with closing(sqlite3.connect(shell.folder / "postroad.db")) as database, database:
        database.execute(f"update messages set settled_at = settled_at - {int(MONTH * 1e6)}")
    shell("run")
    with closing(sqlite3.connect(shell.folder / "postroad.db")) as database:
        assert database.execute("select count(*) from messages").fetchone() == (0,)
    after = shell.json("trace", "xledger.timesheets", key)
    there = after["versions"][0]["deliveries"][0]
    assert {**there, "at": None} == {**before["versions"][0]["deliveries"][0], "at": None}
    assert there["status"] == "acknowledged"
    assert line.partition(", 20")[0] in shell("trace", "xledger.timesheets", key)
    assert "listed files all there ok litter none" in " ".join(shell("check").split())


def _files(post: Post) -> list[Path]:
    return sorted((post.folder / "lake" / "audit" / "messages").glob("*.parquet"))


def test_a_file_for_each_hundred_thousand(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """And as many transactions as have a thousand messages each."""
    monkeypatch.setattr(forget, "MOST", 2)
    count = post.look("select count(*) from messages")[0][0]
    post.now += MONTH
    counted = Counted()
    post.deliver(counted)
    files = -(-count // 2)
    assert (counted.counts[Point.AUDIT_FILE], counted.counts[Point.MESSAGES_DROPPED]) == (files, files)
    assert len({row[0] for row in kept(post, "id")}) == count
