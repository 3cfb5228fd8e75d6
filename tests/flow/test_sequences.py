"""The sequences of events that break a product without the rule that cures each, by their numbers (X: the spine)."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from postroad.errors import ConfigError
from postroad.project import Allowance
from postroad.telemetry import Point, Stage
from tests.flow.harness import NAME, Side, World, outcomes
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law, settle, table_rows

RETENTION_IS_OVER = 80
AFTER_THE_FORECAST = 1


def _keys(world: World) -> list[int]:
    return sorted(world.sim.rows())


def _hours(world: World) -> dict[int, str]:
    return {row["dbId"]: f"{row['workingHours']:.2f}" for row in table_rows(world)}


def _guarded(folder: Path, rows: int = 0) -> World:
    return World(folder, max_deletes=Allowance(rows=rows, percent=0))


def _refreshes(world: World) -> int:
    return sum("full refresh: " in sentence for sentence in world.said)


def test_sequence_01_changes_of_a_first_load_wait_for_its_close(world: World) -> None:
    """Changes that land during a first load are published after it: nothing rises again, nothing is skipped."""
    first, *_ = _keys(world)
    world.sync(limit=1)
    (new,) = world.sim.add(1)
    world.sim.delete([first])
    world.sim.update(_keys(world)[0], workingHours="1.25")
    world.sync(limit=1)
    landed = world.books("select count(*) from payloads where feed = 'changes'")
    assert landed == [(1,)], "the changes were not landed beside the walk"
    assert not world.changes.joinpath("_delta_log").exists()
    assert not world.tables.exists()
    settle(world)
    assert_law(world)
    history = read_table(world.changes)
    assert history.members[0].startswith("full_sync-")
    versions = {row["dbId"]: row["_version"] for row in history.rows() if row["dbId"] in (new, first)}
    begun = world.books("select min(version) from walks")[0][0]
    assert min(row["_version"] for row in history.rows()) == begun
    assert all(version > begun for version in versions.values())


def test_sequence_02_a_walk_that_slept_too_long_begins_again(world: World) -> None:
    """Five days of changes to pages that were walked before are not lost: the walk is abandoned with its position."""
    first, second, *_ = _keys(world)
    world.sync(limit=2)
    world.sim.update(first, workingHours="1.25")
    world.sim.delete([second])
    world.wait(hours=120)
    world.sync()
    assert world.books("select status from walks order by id") == [("abandoned",), ("closed",)]
    assert world.books("select distinct status, reason from payloads where walk = 1") == [("discarded", "superseded")]
    settle(world)
    assert_law(world)


def test_sequence_02_a_full_refresh_goes_on_from_the_cursor_it_finds(world: World) -> None:
    """`--full-refresh --limit 1` behind a backlog does not take the newest position: the backlog is applied."""
    world.sync()
    world.sim.mutate(25)
    world.sim.mutate(25)
    world.sim.delete(5)
    world.sync(full_refresh=True, limit=1)
    assert set(_keys(world)) != set(_hours(world)), "the backlog is longer than two pages"
    world.sync()
    settle(world)
    assert_law(world)
    asked = [each["variables"]["timesheets_after"] for each in world.asked("timesheet_deltas")
             if "timesheets_after" in each["variables"]]  # fmt: skip
    assert len(dict.fromkeys(asked)) >= 3, "the backlog was read page by page"


def test_sequence_02_an_entity_stays_due_until_a_later_walk_closes(world: World) -> None:
    """A position that was taken anew shows as due in `status` until a walk begun after it has closed."""
    world.sync()
    world.sim.delete(3)
    world.wait(hours=RETENTION_IS_OVER)
    world.sync(limit=1)
    assert "last read" in (world.status().due or "")
    assert world.status().state == "walk open"
    world.sync()
    assert world.status().due is None
    assert_law(world)


def test_sequence_03_payload_numbers_never_restart(world: World) -> None:
    """Tracking is lost: what lands afterwards is above every position of the lake, and only differences come out."""
    world.sync()
    for _ in range(3):
        world.sim.mutate(2)
        world.sync()
    before = read_table(world.changes)
    world.lose_tracking()
    world.sync()
    assert len(read_table(world.changes).rows()) == len(before.rows()), "nothing had changed"
    world.sim.mutate(2)
    world.sync()
    numbers = world.books("select min(number) from payloads where feed = 'changes'")
    assert numbers[0][0] > before.actions["feed:changes"]
    settle(world)
    assert_law(world)


def test_sequence_03_a_restored_database_drops_its_cursors(world: World) -> None:
    """A backup knows less than the lake: what it calls its position is dropped and everything is compared."""
    world.sync()
    backup = world.back_up()
    world.sim.mutate(4)
    gone = world.sim.delete(2)
    world.sync()
    high = read_table(world.changes).actions["feed:changes"]
    world.restore(backup)
    with pytest.raises(ConfigError, match="lost or restored"):
        world.replay()
    assert not set(gone) & set(_hours(world)), "a replay with stale books took the table back in time"
    world.sim.mutate(1)
    world.sync()
    assert any("lost or restored" in sentence for sentence in world.said)
    assert world.books("select last_number from feeds where feed = 'changes'")[0][0] >= high
    settle(world)
    assert_law(world)


def test_sequence_04_silence_of_an_expired_cursor_is_no_quiet_day(world: World) -> None:
    """The server forgets sooner than it says, also our position's own entry, and answers with nothing."""
    world.sim.switch(expired_cursor="empty", retention_hours=20)
    world.sync()
    world.sim.mutate(1)
    world.sync()
    world.wait(hours=47)
    world.sim.mutate(4)
    world.sim.delete(2)
    world.wait(hours=1)
    before, refreshes = len(world.sim.requests), _refreshes(world)
    world.sync()
    polls = [each["variables"].get("timesheets_after") for each in list(world.sim.requests)[before:]
             if "timesheet_deltas" in each["roots"]]  # fmt: skip
    assert polls[0] is not None
    assert polls[0] == polls[1], "it was not looked at a second time"
    assert _refreshes(world) == refreshes + 1
    settle(world)
    assert_law(world)


