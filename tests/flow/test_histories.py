"""Histories that Hypothesis draws: the sources change, we sync, things break, processes die; the law holds after."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.flow import steps
from tests.flow.harness import Servers, World
from tests.flow.law import assert_law, refused_keys, settle, unreadable_keys
from tests.flow.steps import Scene, Step, histories

TIMES = float(os.environ.get("POSTROAD_HISTORIES", "1"))  # so many times as many examples, for a long look
NIGHT_OF_TWO_HOURS = 1_792_886_400.0  # 2026-10-25 00:00 UTC: an hour later the clocks of Oslo go back
SPRING = 1_774_742_400.0  # 2026-03-29 00:00 UTC
UNTOLD = "employeeGroups"
GROUPS = {UNTOLD: {"columns": {"dbId": "int", "code": "text", "description": "text", "modifiedAt": "local_time"},
                   "every": "1m"}}  # fmt: skip


@dataclass(frozen=True)
class Cast:
    """Which datasets take part; how many histories are drawn, of how many rounds."""

    examples: int
    rounds: int
    happenings: st.SearchStrategy[Step]
    entities: Sequence[str] = ()
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


CASTS = {
    "timesheets": Cast(12, 4, steps.company, ("timesheets",)),
    # References between entities, and one whose changes nobody tells.
    "entities": Cast(8, 3, steps.company, ("timesheets", "projects", "customers", UNTOLD),
                     settings={"entities": GROUPS}),
    "links": Cast(10, 3, steps.links, (), {"part_time_employees": ("holding", "north", "south"),
                                           "employee_groups": ()}),
    "both": Cast(6, 2, st.one_of(steps.company, steps.links), ("timesheets", "projects"),
                 {"part_time_employees": ("north", "south")}),
}  # fmt: skip


@dataclass
class Stage:
    """Where the histories of one cast are played: sockets that stay, and a lake that was loaded once."""

    cast: Cast
    folder: Path
    servers: Servers = field(default_factory=Servers)
    now: float = 0.0

    def world(self, folder: Path, *, now: float, size: int, page_size: int) -> World:
        """A new world with these sources."""
        cast = self.cast
        return World(folder, timesheets=size, sizes={"projects": 12, "customers": 12}, page_size=page_size, now=now,
                     settings=dict(cast.settings), entities=cast.entities, tables=cast.tables,
                     servers=self.servers)  # fmt: skip

    def load(self) -> None:
        """Make the lake that most histories begin with."""
        with self.world(self.folder, now=NIGHT_OF_TWO_HOURS, size=50, page_size=20) as world:
            assert world.sync().exit_code == 0  # type: ignore[union-attr]
            self.now = world.now

    def loaded(self, folder: Path, page_size: int) -> World:
        """A world whose lake was loaded from sources just like its own."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return self.world(folder, now=self.now, size=50, page_size=page_size)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    """One for each cast, made when it is needed."""
    made: dict[str, Stage] = {}
    yield made
    for stage in made.values():
        stage.servers.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASTS)
def test_any_history(name: str, stages: dict[str, Stage], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever happened, clean syncs bring the lake to exactly what the sources show."""
    cast = CASTS[name]
    stage = stages[name] = Stage(cast, tmp_path_factory.mktemp(name))
    stage.load()

    # Histories are short; to shrink one that fails would take minutes, and end in a timeout that hides it.
    @settings(max_examples=int(cast.examples * TIMES), phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(
        rounds=histories(cast.happenings, cast.rounds),
        begin=st.none() | st.tuples(st.sampled_from([0, 1, 50, 90]), st.sampled_from([NIGHT_OF_TWO_HOURS, SPRING])),
        page_size=st.sampled_from([7, 20, 50]),
        refresh=st.booleans(),
    )
    def play(rounds: list[list[Step]], begin: tuple[int, float] | None, page_size: int, refresh: bool) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            world = (
                stage.loaded(folder, page_size)
                if begin is None
                else stage.world(folder, size=begin[0], now=begin[1], page_size=page_size)
            )
            with world:
                _played(Scene(world), rounds, refresh)

    play()


def _played(scene: Scene, rounds: list[list[Step]], refresh: bool) -> None:
    for step in chain(*rounds):
        step(scene)
    refresh = scene.end() or refresh
    settle(scene.world, full_refresh=refresh)
    assert_law(scene.world)
    for shown in scene.world.datasets:
        if refresh or shown.connection == "links":
            assert refused_keys(scene.world, shown) == unreadable_keys(scene.world, shown)
