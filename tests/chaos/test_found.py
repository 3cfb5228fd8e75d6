"""What the chaos suite found, each as the shortest sequence that shows it."""

from __future__ import annotations

from pathlib import Path

from postroad.telemetry import Point
from tests.flow.harness import World
from tests.flow.law import assert_law, settle


def test_the_files_of_a_first_load_outlive_the_abandonment_of_its_walk(tmp_path: Path) -> None:
    """Committed, killed before the books were closed, then abandoned because its position expired: the walk's parts are
    members of `changes`, whatever the books still call them.
    """
    with World(tmp_path) as world:
        assert world.crash_at(Point.CHANGES_COMMIT)
        world.wait(hours=80)
        settle(world)
        assert_law(world)