@pytest.mark.parametrize("mode", ["error", "oldest", "empty"])
def test_sequence_04_quiet_days_cost_no_refresh(world: World, mode: str) -> None:
    """Polls every two days; the position's own entry is forgotten, and all that followed it is still there."""
    world.sim.switch(expired_cursor=mode)
    world.sync()
    world.sim.mutate(1)
    world.sync()
    refreshes = _refreshes(world)
    for _ in range(2):
        world.wait(hours=47)
        world.sync()
    world.sim.mutate(4)
    world.sim.delete(2)
    world.wait(hours=47)
    world.sync()
    assert _refreshes(world) == refreshes
    settle(world)
    assert_law(world)


def test_sequence_04_a_backlog_read_half_way_stays_old(tmp_path: Path) -> None:
    """Only reading to the head renews the age of a position."""
    with World(tmp_path, page_size=7) as world:
        world.sync()
        polled = _polled_at(world)
        world.sim.mutate(20)
        world.wait(hours=50)
        world.sync(limit=1)
        assert _polled_at(world) == polled
        world.wait(hours=11)
        refreshes = _refreshes(world)
        world.sync()
        assert _refreshes(world) == refreshes + 1
        settle(world)
        assert_law(world)


def test_sequence_04_age_is_measured_by_the_servers_clock(world: World) -> None:
    """Our own clock is set back; four days have passed at the server."""
    world.sync()
    world.sim.delete(3)
    world.sim.advance(days=4)
    world.now -= 86_400
    world.sync()
    assert any("Xledger forgets" in sentence for sentence in world.said)
    settle(world)
    assert_law(world)


def _polled_at(world: World) -> str:
    state = world.ask(lambda app: app.datasets.state())
    found: str = state["xledger.changes"]["cursor"]["timesheets"]["polled_at"]
    return found


@pytest.mark.parametrize("load", ["first", "second"])
def test_sequence_05_slow_page(world: World, load: str) -> None:
    """A page shows v1, v2 comes and lands before the page does: the table ends with v2."""
    key = _keys(world)[25]
    if load == "second":
        world.sync()
    skip = AFTER_THE_FORECAST + 1  # the key is on the second page
    world.sim.fault("script", root="timesheets", skip=skip, when="after", call="update",
                    arguments={"db_id": key, "workingHours": "3.25"})  # fmt: skip
    world.sync(full_refresh=load == "second")
    assert _hours(world)[key] == "3.25"
    settle(world)
    assert_law(world)


