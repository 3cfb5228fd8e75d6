"""Taking over what an earlier app read, over a socket: its files become the first load, its cursor our position."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from postroad.app import App
from postroad.app.runs import Report
from postroad.connectors.xledger.adopt import XledgerAdopter
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.engine.adopt import Wish
from postroad.engine.gather import Adoption, Gatherer
from postroad.errors import ConfigError
from postroad.sdk.connector import Tools
from postroad.telemetry import Point
from tests.flow.earlier_app import COLUMNS, LATER, EarlierApp
from tests.flow.harness import NAME, Side, Trap, World
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law, table_rows

P = Point
HOURS = "12345678901234567.89"  # more digits than a double holds


@pytest.fixture(params=[True, False], ids=["typed", "guessed"])
def earlier(request: pytest.FixtureRequest, world: World) -> EarlierApp:
    """The earlier app after a year of work: a full sync, and two files of changes, of which one changes all kinds."""
    return _worked(world, typed=request.param)


def _worked(world: World, **more: Any) -> EarlierApp:
    app = EarlierApp(world.sim, world.folder / "earlier", **more)
    app.full_sync()
    world.wait(hours=1)
    (gone, *_) = world.sim.delete(3)
    world.sim.mutate(3)
    app.sync_changes()
    world.wait(hours=1)
    world.sim.restore([gone])
    world.sim.mutate(4)
    (new, *_) = world.sim.add(3)
    world.sim.update(new, workingHours="1.25")
    app.sync_changes()
    world.wait(hours=1)
    return app


def adopt(world: World, app: EarlierApp, trap: Trap | None = None, **wish: Any) -> tuple[Report, Adoption] | None:
    """One `postroad adopt` with the app's cursor; None if it crashed."""
    wished = Wish(app.folder, **{"cursor": app.cursor, "taken_at": app.taken_at, **wish})
    done: tuple[Report, Adoption] | None = world.do(lambda opened: opened.runs.adopt(NAME, wished), trap)
    return done


def adopted(world: World, app: EarlierApp, **wish: Any) -> tuple[Report, Adoption]:
    """The same, which must not crash."""
    done = adopt(world, app, **wish)
    assert done is not None
    return done


def walked(world: World) -> int:
    """How many pages of a walk were asked for by us."""
    return len([each for each in world.asked("timesheets") if each["variables"].get("timesheets_ids") is None])


def test_the_next_run_goes_on_from_the_cursor(world: World, earlier: EarlierApp) -> None:
    """No page is walked again, and the table is exact; what changed since comes with one call."""
    pages = walked(world)
    report, adoption = adopted(world, earlier)
    assert report.exit_code == 0
    assert adoption.due is None
    assert len(adoption.files) == 3
    assert world.status().state == "in step"
    assert [name.partition("-")[0] for name in read_table(world.changes).members] == ["full_sync"]
    rows = table_rows(world)
    assert len({row["_version"] for row in rows}) == 1
    traced = world.do(lambda app: app.tracing.trace(NAME, str(rows[0]["dbId"])))
    assert traced.versions[0].origin.sentence.startswith("taken over from another program's files")
    world.sim.mutate(4)
    world.sim.delete(2)
    calls = len(world.sim.requests)
    world.sync()
    assert len(world.sim.requests) == calls + 1
    assert walked(world) == pages
    assert_law(world)


def test_an_app_that_had_seen_no_change_has_no_cursor(world: World) -> None:
    """Then all changes that are left come with the next poll."""
    earlier = EarlierApp(world.sim, world.folder / "earlier")
    earlier.full_sync()
    assert earlier.cursor is None
    world.sim.mutate(3)
    pages = walked(world)
    adopted(world, earlier, cursor="")
    world.sync()
    assert walked(world) == pages
    assert_law(world)


def test_a_cursor_that_is_too_old_makes_a_compared_full_refresh_due(world: World, earlier: EarlierApp) -> None:
    """It sees what was missed, deletions too, and writes only what differs."""
    missed = [*world.sim.mutate(2), *world.sim.delete(1), *world.sim.add(1)]
    world.wait(hours=61)
    _, adoption = adopted(world, earlier)
    assert adoption.due is not None
    assert "forgets changes after 3 days" in adoption.due
    assert world.status().state == "full refresh due"
    world.sync()
    assert_law(world)
    first, *later = read_table(world.changes).files()
    assert first.num_rows == 61
    assert {key for each in later for key in each.column("dbId").to_pylist()} == set(missed)


def test_a_cursor_that_was_said_to_be_younger_than_it_is_does_no_harm(world: World) -> None:
    """The server tells what it forgot, in each of the three ways that it may have."""
    earlier = _worked(world)
    world.sim.delete(2)
    world.wait(hours=100)
    world.sim.switch(expired_cursor="empty")
    world.sim.mutate(1)
    earlier._remember(earlier.cursor)
    _, adoption = adopted(world, earlier)
    assert adoption.due is None
    world.sync()
    assert_law(world)


