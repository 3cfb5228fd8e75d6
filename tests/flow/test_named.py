"""The situations that the first issue names, each built on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError

from postroad.errors import BusyError, LostClaimError, StateError
from postroad.lake import Dataset, Hand
from postroad.lake.delta import FENCE
from postroad.project import Allowance
from postroad.telemetry import Point, Stage
from tests.flow.harness import LEASES_ARE_OVER, NAME, World, outcomes
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law, settle, table_rows


def _dataset(app: Any) -> Dataset:
    found: Dataset = app.all_datasets()[0]
    return found


def _commit_nothing(dataset: Dataset, version: int, hand: Hand, **positions: int) -> None:
    dataset.changes.commit(
        dataset.changes_schema, version, [], positions=positions, point=Point.CHANGES_COMMIT, check=hand.check
    )


def test_two_runs_at_once(world: World) -> None:
    """The second run of a feed finds it busy and touches nothing; the first one goes on undisturbed."""
    second: list[tuple[str, str]] = []

    def run() -> None:
        with world.open() as other:
            second.extend(outcomes(other.runs.start()))

    world.at_stage[Stage.LAND] = run
    first = world.sync()
    assert second == [("changes", "busy")]
    assert {status for _, status in outcomes(first)} == {"succeeded"}
    assert_law(world)


def test_two_writers(world: World) -> None:
    """Of two writers that looked at the same version one commits; the other is told and changes nothing."""
    world.sync()
    with world.open() as one, world.open() as two:
        ours, theirs = _dataset(one), _dataset(two)
        ours.open_for_writing()
        theirs.open_for_writing()
        version = (ours.changes.expected or 0) + 1
        _commit_nothing(ours, version, Hand("one", "1", lambda: None))
        with pytest.raises(StateError, match="somebody else wrote"):
            _commit_nothing(theirs, version + 1, Hand("two", "2", lambda: None))
    assert read_table(world.changes).actions[FENCE] == version
    settle(world)
    assert_law(world)


def test_the_lease_keeps_a_second_writer_waiting(world: World) -> None:
    """While a live process writes, nobody else takes the dataset's lease."""
    world.sync()
    with world.open() as one, world.open() as two, one.tracking.leases.hold(NAME), pytest.raises(BusyError):
        two.tracking.leases.take(NAME)


def test_a_zombie_writer_that_reopens_its_handle(world: World) -> None:
    """It sleeps past its lease, somebody else writes, it wakes and looks at the table anew: still refused."""
    world.sync()
    world.sim.mutate(3)
    with world.open() as zombie:
        lease = zombie.tracking.leases.take(NAME)
        hand = Hand("zombie", lease.token, lambda: zombie.tracking.leases.check(lease))
        world.wait(seconds=LEASES_ARE_OVER)
        world.sync()
        before = read_table(world.changes).history
        dataset = _dataset(zombie)
        dataset.open_for_writing()
        with pytest.raises(LostClaimError):
            _commit_nothing(dataset, (dataset.changes.expected or 0) + 1, hand)
    assert read_table(world.changes).history == before
    assert_law(world)


def test_a_stale_handle_that_commits_with_another_action(world: World) -> None:
    """delta-rs would rebase it silently; our fence sees that somebody wrote and refuses."""
    world.sync()
    with world.open() as app:
        stale = _dataset(app)
        stale.open_for_writing()
        world.sim.mutate(2)
        world.sync()
        before = read_table(world.changes).history
        with pytest.raises(StateError, match="somebody else wrote"):
            _commit_nothing(stale, world.books("select value from clock")[0][0] + 1, Hand("x", "x", lambda: None), q=1)
    assert read_table(world.changes).history == before
    assert_law(world)


def test_delta_rs_refuses_a_stale_handle_only_without_retries(world: World) -> None:
    """The canary of the fence: what `create_write_transaction` does with a handle that is behind."""
    world.sync()
    schema = DeltaTable(str(world.changes)).schema()
    stale = [DeltaTable(str(world.changes)) for _ in range(2)]
    world.sim.mutate(2)
    world.sync()
    action = [Transaction("other", 1)]
    with pytest.raises(CommitFailedError):
        stale[0].create_write_transaction(
            [], "append", schema, commit_properties=CommitProperties(max_commit_retries=0, app_transactions=action)
        )
    assert "other" not in read_table(world.changes).actions
    stale[1].create_write_transaction([], "append", schema, commit_properties=CommitProperties(app_transactions=action))
    assert read_table(world.changes).actions["other"] == 1


def test_a_version_never_goes_back(world: World) -> None:
    """A commit with an older version than the table's is refused, even through a fresh handle."""
    world.sync()
    with world.open() as app:
        dataset = _dataset(app)
        dataset.open_for_writing()
        with pytest.raises(StateError, match="never goes back"):
            _commit_nothing(dataset, (dataset.changes.expected or 0) - 1, Hand("x", "x", lambda: None))


def test_a_table_rebuilt_from_nothing(world: World) -> None:
    """A removed table is made again from `changes`, version by version the same."""
    world.sync()
    world.sim.mutate(5)
    world.sim.delete(3)
    world.sync()
    before = table_rows(world)
    shutil.rmtree(world.tables)
    world.sync()
    assert table_rows(world) == before
    assert_law(world)


