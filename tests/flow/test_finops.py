"""Finance & Operations over its sockets, from sign-in to tables."""

from __future__ import annotations

from pathlib import Path

from tests.flow.finops_world import FinopsWorld, assert_law


def test_a_full_dump_and_then_changes(tmp_path: Path) -> None:
    with FinopsWorld(tmp_path) as world:
        report = world.sync_wait()
        assert [each.status for each in report.outcomes] == ["succeeded"] * len(report.outcomes), report.outcomes
        assert_law(world)
        world.sim.mutate(3)
        world.sim.add(2, "MainAccounts")
        world.sync_wait()
        assert_law(world)