def test_a_mistake_of_the_earlier_app_stays_until_a_full_refresh(world: World) -> None:
    """It takes a record that was deleted and restored between two of its runs for deleted (3.3, no. 6)."""
    earlier = _worked(world)
    gone = world.sim.delete(1)
    world.sim.restore(gone)
    earlier.sync_changes()
    adopted(world, earlier)
    world.sync()
    assert set(world.sim.rows()) - {row["dbId"] for row in table_rows(world)} == set(gone)
    world.sync(full_refresh=True)
    assert_law(world)


def test_columns_that_no_file_has_are_null_and_make_a_refresh_due(world: World) -> None:
    """They are null until then, and are told; who does not want the refresh says so."""
    earlier = _worked(world, columns=[name for name in COLUMNS if name not in LATER], typed=False)
    _, adoption = adopted(world, earlier)
    assert adoption.missing == sorted(name.replace(".", "_") for name in LATER)
    assert adoption.due == "the adopted files lack owner_ownerCode, timesheetStatus_name"
    assert {row["timesheetStatus_name"] for row in table_rows(world)} == {None}
    world.sync()
    assert_law(world)


def test_a_person_may_do_without_the_refresh(world: World) -> None:
    earlier = _worked(world, columns=[name for name in COLUMNS if name not in LATER])
    assert adopted(world, earlier, refresh=False)[1].due is None
    pages = walked(world)
    world.sync()
    assert walked(world) == pages
    world.sync(full_refresh=True)
    assert_law(world)


def test_money_in_floats_is_told_and_exact_again_after_a_full_refresh(world: World) -> None:
    """Fifteen digits survive; more do not, and the comparison puts them right."""
    key = min(world.sim.rows())
    world.sim.update(key, workingHours=HOURS)
    earlier = _worked(world)
    _, adoption = adopted(world, earlier)
    assert adoption.inexact == ["workingHours"]
    held = {row["dbId"]: row["workingHours"] for row in table_rows(world)}
    truth = {int(each): Decimal(node["workingHours"]) for each, node in world.sim.rows().items()}
    assert {each for each in truth if truth[each] != held[each]} == {key}
    assert held[key] == Decimal(12345678901234568), "the shortest text of the double"
    world.sync(full_refresh=True)
    assert_law(world)


@pytest.mark.parametrize("damage", ["empty", "cut short", "torn inside", "columns", "types"])
def test_a_damaged_file_is_refused_by_name_and_nothing_is_written(world: World, damage: str) -> None:
    """Without it the rest is adopted, and a full refresh brings what it held."""
    earlier = _worked(world)
    changes = max(earlier.folder.glob("sync_changes-*"))
    _damage(changes, damage)
    told, _ = _refusing(lambda: adopted(world, earlier))
    assert changes.name in told
    assert {"columns": "no column mutationType", "types": "column workingHours"}.get(damage, "cannot be read") in told
    assert read_table(world.changes).members == []
    assert world.books("SELECT * FROM payloads") == []
    changes.unlink()
    adopted(world, earlier)
    world.sync(full_refresh=True)
    assert_law(world)