@pytest.mark.parametrize("tables_too", [False, True])
@pytest.mark.parametrize("books_too", [False, True])
def test_a_history_rebuilt_from_nothing(world: World, tables_too: bool, books_too: bool) -> None:
    """A removed history is a first load anew, above every version that was ever shown; the clock does not matter."""
    world.frozen = True
    world.sim.switch(burst=None)
    world.sync()
    world.sim.delete(3)
    world.sync()
    highest = read_table(world.tables).actions[FENCE]
    shutil.rmtree(world.changes)
    if tables_too:
        shutil.rmtree(world.tables)
    if books_too:
        world.lose_tracking()
        world.now -= 0 if tables_too else 3600
    world.sim.mutate(4)
    world.sim.delete(2)
    world.frozen = False
    settle(world)
    assert_law(world)
    assert read_table(world.changes).members[0].startswith("full_sync-")
    if not (tables_too and books_too):
        assert min(row["_version"] for row in table_rows(world)) > highest


def test_a_full_refresh_cut_short_then_continued_then_a_second_one(world: World) -> None:
    """`--limit` leaves the walk open, `run` goes on with it; the second comparison emits the deletes nobody saw."""
    world.sync()
    world.sync(full_refresh=True, limit=1)
    assert world.status().state == "walk open"
    assert world.status().open_walk_pages == 1
    world.sync(full_refresh=True)
    assert world.books("select status from walks order by id") == [("closed",), ("closed",)]
    assert_law(world)
    gone = world.sim.delete(4)
    world.wait(hours=80)
    report = world.sync()
    assert report is not None
    assert report.counts[NAME].deleted == 4
    rows = read_table(world.changes).rows()
    assert {row["dbId"] for row in rows if row["_op"] == "delete"} == set(gone)
    assert_law(world)


def test_a_full_refresh_without_differences_writes_no_rows(world: World) -> None:
    """An unchanged row costs nobody anything."""
    world.sync()
    before = len(read_table(world.changes).rows())
    tables = read_table(world.tables).members
    report = world.sync(full_refresh=True)
    assert report is not None
    counts = report.counts[NAME]
    assert (counts.new, counts.changed, counts.deleted) == (0, 0, 0)
    assert len(read_table(world.changes).rows()) == before
    assert read_table(world.tables).members == tables
    assert_law(world)


@pytest.mark.parametrize("load", ["first", "second"])
def test_changes_landing_during_a_walk(world: World, load: str) -> None:
    """Rows of read and unread pages change, vanish and appear while the walk is on its way."""
    if load == "second":
        world.sync()
    keys = sorted(world.sim.rows())
    calls: list[tuple[str, dict[str, Any]]] = [
        ("update", {"db_id": keys[0], "workingHours": "1.50"}),
        ("update", {"db_id": keys[-1], "workingHours": "2.50"}),
        ("delete", {"which": [keys[1], keys[-2]]}),
        ("add", {"n": 2}),
        ("restore", {"db_ids": [keys[1]]}),
    ]
    for call, arguments in calls:
        world.sim.fault("script", root="timesheets", skip=2, when="after", call=call, arguments=arguments)
    world.sync(full_refresh=True)
    assert_law(world)
    settle(world)
    assert_law(world)


def test_a_snapshot_with_rejected_rows(world: World) -> None:
    """The rejected keep their previous row, or none in a first load; all others are exact; then all is well again."""
    old, *_, new = sorted(world.sim.rows())
    world.sim.update(new, delta=False, workingHours="much")
    report = world.sync()
    assert report is not None
    assert report.exit_code == 3
    assert new not in {row["dbId"] for row in table_rows(world)}
    assert_law(world)
    before = {row["dbId"]: row for row in table_rows(world)}[old]
    world.sim.update(old, delta=False, assignmentDate="2026-02-30")
    world.sync(full_refresh=True)
    assert {row["dbId"]: row for row in table_rows(world)}[old] == before
    assert world.status().rejected == {"bad_decimal": 1, "bad_date": 1}
    assert_law(world)
    for key in (old, new):
        world.sim.update(key, delta=False, workingHours="1.00", assignmentDate="2026-02-28")
    world.sync(full_refresh=True)
    assert world.rejected() == []
    assert_law(world)


def test_one_bad_value_in_a_page_of_10000(tmp_path: Path) -> None:
    """It costs one rejection with its key, cause and raw text, and none of the other 9,999 rows."""
    with World(tmp_path, timesheets=10_900, page_size=10_000) as world:
        keys = sorted(world.sim.rows())
        world.sim.update(keys[5_000], delta=False, workingHours="seven and a half")
        world.sync()
        first_page = [row for row in table_rows(world) if row["dbId"] <= keys[9_999]]
        assert len(first_page) == 9_999
        (rejection,) = world.rejected()
        assert rejection["key"] == f"[{keys[5_000]}]"
        raw = world.ask(lambda app: app.rejections.show(rejection["id"]))["raw"]
        assert "seven and a half" in raw
        assert_law(world)


