"""What begins again from where: each row of that table in docs/operations.md is done, and looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postroad.engine.adopt import Wish
from postroad.project import Allowance
from tests.flow.earlier_app import EarlierApp
from tests.flow.harness import NAME, UNGUARDED, World
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
HEADING = "## What begins again from where"
ALL_PAGES = 3  # of 60 rows at 20 a page


@dataclass(frozen=True)
class Told:
    """What the page says of a command."""

    cursor: str
    network: str


def table() -> Iterator[tuple[str, Told]]:
    """The rows of the table."""
    section = PAGE.read_text().partition(HEADING)[2].partition("\n## ")[0]
    for command, cells in re.findall(r"^\| `([^`]+)` \|(.*)\|$", section, re.MULTILINE):
        _, cursor, network, *_ = (cell.strip() for cell in cells.split("|"))
        yield command, Told(cursor, network)


def full_refresh(world: World) -> None:
    world.sync(full_refresh=True)


def since(world: World) -> None:
    days = sorted(str(row["assignmentDate"]) for row in world.sim.rows().values())
    world.sync(since=days[-5])


def retry(world: World) -> None:
    world.do(lambda app: app.rejections.retry(NAME, "normalise"))


def guard(world: World) -> None:
    assert world.status().parked is not None
    world.do(lambda app: app.rejections.retry(NAME, "guard"))
    assert world.status().parked is None


def adopt(world: World) -> None:
    wish = Wish(world.folder / "earlier", "1", datetime.fromtimestamp(world.now, UTC))
    world.do(lambda app: app.runs.adopt(NAME, wish))


def state_set(world: World) -> None:
    world.do(lambda app: app.datasets.set_state("xledger.changes", {"timesheets": {"after": "1"}}))


def reset(world: World) -> None:
    world.do(lambda app: app.datasets.reset_state(NAME))


def synced(world: World) -> None:
    """As always before, with some changes since."""
    world.sync()
    world.sim.mutate(3)


def quiet(world: World) -> None:
    """As always before, with nothing new."""
    synced(world)
    world.sync()


def parked(world: World) -> None:
    """Deletes that nobody told are parked."""
    world.sync()
    world.sim.delete(2)
    world.wait(hours=80)
    world.sync()


def never_loaded(world: World) -> None:
    """Another program did the work."""
    EarlierApp(world.sim, world.folder / "earlier").full_sync()


Act = Callable[[World], Any]
ACTS: dict[str, tuple[Act, Act]] = {
    "run": (synced, World.sync),
    "run --full-refresh": (synced, full_refresh),
    "run --since DAY": (synced, since),
    "replay DATASET": (quiet, World.replay),
    "rejected retry DATASET": (quiet, retry),
    "rejected retry DATASET --stage guard": (parked, guard),
    "adopt DATASET FOLDER": (never_loaded, adopt),
    "state set FEED CURSOR": (quiet, state_set),
    "state reset SELECT": (quiet, reset),
}


def test_every_row_is_looked_at() -> None:
    assert list(dict(table())) == list(ACTS)


@pytest.mark.parametrize("command", ACTS)
def test_the_row_is_true(command: str, tmp_path: Path) -> None:
    prepare, act = ACTS[command]
    with World(tmp_path, max_deletes=Allowance(rows=0, percent=0) if prepare is parked else UNGUARDED) as world:
        prepare(world)
        before, asked = position(world), len(world.sim.requests)
        members = read_table(world.changes).members
        act(world)
        cursor, network = moved(before, position(world)), called(list(world.sim.requests)[asked:])
        assert Told(cursor, network) == dict(table())[command]
        if prepare is quiet:
            assert read_table(world.changes).members == members, "what does not differ was committed"
        if act is not state_set:
            world.sync()
            assert_law(world)


def position(world: World) -> Any:
    """How far the changes of the entity are read."""
    state = world.ask(lambda app: app.datasets.state("xledger"))
    return (state["xledger.changes"]["cursor"] or {}).get("timesheets", {}).get("after")


def moved(before: Any, after: Any) -> str:
    """What became of it."""
    if after == before:
        return "untouched"
    return {None: "forgotten", "1": "set"}.get(after, "moves on")


def called(requests: list[Any]) -> str:
    """What was asked for."""
    walked = [each for each in requests if not each["variables"].get("timesheets_ids")]
    pages = [each for each in walked if each["roots"].count("timesheets") == 1]  # the forecast asks for both ends
    if pages:
        return "all pages" if len(pages) == ALL_PAGES else "some pages"
    told = [root for each in requests for root in each["roots"] if "deltas" in root]
    return {0: "none", 1: "one poll" if told else "one call"}[len(requests)]
