"""Histories that Hypothesis draws: the sources change, we sync, things break, processes die; the law holds after."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.flow import finops_steps, steps
from tests.flow.finops_world import FinopsWorld
from tests.flow.finops_world import assert_law as assert_exports
from tests.flow.finops_world import settle as settle_exports
from tests.flow.law import assert_law, refused_keys, settle, unreadable_keys
from tests.flow.stages import NIGHT_OF_TWO_HOURS, Cast, Stage
from tests.flow.steps import Scene, Step, histories

TIMES = float(os.environ.get("POSTROAD_HISTORIES", "1"))  # so many times as many examples, for a long look
SPRING = 1_774_742_400.0  # 2026-03-29 00:00 UTC
UNTOLD = "employeeGroups"
GROUPS = {UNTOLD: {"columns": {"dbId": "int", "code": "text", "description": "text", "modifiedAt": "local_time"},
                   "every": "1m"}}  # fmt: skip


@dataclass(frozen=True)
class Play:
    """How many histories are drawn for a cast, of how many rounds, and what may happen in them."""

    examples: int
    rounds: int
    happenings: st.SearchStrategy[Step]
    cast: Cast


PLAYS = {
    "timesheets": Play(6, 4, steps.company, Cast(("timesheets",))),
    # References between entities, and one whose changes nobody tells.
    "entities": Play(4, 3, steps.company, Cast(("timesheets", "projects", "customers", UNTOLD),
                                               settings={"entities": GROUPS})),
    "links": Play(4, 3, steps.links, Cast(tables={"part_time_employees": ("holding", "north", "south"),
                                                   "employee_groups": ()})),
    "both": Play(3, 2, st.one_of(steps.company, steps.links),
                 Cast(("timesheets", "projects"), {"part_time_employees": ("north", "south")})),
}  # fmt: skip


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    """One for each cast, made when it is needed."""
    made: dict[str, Stage] = {}
    yield made
    for stage in made.values():
        stage.servers.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PLAYS)
def test_any_history(name: str, stages: dict[str, Stage], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever happened, clean syncs bring the lake to exactly what the sources show."""
    drawn = PLAYS[name]
    stage = stages[name] = Stage(drawn.cast, tmp_path_factory.mktemp(name))

    # Histories are short; to shrink one that fails would take minutes, and end in a timeout that hides it.
    @settings(max_examples=int(drawn.examples * TIMES), phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(
        rounds=histories(drawn.happenings, drawn.rounds),
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


EXPORTED = {"VendorsV2": 12, "MainAccounts": 5}


@pytest.mark.timeout(600)
def test_any_history_of_exports() -> None:
    """Whatever happened, clean runs and a sweep bring the lake to what Finance & Operations holds, per company."""

    @settings(max_examples=int(3 * TIMES), phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(rounds=finops_steps.histories(3), loaded=st.booleans())
    def play(rounds: list[list[finops_steps.Step]], loaded: bool) -> None:
        with (
            tempfile.TemporaryDirectory() as temporary,
            FinopsWorld(Path(temporary), sizes=EXPORTED, settings={"polls": 12}) as world,
        ):
            if loaded:
                world.sync_wait()
            for step in chain(*rounds):
                step(world)
            settle_exports(world)
            assert_exports(world)

    play()