def test_sequence_06_a_parked_delete_of_a_key_that_came_back(tmp_path: Path) -> None:
    """A person lets the guard pass after the key came back: it is compared anew, and only what is gone goes."""
    with _guarded(tmp_path) as world:
        world.sync()
        back, gone = world.sim.delete(2)
        world.sim.mutate(3)
        world.wait(hours=RETENTION_IS_OVER)
        commits = len(read_table(world.changes).history)
        world.sync()
        assert "it would delete 2 of" in world.status().parked
        assert len(read_table(world.changes).history) == commits, "a part of the close was committed"
        assert {back, gone} <= set(_hours(world))
        world.sim.restore([back])
        world.sync()
        world.do(lambda app: app.rejections.retry(NAME, "guard"))
        assert back in _hours(world)
        assert gone not in _hours(world)
        assert_law(world)


def test_sequence_06_an_empty_snapshot_parks(tmp_path: Path) -> None:
    """A source that shows nothing at all does not empty the table, whatever `max_deletes` allows."""
    with World(tmp_path) as world:
        world.sync()
        world.sim.delete(_keys(world))
        world.wait(hours=RETENTION_IS_OVER)
        world.sync()
        assert "empty" in world.status().parked
        assert world.status().rows > 0
        world.do(lambda app: app.rejections.discard_parked(NAME))
        assert world.status().parked is None
        assert world.status().rows > 0, "discard drops the close and nothing else"
        world.sync(full_refresh=True)
        world.do(lambda app: app.rejections.retry(NAME, "guard"))
        assert world.status().rows == 0
        assert_law(world)


def test_sequence_06_the_next_close_replaces_a_parked_one(tmp_path: Path) -> None:
    """What was parked is superseded when a later walk of the scope closes."""
    with _guarded(tmp_path, rows=1) as world:
        world.sync()
        gone = world.sim.delete(2)
        world.wait(hours=RETENTION_IS_OVER)
        world.sync()
        assert world.status().parked is not None
        world.sim.restore(gone)
        world.sync(full_refresh=True)
        assert world.status().parked is None
        assert world.books("select status, reason from walks where id = 2") == [("discarded", "superseded")]
        settle(world)
        assert_law(world)


def test_sequence_07_replay_keeps_what_was_carried_forward(world: World) -> None:
    """A key whose row could not be read is missing in the snapshot's pages and stays, in a replay too."""
    world.sync()
    key = _keys(world)[10]
    world.sim.update(key, delta=False, workingHours="much")
    world.sync(full_refresh=True)
    before = _hours(world)
    assert key in before
    world.replay()
    assert _hours(world) == before
    assert_law(world)
    world.sim.update(key, workingHours="2.50")
    world.sync()
    assert world.rejected() == []
    assert_law(world)


def test_sequence_07_replay_keeps_what_is_parked(tmp_path: Path) -> None:
    """Deletes that wait for a person are not made by a replay."""
    with _guarded(tmp_path) as world:
        world.sync()
        gone = set(world.sim.delete(2))
        world.wait(hours=RETENTION_IS_OVER)
        world.sync()
        world.replay()
        assert gone <= set(_hours(world))


def test_sequence_07_replay_refuses_before_a_first_close(world: World) -> None:
    """Pages of an open walk are no snapshot."""
    world.sync(limit=1)
    with pytest.raises(ConfigError, match="no closed snapshot"):
        world.replay()
    assert not world.tables.exists()
    settle(world)
    assert_law(world)


def test_sequence_08_a_comparison_sees_what_changes_holds(world: World) -> None:
    """`changes` holds v2, the table v1, the snapshot shows v1: the table ends with v1, not with v2 for good."""
    world.sync()
    key = _keys(world)[3]
    old = _hours(world)[key]
    world.sim.update(key, workingHours="9.75")
    assert world.crash_at(Point.CHANGES_COMMIT)
    assert _hours(world)[key] == old
    world.sim.update(key, delta=False, workingHours=old)
    world.sync(full_refresh=True)
    assert _hours(world)[key] == old
    settle(world, full_refresh=True)
    assert_law(world)


