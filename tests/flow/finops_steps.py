"""What may happen to an environment of Finance & Operations, and what we do, as steps that Hypothesis draws."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from postroad.errors import ConfigError
from tests.flow.doomed import Trap
from tests.flow.finops_world import FinopsWorld
from tests.flow.steps import Trapped, counts, few, traps, which

HOUR = 3600.0
SILENT = {"extra", "missing", "newline", "quote"}  # the row is refused, and no later export tells it again


@dataclass(frozen=True)
class Step:
    """Something that happens; shown as a person would tell it."""

    name: str
    happen: Callable[[FinopsWorld], object]

    def __call__(self, world: FinopsWorld) -> None:
        self.happen(world)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def entity_of(world: FinopsWorld, number: int) -> str:
    """One of the entities."""
    return world.entities[number % len(world.entities)]


def _edit(world: FinopsWorld, at: int, mutated: int, deleted: int, added: int) -> None:
    entity = entity_of(world, at)
    world.sim.mutate(mutated, entity)
    world.sim.delete(deleted, entity)
    world.sim.add(added, entity, company=None if at % 2 else world.companies[-1])


def _fault(world: FinopsWorld, kind: str, options: dict[str, Any], count: int, skip: int) -> None:
    world.silent = world.silent or kind == "drift" or options.get("wound") in SILENT
    world.sim.fault(kind, count=count, skip=skip, **options)


def _during(world: FinopsWorld, call: str, root: str, skip: int) -> None:
    """Rows change while an export builds, or while keys are read."""
    arguments = {{"mutate": "n", "delete": "which", "add": "n"}[call]: 2, "entity": "VendorsV2"}
    world.sim.fault("script", root=root, skip=skip, call=call, arguments=arguments)


def _interfere(world: FinopsWorld, at: int, how: str) -> None:
    world.silent = world.silent or how == "advance"
    world.sim.interfere(entity_of(world, at), how)


def _pass(world: FinopsWorld, hours: float) -> None:
    world.sleep(hours * HOUR)


def _sync(world: FinopsWorld, trap: Trapped, full_refresh: bool, limit: int | None, sweeps: bool) -> None:
    world.sweep_every = 60.0 if sweeps else None
    world.sync(trap and Trap(*trap), full_refresh=full_refresh, limit=limit)


def _replay(world: FinopsWorld, trap: Trapped, at: int) -> None:
    name = f"finops.{entity_of(world, at)}"
    with suppress(ConfigError):  # there is no closed snapshot
        world.do(lambda app: app.runs.replay(name), trap and Trap(*trap))


def _reset(world: FinopsWorld, at: int) -> None:
    name = f"finops.{entity_of(world, at)}"
    world.do(lambda app: app.datasets.reset_state(name))


def _lose(world: FinopsWorld) -> None:
    """The tracking database is deleted."""
    for path in world.folder.glob("postroad.db*"):
        path.unlink()


edits = st.builds(
    lambda at, a, b, c: Step(f"edit {at} {a} {b} {c}", partial(_edit, at=at, mutated=a, deleted=b, added=c)),
    which, few, st.integers(0, 2), few,
)  # fmt: skip
faults = st.builds(
    lambda fault, count, skip: Step(
        f"fault {fault} {count} {skip}", partial(_fault, kind=fault[0], options=fault[1], count=count, skip=skip)
    ),
    st.sampled_from([
        ("no_id", {"mode": "empty"}), ("no_id", {"mode": "zero", "started": True}), ("never_created", {}),
        ("hang", {}), ("slow", {"seconds": 500}), ("keep_position", {}),
        ("outcome", {}), ("outcome", {"status": "Canceled"}), ("outcome", {"failed": ["VendorsV2"], "file": "partial"}),
        ("outcome", {"failed": ["MainAccounts"], "file": "absent"}),
        ("package", {"variant": "traversal"}), ("drift", {"entity": "VendorsV2", "drop": ["Notes"], "rotate": 3}),
        *(("rows", {"entity": "VendorsV2", "wound": wound, "rows": [1, 4]})
          for wound in ("extra", "missing", "newline", "quote", "duplicate", "lost")),
        ("not_found", {}), ("status_value", {}), ("empty_url", {}), ("bad_url", {"form": "other_host"}),
        ("sas_expired", {}), ("blob_gone", {}), ("truncated", {}), ("corrupt", {}), ("drop", {"root": "blob"}),
        ("repeat_page", {"root": "VendorsV2"}), ("throttle", {}), ("status", {"status": 503}), ("unauthorised", {}),
        ("redirect", {}), ("html", {}), ("malformed", {}), ("drop", {}),
    ]),
    counts,
    st.integers(0, 4),
)  # fmt: skip
during = st.builds(
    lambda call, root, skip: Step(f"during {call} {root} {skip}", partial(_during, call=call, root=root, skip=skip)),
    st.sampled_from(["mutate", "delete", "add"]),
    st.sampled_from(["GetExecutionSummaryStatus", "GetExportedPackageUrl", "blob", "VendorsV2"]),
    st.integers(0, 3),
)
incidents: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda at, how: Step(f"interfere {at} {how}", partial(_interfere, at=at, how=how)),
              which, st.sampled_from(["advance", "reset"])),
    st.builds(lambda yes: Step(f"moves {yes}", lambda world: world.sim.switch(failed_run_moves_position=yes)),
              st.booleans()),
    st.builds(lambda how: Step(f"empty {how}", lambda world: world.sim.switch(empty_delta=how)),
              st.sampled_from(["header", "zero_bytes", "absent", "no_url"])),
    st.builds(lambda how: Step(f"overlap {how}", lambda world: world.sim.switch(overlap=how)),
              st.sampled_from(["refuse", "fail", "allow"])),
    st.sampled_from([Step("revoke", lambda world: world.sim.revoke_tokens())]),
)  # fmt: skip
happenings = st.one_of(edits, edits, edits, faults, faults, during, incidents)
passings = st.builds(lambda hours: Step(f"pass {hours}", partial(_pass, hours=hours)),
                     st.sampled_from([0.1, 1.0, 9.0, 200.0]))  # fmt: skip
syncs = st.builds(
    lambda trap, full, limit, sweeps: Step(
        f"sync {trap} {full} {limit} {sweeps}",
        partial(_sync, trap=trap, full_refresh=full, limit=limit, sweeps=sweeps),
    ),
    traps, st.sampled_from([False, False, True]), st.none() | st.none() | st.integers(1, 2), st.booleans(),
)  # fmt: skip
deeds: st.SearchStrategy[Step] = st.one_of(
    syncs, syncs, syncs, syncs, syncs,
    st.builds(lambda trap, at: Step(f"replay {trap} {at}", partial(_replay, trap=trap, at=at)), traps, which),
    st.builds(lambda at: Step(f"reset {at}", partial(_reset, at=at)), which),
    st.sampled_from([Step("lose", _lose)]),
)  # fmt: skip


def histories(most: int) -> st.SearchStrategy[list[list[Step]]]:
    """Up to so many rounds: a few things happen, time may pass, then we do something."""
    before = st.lists(st.one_of(happenings, happenings, happenings, passings), max_size=3)
    rounds = st.builds(lambda steps, deed: [*steps, deed], before, deeds)
    return st.lists(rounds, min_size=1, max_size=most)
