"""Every durable point is a place to die at, on both of its sides; after it the law holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from postroad.lake import delta
from postroad.project import Allowance
from postroad.telemetry import Point
from tests.flow.harness import NAME, Side, Trap, World
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law, settle
from tests.flow.test_alerts import POINTS as IN_MAILS
from tests.flow.test_brokered import POINTS as IN_BROKERS
from tests.flow.test_deliveries import IN_DELIVERIES
from tests.flow.test_receipts import IN_RECEIPTS
from tests.flow.test_scopes import POINTS as IN_PARTS

Act = Callable[[World, Trap], object]


def _first_load(world: World, trap: Trap) -> None:
    world.sync(trap)


def _changes(world: World, trap: Trap) -> None:
    _some_changes(world)
    world.sync(trap)


def _full_refresh(world: World, trap: Trap) -> None:
    _some_changes(world)
    world.sync(trap, full_refresh=True)


def _expired(world: World, trap: Trap) -> None:
    _some_changes(world)
    world.wait(hours=80)
    world.sync(trap)


def _replay(world: World, trap: Trap) -> None:
    _some_changes(world)
    world.sync()
    world.replay(trap)


def _guard(world: World, trap: Trap) -> None:
    """Deletes that nobody saw are parked, then pass by a person's wish."""
    world.sim.delete(2)
    world.wait(hours=80)
    world.do(lambda app: (app.runs.start(), app.rejections.retry(NAME, "guard")), trap)


def _torn(world: World, trap: Trap) -> None:
    """A power cut tore the last entry of a log: the entry was relied on by nobody."""
    log = world.tables / "_delta_log"
    last = max(log.glob("*.json"))
    last.with_name(f"{int(last.stem) + 1:020d}.json").write_text("")
    _changes(world, trap)


def _some_changes(world: World) -> None:
    """Changes, deletions, new rows, and one row that cannot be read."""
    world.sim.mutate(4)
    world.sim.delete(2)
    (new, *_) = world.sim.add(3)
    world.sim.update(new, workingHours="much")


ACTS: dict[str, Act] = {
    "first load": _first_load,
    "changes": _changes,
    "full refresh": _full_refresh,
    "expired": _expired,
    "replay": _replay,
    "guard": _guard,
    "torn": _torn,
}
P = Point
EVERYWHERE = {P.LOG_SEALED, P.RUN_CLAIMED, P.RUN_RENEWED, P.RUN_ENDED, P.LEASE_TAKEN, P.LEASE_ENDED, P.VERSION_TAKEN}
FETCHING = {P.BUDGET_TAKEN, P.PAYLOAD_FILE, P.PAYLOAD_ROW, P.HEAD_REACHED}
WALKING = {P.WALK_BEGUN, P.STAGED_FILE, P.STAGED_ROW, P.REJECTED_FILE, P.REJECTED_ROWS}
COMMITTING = {P.CHANGES_COMMIT, P.TABLE_FILE, P.TABLE_COMMIT}
CLOSING = {P.CLOSE_MOVED, P.CLOSE_DONE}
POINTS: dict[str, set[Point]] = {
    "first load": {P.PAYLOAD_ROW, P.VERSION_TAKEN, P.HEAD_REACHED} | WALKING | CLOSING | COMMITTING - {P.TABLE_FILE},
    "changes": EVERYWHERE | FETCHING | {P.CHANGES_FILE, P.REJECTED_ROWS, P.CHECKPOINT} | COMMITTING,
    "full refresh": CLOSING | {P.CHANGES_FILE, P.FILES_DROPPED, P.CHANGES_COMMIT, P.STAGED_ROW, P.WALK_BEGUN},
    "expired": {P.REFRESH_DUE, P.PAYLOAD_ROW},
    "replay": {P.WALK_BEGUN, P.CHANGES_COMMIT, P.CLOSE_DONE},
    "guard": {P.CLOSE_PARKED, P.WALK_BEGUN, P.CLOSE_DONE},
    "torn": {P.TORN_ASIDE},
}


def test_every_point_is_named() -> None:
    """Each durable point has an act in which it is crashed."""
    assert set().union(*POINTS.values()) | IN_PARTS | IN_MAILS | IN_BROKERS | IN_DELIVERIES | IN_RECEIPTS == set(Point)


@pytest.mark.parametrize("act", ACTS)
def test_every_point_is_crashed(act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die just before and just after each point of an act, at its first and second passing: the law holds."""
    monkeypatch.setattr(delta, "TIDY_EVERY", 2)
    missed = []
    world: World | None = None
    for number, (point, side) in enumerate((point, side) for point in sorted(POINTS[act]) for side in Side):
        if world is None or act == "first load":
            if world is not None:
                world.__exit__()
            world = _world(tmp_path / str(number), act)
        trap = Trap(point, 1, side)
        ACTS[act](world, trap)
        if not trap.fired:
            missed.append((point, side))
            continue
        settle(world, full_refresh=act == "torn")
        assert_law(world)
    assert world is not None
    world.__exit__()
    assert not missed


def _world(folder: Path, act: str) -> World:
    folder.mkdir()
    guard = Allowance(rows=0, percent=0) if act == "guard" else Allowance(rows=1_000_000)
    world = World(folder, timesheets=45, page_size=20, max_deletes=guard)
    world.__enter__()
    if act == "first load":
        world.sim.update(min(world.sim.rows()), workingHours="many")
        return world
    world.sync()
    world.sync(full_refresh=True)
    return world


def test_a_killed_replay_is_dropped_by_the_next_full_refresh(world: World) -> None:
    """Nobody else would ever end its row."""
    world.sync()
    world.replay(Trap(P.WALK_BEGUN))
    replays = "select status from walks where kind = 'replay'"
    assert world.books(replays) == [("open",)]
    world.sync(full_refresh=True)
    assert world.books(replays) == [("discarded",)]
    assert_law(world)


def test_a_kill_while_superseded_files_are_deleted_is_no_damage(world: World) -> None:
    """`check` calls none of them missing, and the next run forgets them, whether or not it closes a walk."""
    world.sync()
    world.sync(full_refresh=True)
    for nth in range(1, 20):
        trap = Trap(P.FILES_DROPPED, nth, Side.BEFORE)
        world.sync(trap, full_refresh=True)
        with world.open() as app:
            assert app.datasets.missing() == []
        world.sync()
        assert world.books("select count(distinct walk) from files") == [(1,)]
        if not trap.fired:
            break
    assert nth > 4, "a file, its twin, its final name, then the row"
    assert_law(world)


@pytest.mark.parametrize("point", [P.RUN_CLAIMED, P.CHANGES_FILE, P.CLOSE_MOVED])
def test_a_killed_retry_of_a_parked_replay_leaves_it_parked(world: World, point: Point) -> None:
    """The person says yes once more."""
    world.sync()
    rule = replace(world.project.syncs[0], max_changes=Allowance(rows=1))
    world.configure(time_zone="Asia/Tokyo")
    world.project = replace(world.project, syncs=(rule,))
    world.replay()
    before = len(read_table(world.changes).members)
    parked = world.status().parked
    assert parked is not None
    for side in Side:
        trap = Trap(point, side=side)
        world.do(lambda app: app.rejections.retry(NAME, "guard"), trap)
        assert trap.fired
        assert world.status().parked == parked
    world.do(lambda app: app.rejections.retry(NAME, "guard"))
    assert world.status().parked is None
    assert len(read_table(world.changes).members) == before + 1