def test_sequence_09_a_rejection_closes_when_a_good_row_follows(world: World) -> None:
    """Both kinds end: a value that could not be read, and a row that was not shown."""
    world.sync()
    bad, hidden = _keys(world)[:2]
    world.sim.update(bad, workingHours="much")
    world.sim.unreadable([hidden])
    world.sim.update(hidden, workingHours="1.00")
    world.sync()
    assert {(each["cause"], each["key"]) for each in world.rejected()} == {
        ("bad_decimal", f"[{bad}]"), ("gone_or_unreadable", f"[{hidden}]"),
    }  # fmt: skip
    world.sim.unreadable([])
    world.sim.update(bad, workingHours="1.00")
    world.sim.delete([hidden])
    world.sync()
    assert world.rejected() == []
    assert_law(world)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("point", [Point.REJECTED_FILE, Point.REJECTED_ROWS, Point.CHANGES_COMMIT])
def test_sequence_09_a_kill_counts_no_rejection_twice(world: World, point: Point, side: Side) -> None:
    """Rejections of a payload that is normalised again are replaced."""
    world.sync()
    world.sim.update(_keys(world)[0], workingHours="much")
    assert world.crash_at(point, side=side)
    world.sync()
    assert world.status().rejected == {"bad_decimal": 1}
    assert_law(world)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_sequence_09_a_page_is_refused_after_what_landed_later_was_accepted(world: World, nth: int) -> None:
    """A page landed, killed before it was staged; its bad row is mended and polled; only then is the page read."""
    world.sync()
    bad = _keys(world)[0]
    world.sim.update(bad, workingHours="much")
    assert world.crash_at(Point.PAYLOAD_ROW, nth=nth, full_refresh=True)
    world.sim.update(bad, workingHours="1.00")
    world.sync()
    assert world.rejected() == []
    assert_law(world)


def test_sequence_09_deletes_are_withheld_for_an_unreadable_key(world: World) -> None:
    """A row without a readable key could be any row: what the snapshot lacks is listed as parked, not deleted."""
    world.sync()
    gone = world.sim.delete(2)
    world.wait(hours=RETENTION_IS_OVER)
    world.sim.fault("bad_value", root="timesheets", skip=AFTER_THE_FORECAST, field="dbId", value="?")
    world.sync()
    parked = {each["key"] for each in world.rejected() if each["cause"] == "delete_parked"}
    assert {f"[{key}]" for key in gone} <= parked
    assert set(gone) <= set(_hours(world))
    world.sync(full_refresh=True)
    assert world.rejected() == []
    assert_law(world)


def test_sequence_10_staged_files_have_no_final_name(world: World) -> None:
    """Until its close commits, a walk's files lie in a folder that readers and vacuum pass by."""
    assert world.crash_at(Point.STAGED_ROW)
    assert len(list(world.changes.glob("_staged/full_sync-*.parquet"))) == 1
    assert list(world.changes.glob("*.parquet")) == []
    settle(world)
    assert_law(world)
    assert list(world.changes.glob("_staged/*.parquet")) == []


def test_sequence_10_vacuum_and_retention_spare_what_is_needed(world: World) -> None:
    """Members of the first load outlive later full syncs; the newest complete file outlives another's vacuum."""
    world.sync()
    members = read_table(world.changes).members
    for _ in range(3):
        world.sim.mutate(2)
        world.sync(full_refresh=True)
    kept = [path for (path,) in world.books("select path from files where kind = 'full_sync'")]
    assert len(kept) == 1
    DeltaTable(str(world.changes)).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert all((world.changes / name).exists() for name in members)
    assert (world.lake / kept[0]).exists()
    settle(world)
    assert_law(world)
    (world.lake / kept[0]).unlink()
    assert world.ask(lambda app: app.datasets.missing()) == kept


def test_sequence_10_two_syncs_in_one_second_sort_rightly(world: World) -> None:
    """The clock stands still: names still sort in commit order."""
    world.frozen = True
    world.sim.switch(burst=None)
    for _ in range(4):
        world.sim.mutate(3)
        world.sync()
    times = {name.split("-")[1] for name in read_table(world.changes).members}
    assert len(times) == 1
    assert_law(world)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("point", [Point.PAYLOAD_FILE, Point.PAYLOAD_ROW])
