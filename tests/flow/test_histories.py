"""Histories that Hypothesis draws: the source changes, we sync, things break, processes die; the law holds after."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.errors import ConfigError
from postroad.telemetry import Point
from tests.flow.harness import NAME, Side, Trap, World
from tests.flow.law import assert_law, settle, unreadable_keys

EXAMPLES = 40
NIGHT_OF_TWO_HOURS = 1_792_886_400.0  # 2026-10-25 00:00 UTC: an hour later the clocks of Oslo go back
SPRING = 1_774_742_400.0  # 2026-03-29 00:00 UTC

Step = Callable[[World, "Memory"], object]


@dataclass
class Memory:
    """What a history remembers of itself."""

    deleted: list[int]
    silent: bool = False  # something changed that the source told nobody: only a full refresh finds it
    backup: bytes | None = None


def _edit(mutated: int, deleted: int, added: int) -> Step:
    def step(world: World, memory: Memory) -> None:
        world.sim.mutate(mutated)
        memory.deleted += world.sim.delete(deleted)
        world.sim.add(added)

    return step


def _restore_rows(world: World, memory: Memory) -> None:
    """What was deleted comes back under its key."""
    world.sim.restore(memory.deleted)
    memory.deleted.clear()


def _spoil(field: str, value: Any, *, delta: bool) -> Step:
    def step(world: World, memory: Memory) -> None:
        rows = sorted(world.sim.rows())
        memory.silent = memory.silent or not delta
        if rows:
            world.sim.update(rows[len(rows) // 2], delta=delta, **{field: value})

    return step


def _unread(world: World, memory: Memory) -> None:
    """Some rows cannot be read by id, and change."""
    ids = world.sim.mutate(3)
    world.sim.unreadable(ids)


def _fault(kind: str, count: int, skip: int, options: dict[str, Any]) -> Step:
    def step(world: World, memory: Memory) -> None:
        # A row whose key nobody could read is rejected, and nobody can say which one it was: a full refresh brings it.
        memory.silent = memory.silent or kind == "null_nodes" or options.get("field") == "dbId"
        world.sim.fault(kind, count=count, skip=skip, **options)

    return step


def _during(call: str, skip: int) -> Step:
    """Rows change while a walk is on its way."""

    def step(world: World, memory: Memory) -> None:
        world.sim.fault("script", root="timesheets", skip=skip, call=call, arguments={_WHAT[call]: 2})

    return step


_WHAT = {"mutate": "n", "delete": "which", "add": "n"}


def _pass(hours: float) -> Step:
    return lambda world, _: world.wait(hours=hours)


def _expiry(mode: str, when: str) -> Step:
    return lambda world, _: world.sim.switch(expired_cursor=mode, expired_when=when)


def _current(available: bool) -> Step:
    return lambda world, _: world.sim.switch(current_available=available)


def _sync(trap: tuple[Point, int, Side] | None, full_refresh: bool, limit: int | None) -> Step:
    def step(world: World, memory: Memory) -> None:
        world.sync(trap and Trap(*trap), full_refresh=full_refresh, limit=limit)

    return step


def _replay(trap: tuple[Point, int, Side] | None) -> Step:
    def step(world: World, memory: Memory) -> None:
        with suppress(ConfigError):  # there is no closed snapshot
            world.replay(trap and Trap(*trap))

    return step


def _reset(world: World, memory: Memory) -> None:
    world.do(lambda app: app.datasets.reset_state(NAME))


def _lose(world: World, memory: Memory) -> None:
    world.lose_tracking()


def _back_up(world: World, memory: Memory) -> None:
    if world.database_file.exists():
        memory.backup = world.back_up()


def _restore(world: World, memory: Memory) -> None:
    if memory.backup is not None:
        world.restore(memory.backup)
        world.wait(seconds=61)  # whatever was claimed when it was made


def _swap(world: World, memory: Memory) -> None:
    memory.deleted.clear()
    world.sim.swap_tenant(seed=7, timesheets=33)


def _named(name: str, step: Step) -> tuple[str, Step]:
    return name, step


few = st.integers(0, 4)
edits = st.builds(lambda a, b, c: _named(f"edit {a} {b} {c}", _edit(a, b, c)), few, few, few)
spoils = st.builds(
    lambda bad, delta: _named(f"spoil {bad} {delta}", _spoil(bad[0], bad[1], delta=delta)),
    st.sampled_from([("workingHours", "much"), ("assignmentDate", "2026-02-30"), ("modifiedAt", "2026-03-29T02:30:00"),
                     ("workingHours", "7.25"), ("isHeaderApproved", "yes"), ("hourlyRevenueCurrency", None)]),
    st.booleans(),
)  # fmt: skip
faults = st.builds(
    lambda fault, count, skip: _named(f"fault {fault} {count} {skip}", _fault(fault[0], count, skip, fault[1])),
    st.sampled_from([
        ("burst", {}), ("concurrency", {}), ("credits", {}), ("status", {"status": 502}), ("drop", {}), ("html", {}),
        ("malformed", {}), ("query_timeout", {}), ("field_error", {}), ("null_edges", {}), ("null_nodes", {}),
        ("null_current", {}), ("repeat_cursor", {}), ("expired_cursor", {"mode": "error"}),
        ("expired_cursor", {"mode": "oldest"}), ("expired_cursor", {"mode": "empty"}),
        ("bad_value", {"field": "workingHours", "value": "x"}), ("bad_value", {"field": "dbId", "value": "x"}),
        ("bad_value", {"field": "createdAt", "value": 5}),
    ]),
    st.integers(1, 3),
    st.integers(0, 3),
)  # fmt: skip
during = st.builds(lambda call, skip: _named(f"during {call} {skip}", _during(call, skip)),
                   st.sampled_from(sorted(_WHAT)), st.integers(0, 3))  # fmt: skip
traps = st.none() | st.tuples(st.sampled_from(list(Point)), st.integers(1, 3), st.sampled_from(list(Side)))
syncs = st.builds(
    lambda trap, full, limit: _named(f"sync {trap} {full} {limit}", _sync(trap, full, limit)),
    traps, st.sampled_from([False, False, True]), st.none() | st.integers(1, 2),
)  # fmt: skip
others = st.one_of(
    st.builds(lambda trap: _named(f"replay {trap}", _replay(trap)), traps),
    st.builds(lambda hours: _named(f"pass {hours}", _pass(hours)), st.sampled_from([0.5, 30, 59, 61, 80, 200])),
    st.builds(lambda mode, when: _named(f"expiry {mode} {when}", _expiry(mode, when)),
              st.sampled_from(["error", "oldest", "empty"]), st.sampled_from(["gone", "gap"])),
    st.builds(lambda yes: _named(f"current {yes}", _current(yes)), st.booleans()),
    st.sampled_from([
        ("restore rows", _restore_rows), ("unread", _unread), ("reset", _reset), ("lose", _lose),
        ("back up", _back_up), ("restore", _restore), ("swap", _swap),
    ]),
)  # fmt: skip
histories = st.lists(st.one_of(syncs, syncs, syncs, edits, edits, spoils, faults, during, others), min_size=3,
                     max_size=14)  # fmt: skip


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(
    history=histories,
    size=st.sampled_from([0, 1, 50, 90]),
    page_size=st.sampled_from([7, 20, 50]),
    now=st.sampled_from([NIGHT_OF_TWO_HOURS, SPRING]),
    refresh=st.booleans(),
)
def test_any_history(history: list[tuple[str, Step]], size: int, page_size: int, now: float, refresh: bool) -> None:
    """Whatever happened, clean syncs bring the lake to exactly what the source shows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        World(Path(folder), timesheets=size, page_size=page_size, now=now) as world,
    ):
        memory = Memory([])
        for _, step in history:
            step(world, memory)
        refresh = refresh or memory.silent
        settle(world, full_refresh=refresh)
        assert_law(world)
        if refresh:
            refused = {int(each["key"].strip("[]")) for each in world.rejected()}
            assert refused == unreadable_keys(world)