def _damage(path: Path, damage: str) -> None:
    data = path.read_bytes()
    if damage in ("columns", "types"):
        rows = pq.read_table(path)
        wrong = rows.drop_columns(["workingHours"]).append_column("workingHours", pa.array([True] * rows.num_rows))
        pq.write_table(rows.drop_columns(["mutationType"]) if damage == "columns" else wrong, path)
        return
    start = data.index(b"dbId") if damage == "torn inside" else 0
    torn = data[:30] + b"\xff" * 200 + data[230:] if start or damage == "torn inside" else data[: len(data) // 2]
    path.write_bytes(b"" if damage == "empty" else torn)


def _refusing(work: Callable[[], tuple[Report, Adoption]]) -> tuple[str, int]:
    """What a person is told, and the exit code, which says that a person has to act."""
    try:
        report, _ = work()
    except ConfigError as error:
        return str(error), 2
    assert report.exit_code == 2, report
    return "; ".join(str(outcome.reason) for outcome in report.outcomes), 2


def test_the_newest_full_sync_counts_and_what_is_older_is_passed_by(world: World) -> None:
    earlier = _worked(world)
    world.wait(hours=1)
    world.sim.delete(3)  # after a reset the earlier app walks again, and never writes these deletions
    earlier.full_sync()
    (earlier.folder / "notes.txt").write_text("not ours")
    (earlier.folder / "full_sync-20200101_00_00_00-timesheets.parquet").write_bytes(b"")
    _, adoption = adopted(world, earlier)
    assert len(adoption.files) == 1
    assert adoption.due is None
    world.sync()
    assert_law(world)


def test_a_row_that_cannot_be_read_is_a_rejection_until_a_later_one_is(world: World) -> None:
    """The first bad row is answered by a later file; the second stays listed, and its key keeps its older row."""
    first, second, *_ = sorted(world.sim.rows())
    world.sim.update(first, workingHours="many")
    earlier = EarlierApp(world.sim, world.folder / "earlier", typed=False)
    earlier.full_sync()
    before = world.sim.rows()[second]["workingHours"]
    world.wait(seconds=5)
    world.sim.update(first, workingHours="7.50")
    world.sim.update(second, workingHours="few")
    earlier.sync_changes()
    report, _ = adopted(world, earlier)
    assert report.exit_code == 3
    (rejection,) = world.rejected()
    assert (rejection["key"], rejection["cause"]) == (f"[{second}]", "bad_decimal")
    shown = world.ask(lambda app: app.rejections.show(rejection["id"]))
    assert "few" in shown["raw"]
    assert shown["raw"].startswith("sync_changes-")
    held = {row["dbId"]: row["workingHours"] for row in table_rows(world)}
    assert (held[first], held[second]) == (Decimal("7.50"), Decimal(before))
    world.sim.update(second, workingHours="8.00")
    world.sync()
    assert not world.rejected()
    assert_law(world)


def test_a_dataset_with_data_is_left_alone(world: World, earlier: EarlierApp) -> None:
    world.sync()
    told, _ = _refusing(lambda: adopted(world, earlier))
    assert "has data already" in told
    assert "postroad state reset xledger.timesheets" in told
    assert_law(world)


def test_an_open_first_load_is_left_alone(world: World) -> None:
    earlier = _worked(world)
    world.sim.update(min(world.sim.rows()), workingHours="many")
    world.sync(limit=1)
    world.sim.update(min(world.sim.rows()), workingHours="7.50")
    earlier.sync_changes()
    assert len(world.rejected()) == 1
    told, _ = _refusing(lambda: adopted(world, earlier))
    assert "a walk of xledger.timesheets is open" in told
    world.do(lambda app: app.datasets.reset_state(NAME))
    assert adopted(world, earlier)[1].due is None
    assert world.rejected() == []
    assert world.status().state == "in step"
    world.sync()
    assert_law(world)


def test_changes_that_landed_before_the_adoption_do_not_come_over_it(world: World) -> None:
    """They landed in an earlier, dropped first load, and may be older than the adopted rows."""
    earlier = _worked(world)
    world.sync(limit=1)
    world.sim.mutate(5)
    world.sync(limit=1)
    world.do(lambda app: app.datasets.reset_state(NAME))
    world.sim.mutate(9)
    earlier.sync_changes()
    adopted(world, earlier)
    world.sync()
    assert_law(world)


def test_the_same_call_again_does_nothing_and_another_cursor_is_refused(world: World, earlier: EarlierApp) -> None:
    adopted(world, earlier)
    members = read_table(world.changes).members
    report, adoption = adopted(world, earlier)
    assert (report.exit_code, adoption.before) == (0, True)
    assert read_table(world.changes).members == members
    told, _ = _refusing(lambda: adopted(world, earlier, cursor="another"))
    assert "has data already" in told


def test_a_dry_run_writes_nothing_and_asks_nobody(world: World, earlier: EarlierApp) -> None:
    calls = len(world.sim.requests)
    report, adoption = adopted(world, earlier, dry_run=True)
    assert report.counts[NAME].new == 61
    assert (report.outcomes, adoption.due) == ([], None)
    assert not list(world.lake.rglob("*.*"))
    assert len(world.sim.requests) == calls


def test_files_of_something_else_are_refused_soon(world: World) -> None:
    """Thousands of rejections help nobody."""
    folder = world.folder / "earlier"
    folder.mkdir()
    columns = {"dbId": pa.array(["x"] * 10_001), "mutationType": pa.array(["ADDED"] * 10_001)}
    pq.write_table(pa.table(columns), folder / "full_sync-20260101_00_00_00-timesheets.parquet")
    moment = datetime.fromtimestamp(world.now, UTC)
    told, _ = _refusing(lambda: adopted(world, EarlierApp(world.sim, folder), cursor="c", taken_at=moment))
    assert "more than 10,000 rows cannot be read" in told
    assert not world.rejected()


def test_a_folder_without_a_full_sync_is_refused(world: World) -> None:
    earlier = _worked(world)
    for path in earlier.folder.glob("full_sync-*"):
        path.unlink()
    assert "holds no full_sync-" in _refusing(lambda: adopted(world, earlier))[0]
    shutil.rmtree(earlier.folder)
    assert "is no folder" in _refusing(lambda: adopted(world, earlier))[0]


# Every durable point

CRASHES = {
    P.RUN_CLAIMED, P.RUN_RENEWED, P.RUN_ENDED, P.BUDGET_TAKEN, P.PAYLOAD_FILE, P.PAYLOAD_ROW, P.REFRESH_DUE,
    P.LEASE_TAKEN, P.LEASE_ENDED, P.VERSION_TAKEN, P.CHANGES_FILE, P.REJECTED_FILE, P.REJECTED_ROWS, P.CHANGES_COMMIT,
    P.TABLE_FILE, P.TABLE_COMMIT,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, EarlierApp]]:
    """One simulator and one folder of files for all crashes; each has a project of its own."""
    with World(tmp_path_factory.mktemp("earlier"), timesheets=45) as world:
        world.sim.update(min(world.sim.rows()), workingHours="many")
        yield world, _worked(world, typed=False)