def test_sequence_13_a_page_of_changes_lands_with_its_rows(world: World, point: Point, side: Side) -> None:
    """Without `_current` a position moves only together with the rows that were asked by id."""
    world.sync()
    world.sim.switch(current_available=False)
    before = _position(world)
    world.sim.mutate(3)
    world.sim.fault("field_error", root="timesheets", count=None)
    world.sync()
    assert _position(world) == before, "a cursor was adopted without its rows"
    world.sim.clear_faults()
    assert world.crash_at(point, side=side)
    moved = point is Point.PAYLOAD_ROW and side is Side.AFTER
    assert (_position(world) != before) is moved
    settle(world)
    assert_law(world)


def test_sequence_13_a_loop_closes_nothing(world: World) -> None:
    """A walk or poll that goes in circles adopts no cursor and closes no scope."""
    world.sync()
    world.sim.mutate(1)
    world.sync()
    before = _position(world)
    world.sim.mutate(25)
    world.sim.fault("repeat_cursor", count=None)
    report = world.sync(full_refresh=True)
    assert {status for _, status in outcomes(report)} == {"failed"}
    assert _position(world) == before
    assert world.books("select count(*) from walks where status = 'closed'") == [(1,)]
    settle(world)
    assert_law(world)


def _position(world: World) -> str:
    state = world.ask(lambda app: app.datasets.state())
    found: str = state["xledger.changes"]["cursor"]["timesheets"]["after"]
    return found


def test_sequence_14_a_payload_of_rejected_rows_is_processed(world: World) -> None:
    """It commits its number even when no row of it was accepted; a quiet answer has no number."""
    world.sync()
    world.sim.update(_keys(world)[0], workingHours="much")
    world.sync()
    number = world.books("select last_number from feeds where feed = 'changes'")[0][0]
    assert read_table(world.changes).actions["feed:changes"] == number
    assert world.status().just_in == 0
    world.sync()
    assert world.books("select last_number from feeds where feed = 'changes'")[0][0] == number
    assert_law(world)


def test_sequence_15_an_allocated_version_that_was_never_committed(world: World) -> None:
    """A kill between allocation and commit is an ordinary kill: no StateError, and the gap means nothing."""
    world.sync()
    for side in Side:
        world.sim.mutate(2)
        assert world.crash_at(Point.VERSION_TAKEN, side=side)
    assert outcomes(world.sync()) == [("changes", "succeeded")]
    assert_law(world)


@pytest.mark.parametrize("stage", [Stage.STAGE, Stage.CLOSE])
def test_sequence_19_state_reset_beside_a_live_run(world: World, stage: Stage) -> None:
    """The run that was reset ends without effect on the books; the next one is a compared full refresh."""
    world.sync()
    world.sim.mutate(3)
    rows = world.status().rows

    def reset() -> None:
        with world.open() as other:
            other.datasets.reset_state(NAME)

    world.at_stage[stage] = reset
    report = world.sync(full_refresh=True)
    assert "lost" in {status for _, status in outcomes(report)}
    assert world.books("select status from walks order by id desc limit 1") == [("abandoned",)]
    assert {status for (status,) in world.books("select status from runs where ended_at is not null")} <= {
        "cancelled", "succeeded",
    }  # fmt: skip
    assert world.status().rows == rows
    assert world.status().due is not None
    world.sync()
    settle(world)
    assert_law(world)


def test_sequence_20_a_lease_is_held_for_one_stage_call(world: World) -> None:
    """While a walk is fetched, whoever publishes finds the dataset's lease free."""
    world.sync()
    taken = []

    def publish() -> None:
        with world.open() as other:
            lease = other.tracking.leases.take(NAME)
            other.tracking.database.close()
            taken.append(lease.token)
        with world.open() as other, other.tracking.database.write(Point.LEASE_ENDED) as database:
            database.exec_driver_sql("delete from leases")

    world.at_stage[Stage.STAGE] = publish
    world.sync(full_refresh=True)
    assert len(taken) == 1
    assert_law(world)