def test_a_cursor_of_another_tenant(world: World) -> None:
    """A refreshed demo: no row of the old tenant stays, none of the new one is missing, no old cursor is used."""
    world.sync()
    old = set(world.sim.rows())
    world.sim.swap_tenant(seed=5, timesheets=40)
    world.sim.mutate(3)
    world.sync()
    assert any("another tenant" in sentence for sentence in world.said)
    assert not old & {row["dbId"] for row in table_rows(world)}
    settle(world)
    assert_law(world)


def test_changes_of_another_tenant_wait_for_its_walk(tmp_path: Path) -> None:
    """They land at once and are published only after the close; a parked close keeps them waiting."""
    with World(tmp_path, max_deletes=Allowance(rows=0, percent=0)) as world:
        world.sync()
        before = table_rows(world)
        world.sim.swap_tenant(seed=5, timesheets=40)
        world.sync()
        world.sim.mutate(3)
        world.sync()
        assert world.status().parked is not None
        assert table_rows(world) == before
        assert world.status().just_in == 1
        world.do(lambda app: app.rejections.retry(NAME, "guard"))
        settle(world)
        assert_law(world)


def test_two_syncs_in_one_second(world: World) -> None:
    """A clock that stands still does not make versions collide or go back."""
    world.frozen = True
    world.sim.switch(burst=None)
    for _ in range(3):
        world.sim.mutate(2)
        world.sim.delete(1)
        world.sync()
    versions = [positions[FENCE] for positions in read_table(world.changes).history]
    assert len(set(versions)) == len(versions)
    assert_law(world)


@pytest.mark.parametrize("point", [Point.PAYLOAD_ROW, Point.CHANGES_COMMIT, Point.CLOSE_MOVED, Point.CLOSE_DONE])
@pytest.mark.parametrize("how", ["lost", "restored"])
def test_a_lost_and_a_restored_tracking_database(world: World, how: str, point: Point) -> None:
    """Whenever it happens, in the middle of a run too, a compared full refresh puts everything right."""
    world.sync()
    backup = world.back_up()
    world.sim.mutate(4)
    world.sim.delete(2)
    world.sync()
    world.sim.mutate(2)
    world.sim.delete(1)
    assert world.crash_at(point, full_refresh=True)
    if how == "lost":
        world.lose_tracking()
    else:
        world.restore(backup)
    settle(world)
    assert_law(world)


def test_the_guard_on_deletes(tmp_path: Path) -> None:
    """The default is the greater of 10 % and 100 rows; explicit deletes of the feed always pass."""
    with World(tmp_path, timesheets=400, page_size=200, max_deletes=Allowance()) as world:
        world.sync()
        world.sim.delete(101)
        world.sync()
        assert world.status().parked is None
        assert_law(world)
        world.sim.delete(101)
        world.sim.mutate(5)
        world.wait(hours=80)
        rows = len(table_rows(world))
        report = world.sync()
        assert report is not None
        assert report.exit_code == 3
        assert report.counts[NAME].parked == 101
        assert len(table_rows(world)) == rows
        assert [each["cause"] for each in world.rejected()] == ["close_parked"]
        world.do(lambda app: app.rejections.retry(NAME, "guard"))
        assert_law(world)


def test_the_guard_lets_a_hundred_deletes_pass(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    with World(tmp_path, timesheets=400, page_size=200, max_deletes=Allowance()) as world:
        world.sync()
        world.sim.delete(100)
        world.wait(hours=80)
        world.sync()
        assert world.status().parked is None
        assert_law(world)


def test_renames_without_deltas_are_right_after_the_next_full_refresh(world: World) -> None:
    """The switch "renames make no delta": nobody can know before the walk, and the walk finds them all."""
    world.sim.switch(renames_make_delta=False)
    world.sync()
    project = next(node["project"]["dbId"] for node in world.sim.rows().values() if node["project"])
    world.sim.rename_project(project, "Nytt namn")
    world.sync()
    settle(world, full_refresh=True)
    assert "Nytt namn" in {row["project_description"] for row in table_rows(world)}
    assert_law(world)


def test_a_source_without_rows(tmp_path: Path) -> None:
    """A first load of nothing closes, and the first row that comes is a change."""
    with World(tmp_path, timesheets=0) as world:
        world.sync()
        assert_law(world)
        world.sim.add(2)
        world.sync()
        assert_law(world)
        assert world.status().rows == 2


def test_credits_make_a_run_wait(tmp_path: Path) -> None:
    """A long pause makes the run `waiting`, with exit code 3; afterwards it goes on."""
    with World(tmp_path, credits=4) as world:
        world.sim.credits()
        report = world.sync()
        assert report is not None
        assert report.exit_code == 3
        assert "waiting" in {status for _, status in outcomes(report)}
        asked = len(world.sim.requests)
        again = world.sync()
        assert again is not None
        assert again.exit_code == 3
        world.wait(seconds=3700)
        world.sim.switch(credits=None)
        settle(world)
        assert_law(world)
        assert len(world.sim.requests) > asked