REPAIRED_BY_A_RUN = {P.PAYLOAD_ROW, P.REFRESH_DUE, P.CHANGES_COMMIT, P.TABLE_COMMIT}


@pytest.mark.parametrize("side", list(Side))
def test_every_point_is_crashed(tmp_path: Path, files: tuple[World, EarlierApp], side: Side) -> None:
    """Die at each point; then the same call again and a run: the law holds, nothing doubles, no page is walked."""
    world, earlier = files
    pages = walked(world)
    for point in sorted(CRASHES):
        _move_to(world, tmp_path / point.name)
        assert adopt(world, earlier, Trap(point, 1, side)) is None, point
        adopted(world, earlier)
        world.sync()
        assert_law(world)
        assert len(world.rejected()) == 1
    assert walked(world) == pages


@pytest.mark.parametrize("point", sorted(REPAIRED_BY_A_RUN))
@pytest.mark.parametrize("age", [0, 61], ids=["young", "expired"])
def test_a_run_mends_it_too(tmp_path: Path, files: tuple[World, EarlierApp], point: Point, age: int) -> None:
    """Before the commit by a first load, behind it as it would have been; with an old cursor by a full refresh."""
    world, earlier = files
    _move_to(world, tmp_path / "project")
    assert earlier.taken_at is not None
    taken_at = earlier.taken_at - timedelta(hours=age)
    assert adopt(world, earlier, Trap(point), taken_at=taken_at) is None
    world.sync()
    assert_law(world)
    assert len(world.rejected()) == 1


def _move_to(world: World, folder: Path) -> None:
    folder.mkdir()
    world.folder = folder
    world.project = world._project()
    world.spans.clear()


# The order of rows

kinds = st.sampled_from(["ADDED", "UPDATED", "DELETED"])
rows = st.lists(st.tuples(st.integers(1, 6), kinds, st.one_of(st.integers(0, 9), st.just("bad"))), max_size=8)


@hypothesis(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(rows, min_size=1, max_size=5))
def test_files_in_order_are_updates_of_a_dictionary(history: list[list[Any]], world: World) -> None:
    """A later row of a key wins, in a file too; a delete removes it; a bad row changes nothing and stays listed only
    while nothing later is said of its key.
    """
    expected: dict[int, int] = {}
    listed: dict[int, int] = {}
    folder = world.folder / "files"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, found in enumerate(history):
        kind = "sync_changes" if number else "full_sync"
        pq.write_table(_table(found), folder / f"{kind}-20260101_00_00_{number:02d}-timesheets.parquet")
        for key, mutation, value in found:
            if mutation == "DELETED":
                expected.pop(key, None)
                listed.pop(key, None)
            elif value == "bad":
                listed[key] = listed.get(key, 0) + 1
            else:
                expected[key] = value
                listed.pop(key, None)
    with world.open() as app:
        held, refused = _gathered(app, folder)
    assert held == expected
    assert refused == listed


def _table(found: list[Any]) -> pa.Table:
    keys, mutations, values = ([row[at] for row in found] for at in range(3))
    return pa.table(
        {
            "dbId": pa.array(keys, pa.int64()),
            "mutationType": pa.array(mutations, pa.string()),
            "workingHours": pa.array([str(value) for value in values], pa.string()),
        }
    )


def _gathered(app: App, folder: Path) -> tuple[dict[int, int], dict[int, int]]:
    tools = Tools(app.tracking.budget, lambda: 0.0)
    settings = app.project.connections["xledger"].settings
    assert isinstance(settings, XledgerSettings)
    adopter = XledgerAdopter(settings, tools)
    with app.bench("xledger") as bench:
        gatherer = Gatherer(bench, adopter, "timesheets", folder)
        with gatherer.rows() as stream:
            held = [row for each in stream for row in each.to_pylist()]
    refused = [int(str(each.key).strip("[]")) for each in gatherer.refused.values()]
    return {row["dbId"]: int(row["workingHours"]) for row in held}, {key: refused.count(key) for key in refused}
