"""Starting again: one command ends the runs of an entity, forgets its positions and keeps its data (sequence 19)."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroad.app import App
from postroad.engine.adopt import Wish
from postroad.telemetry import Point
from tests.flow.earlier_app import EarlierApp
from tests.flow.harness import NAME, Side, Trap, World
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law
from tests.flow.test_scopes import assert_equal
from tests.flow.test_scopes import world as toys
from tests.flow.toy import ToyWorld

__all__ = ["toys"]
OPEN = "select count(*) from walks where status in ('open', 'parked')"


def reset(app: App) -> list[str]:
    """`postroad state reset xledger.timesheets`."""
    return app.datasets.reset_state(NAME)


def cursors(world: World) -> dict[str, object]:
    """What each feed's cursor holds for the entity."""
    found = world.ask(lambda app: app.datasets.state("xledger"))
    return {name: each["cursor"] for name, each in found.items()}


def test_it_keeps_landing_changes_and_table_and_the_next_run_compares(world: World) -> None:
    world.sync()
    world.sim.mutate(3)
    world.sync(full_refresh=True, limit=1)
    landed = sorted(world.lake.glob("landing/**/*.*"))
    members = read_table(world.changes).members
    rows = read_table(world.tables).members
    assert world.do(reset) == [NAME]
    assert sorted(world.lake.glob("landing/**/*.*")) == landed
    assert (read_table(world.changes).members, read_table(world.tables).members) == (members, rows)
    assert not any(cursors(world).values())
    assert world.books(OPEN) == [(0,)]
    assert (world.status().state, world.status().due) == ("full refresh due", "a person set its state")
    world.sync()
    assert world.status().state == "in step"
    assert_law(world)
    assert read_table(world.changes).members == members, "what did not differ was written again"


@pytest.mark.parametrize("side", list(Side))
def test_a_kill_leaves_all_of_it_or_nothing(world: World, side: Side) -> None:
    """It is one transaction, so no run that begins meanwhile can put a position back."""
    world.sync()
    world.sync(full_refresh=True, limit=1)
    before = cursors(world)
    points = Counter(world.points)
    assert world.do(reset, Trap(Point.REFRESH_DUE, side=side)) is None
    assert (cursors(world) == before) is (side is Side.BEFORE)
    assert world.books(OPEN) == [(int(side is Side.BEFORE),)]
    assert world.points - points == Counter({Point.REFRESH_DUE: side is Side.AFTER})
    assert world.do(reset) == [NAME]
    assert cursors(world)["xledger.changes"] == {}
    world.sync()
    assert_law(world)


def test_a_run_that_waits_is_ended(world: World) -> None:
    """Else the next one would go on waiting."""
    world.sync()
    claim = world.ask(lambda app: app.tracking.runs.claim("xledger", "changes", {}))
    world.ask(lambda app: app.tracking.runs.wait(claim, 3600, {}, "no credits"))
    assert world.status().state == "waiting"
    world.do(reset)
    report = world.sync()
    assert report is not None
    assert report.exit_code == 0
    assert_law(world)


def test_a_walk_that_is_open_in_one_link_is_dropped_with_all_others(toys: ToyWorld) -> None:
    """Of an entity without changes, whose links each have a cursor of their own."""
    toys.toy.shelves["north"][3] = "new"
    assert toys.sync(Trap(Point.PAYLOAD_ROW), select="toy.shelves") is None
    toys.do(lambda app: app.datasets.reset_state("toy.shelves"))
    state = toys.do(lambda app: app.datasets.state("toy"))
    assert [state[f"toy.shelves.{link}"]["cursor"] for link in ("north", "south")] == [None, None]
    assert state["toy.changes"]["cursor"] is not None, "the cursor of the other entity"
    toys.toy.asked.clear()
    assert toys.sync().exit_code == 0
    assert {"shelves.north", "shelves.south"} <= {feed for feed, _ in toys.toy.asked}
    assert_equal(toys)


def test_after_a_reset_files_can_be_adopted_again_in_an_empty_place(world: World, tmp_path: Path) -> None:
    """As `adopt` says: reset, and move the data away."""
    earlier = EarlierApp(world.sim, tmp_path / "earlier")
    world.sim.mutate(1)
    earlier.full_sync()
    world.sync()
    world.do(reset)
    for folder in (world.changes, world.tables):
        shutil.move(folder, tmp_path / folder.parts[-3])
    taken_at = datetime.fromtimestamp(world.now, UTC)
    wish = Wish(earlier.folder, str(earlier.cursor), taken_at)
    report, adoption = world.do(lambda app: app.runs.adopt(NAME, wish))
    assert (report.exit_code, adoption.due) == (0, None)
    world.sim.mutate(3)
    world.sync()
    assert_law(world)
