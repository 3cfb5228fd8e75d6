"""What may happen to a world, as steps that Hypothesis draws: the sources change, things break, we sync, we die."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

from hypothesis import strategies as st

from postroad.errors import ConfigError
from postroad.telemetry import Point
from tests.flow.harness import Side, Trap, World

Trapped = tuple[Point, int, Side] | None


@dataclass
class Memory:
    """What a history remembers of itself."""

    deleted: dict[str, list[int]] = field(default_factory=dict)
    silent: bool = False  # something changed that the source told nobody: only a full refresh finds it
    vanished: bool = False
    backup: bytes | None = None
    undo: list[Callable[[], object]] = field(default_factory=list)


@dataclass
class Scene:
    """A world and the memory of what happened in it. Which dataset a step means is drawn as a number."""

    world: World
    memory: Memory = field(default_factory=Memory)

    def entity(self, which: int) -> str:
        """One entity of Xledger."""
        names = self.world.entities
        return names[which % len(names)]

    def link(self, which: int) -> str:
        """One link, as its simulator names it."""
        links = [
            f"{table}.{link}" if link else table
            for table, several in self.world.linked.items()
            for link in several or ("",)
        ]
        return links[which % len(links)]

    def dataset(self, which: int) -> str:
        """One dataset."""
        names = [each.name for each in self.world.datasets]
        return names[which % len(names)]

    def end(self) -> bool:
        """Nobody plays tricks any more; whether only a full refresh can find everything that happened."""
        for undo in self.memory.undo:
            undo()
        if self.memory.vanished:
            self.world.sim.switch(vanished_fields=())
            self.world.wait(hours=25)  # what was lacking is looked for again after a day, if there is any change
            for entity in self.world.entities:
                self.world.sim.add(1, entity=entity)
        return self.memory.silent


@dataclass(frozen=True)
class Step:
    """Something that happens; shown as a person would tell it."""

    name: str
    happen: Callable[[Scene], object]

    def __call__(self, scene: Scene) -> None:
        self.happen(scene)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _edit(scene: Scene, which: int, mutated: int, deleted: int, added: int) -> None:
    entity, sim = scene.entity(which), scene.world.sim
    sim.mutate(mutated, entity=entity)
    scene.memory.deleted.setdefault(entity, []).extend(sim.delete(deleted, entity=entity))
    sim.add(added, entity=entity)


def _restore_rows(scene: Scene) -> None:
    """What was deleted comes back under its key."""
    for entity, keys in scene.memory.deleted.items():
        scene.world.sim.restore(keys, entity=entity)
    scene.memory.deleted.clear()


def _spoil(scene: Scene, name: str, value: Any, delta: bool) -> None:
    if "timesheets" not in scene.world.entities:
        return
    keys = sorted(scene.world.sim.rows())
    scene.memory.silent = scene.memory.silent or not delta
    if keys:
        scene.world.sim.update(keys[len(keys) // 2], delta=delta, **{name: value})


def _rename(scene: Scene, which: int, told: bool) -> None:
    """A name that other rows show as well."""
    sim = scene.world.sim
    kind = ("project", "customer", "employee")[which % 3]
    keys = sorted(sim.rows(entity=f"{kind}s"))
    sim.switch(renames_make_delta=told)
    scene.memory.silent = scene.memory.silent or not told
    sim.rename(kind, keys[which % len(keys)], f"Nytt namn {which}")


def _unread(scene: Scene, which: int) -> None:
    """Some rows cannot be read by id, and change."""
    entity = scene.entity(which)
    ids = scene.world.sim.mutate(3, entity=entity)
    scene.world.sim.unreadable(ids, entity=entity)
    scene.memory.undo.append(lambda: scene.world.sim.unreadable([], entity=entity))


def _fault(scene: Scene, kind: str, options: dict[str, Any], count: int, skip: int) -> None:
    # A row whose key nobody could read is rejected, and nobody can say which one it was: a full refresh brings it.
    scene.memory.silent = scene.memory.silent or kind == "null_nodes" or options.get("field") == "dbId"
    scene.world.sim.fault(kind, count=count, skip=skip, **options)


def _during(scene: Scene, call: str, which: int, skip: int) -> None:
    """Rows change while a walk is on its way."""
    entity = scene.entity(which)
    arguments = {_WHAT[call]: 2, "entity": entity}
    scene.world.sim.fault("script", root=entity, skip=skip, call=call, arguments=arguments)


_WHAT = {"mutate": "n", "delete": "which", "add": "n"}


def _switch(scene: Scene, **values: Any) -> None:
    scene.world.sim.switch(**values)


def _vanish(scene: Scene, name: str) -> None:
    """The server does not know a field any more."""
    scene.world.sim.switch(vanished_fields=(name,))
    scene.memory.vanished = True


def _pass(scene: Scene, hours: float) -> None:
    scene.world.wait(hours=hours)


def _swap(scene: Scene) -> None:
    scene.memory.deleted.clear()
    scene.world.sim.swap_tenant(seed=7, timesheets=33)


# Links


def _rework(scene: Scene, which: int, changed: int, deleted: int, added: int) -> None:
    links, table = scene.world.links, scene.link(which)
    links.change(table, changed)
    if links.rows(table):  # a new row is made after one that is there
        links.add(table, added)
    links.delete(table, deleted)


def _blot(scene: Scene, which: int) -> None:
    """A cell of a wrong type, beside the key."""
    links, table = scene.world.links, scene.link(which)
    rows = links.rows(table)
    captions = [name for name in ("Date To", "Created", "Amount in USD", "Rate") if rows and name in rows[-1]]
    if captions and rows[-1].get("Date From") != date(1999, 12, 31):
        links.set_cell(table, len(rows) - 1, captions[0], "never")


def _retitle(scene: Scene, which: int) -> None:
    """A column has another caption for a while."""
    links, table = scene.world.links, scene.link(which)
    caption = "Owner"
    if caption in (links.rows(table) or [{}])[0]:
        links.rename_column(table, caption, "Eier")
        scene.memory.undo.append(partial(links.rename_column, table, "Eier", caption))


def _break(scene: Scene, which: int, kind: str, options: dict[str, Any], count: int) -> None:
    scene.world.links.fault(kind, count=count, table=scene.link(which), **options)


# What we do


def _sync(scene: Scene, trap: Trapped, full_refresh: bool, limit: int | None, which: int | None, parallel: int) -> None:
    select = None if which is None else scene.dataset(which)
    scene.world.sync(trap and Trap(*trap), select=select, full_refresh=full_refresh, limit=limit, parallel=parallel)


def _since(scene: Scene, trap: Trapped, which: int, day: str) -> None:
    with suppress(ConfigError):  # it has no column to cut by
        scene.world.sync(trap and Trap(*trap), select=scene.dataset(which), since=day)


def _replay(scene: Scene, trap: Trapped, which: int) -> None:
    with suppress(ConfigError):  # there is no closed snapshot, or the books are another lake's
        scene.world.replay(trap and Trap(*trap), scene.dataset(which))


def _reset(scene: Scene, which: int) -> None:
    name = scene.dataset(which)
    scene.world.do(lambda app: app.datasets.reset_state(name))


def _lose(scene: Scene) -> None:
    scene.world.lose_tracking()


def _back_up(scene: Scene) -> None:
    if scene.world.database_file.exists():
        scene.memory.backup = scene.world.back_up()


def _restore(scene: Scene) -> None:
    if scene.memory.backup is not None:
        scene.world.restore(scene.memory.backup)
        scene.world.wait(seconds=61)  # whatever was claimed when it was made


few = st.integers(0, 4)
which = st.integers(0, 7)
traps = st.none() | st.tuples(st.sampled_from(list(Point)), st.integers(1, 4), st.sampled_from(list(Side)))
counts = st.integers(1, 3)

edits = st.builds(
    lambda at, a, b, c: Step(f"edit {at} {a} {b} {c}", partial(_edit, which=at, mutated=a, deleted=b, added=c)),
    which, few, few, few,
)  # fmt: skip
spoils = st.builds(
    lambda bad, delta: Step(f"spoil {bad} {delta}", partial(_spoil, name=bad[0], value=bad[1], delta=delta)),
    st.sampled_from([("workingHours", "much"), ("assignmentDate", "2026-02-30"), ("modifiedAt", "2026-03-29T02:30:00"),
                     ("workingHours", "7.25"), ("isHeaderApproved", "yes"), ("hourlyRevenueCurrency", None)]),
    st.booleans(),
)  # fmt: skip
faults = st.builds(
    lambda fault, count, skip: Step(
        f"fault {fault} {count} {skip}", partial(_fault, kind=fault[0], options=fault[1], count=count, skip=skip)
    ),
    st.sampled_from([
        ("burst", {}), ("concurrency", {}), ("credits", {}), ("status", {"status": 502}), ("drop", {}), ("html", {}),
        ("malformed", {}), ("query_timeout", {}), ("field_error", {}), ("null_edges", {}), ("null_nodes", {}),
        ("null_current", {}), ("repeat_cursor", {}), ("expired_cursor", {"mode": "error"}),
        ("expired_cursor", {"mode": "oldest"}), ("expired_cursor", {"mode": "empty"}),
        ("bad_value", {"field": "workingHours", "value": "x"}), ("bad_value", {"field": "dbId", "value": "x"}),
        ("bad_value", {"field": "createdAt", "value": 5}),
    ]),
    counts,
    st.integers(0, 3),
)  # fmt: skip
during = st.builds(
    lambda call, at, skip: Step(f"during {call} {at} {skip}", partial(_during, call=call, which=at, skip=skip)),
    st.sampled_from(sorted(_WHAT)), which, st.integers(0, 3),
)  # fmt: skip
incidents: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda mode, at: Step(f"expiry {mode} {at}", partial(_switch, expired_cursor=mode, expired_when=at)),
              st.sampled_from(["error", "oldest", "empty"]), st.sampled_from(["gone", "gap"])),
    st.builds(lambda yes: Step(f"current {yes}", partial(_switch, current_available=yes)), st.booleans()),
    st.builds(lambda yes: Step(f"partial {yes}", partial(_switch, partial_data=yes)), st.booleans()),
    st.builds(lambda at, told: Step(f"rename {at} {told}", partial(_rename, which=at, told=told)),
              which, st.booleans()),
    st.builds(lambda at: Step(f"unread {at}", partial(_unread, which=at)), which),
    st.builds(lambda name: Step(f"vanish {name}", partial(_vanish, name=name)),
              st.sampled_from(["Timesheet.hourlyRevenueCurrency", "Project.shortInfo", "Customer.email"])),
    st.sampled_from([Step("restore rows", _restore_rows), Step("swap", _swap)]),
)  # fmt: skip
company = st.one_of(edits, edits, edits, spoils, faults, faults, during, incidents)
"""What happens in Xledger."""

reworks = st.builds(
    lambda at, a, b, c: Step(f"rework {at} {a} {b} {c}", partial(_rework, which=at, changed=a, deleted=b, added=c)),
    which, few, few, few,
)  # fmt: skip
breaks = st.builds(
    lambda at, fault, count: Step(
        f"break {at} {fault} {count}", partial(_break, which=at, kind=fault[0], options=fault[1], count=count)
    ),
    which,
    st.sampled_from([
        ("html", {}), ("expired", {}), ("status", {"status": 503}), ("status", {"status": 429, "retry_after": 2}),
        ("status", {"status": 429, "retry_after": 7200}), ("truncated", {}), ("truncated", {"unnoticed": True}),
        ("malformed", {}), ("hostile", {"file": "traversal"}), ("hostile", {"file": "macros"}),
        ("content_type", {}), ("empty", {}), ("redirect", {}), ("redirect", {"to": "https://elsewhere.example/x"}),
    ]),
    counts,
)  # fmt: skip
links = st.one_of(
    reworks, reworks, reworks, breaks, breaks,
    st.builds(lambda at: Step(f"blot {at}", partial(_blot, which=at)), which),
    st.builds(lambda at: Step(f"retitle {at}", partial(_retitle, which=at)), which),
)  # fmt: skip
"""What happens to links."""

passings = st.builds(lambda hours: Step(f"pass {hours}", partial(_pass, hours=hours)),
                     st.sampled_from([0.5, 30, 59, 61, 80, 200]))  # fmt: skip
syncs = st.builds(
    lambda trap, full, limit, at, parallel: Step(
        f"sync {trap} {full} {limit} {at} {parallel}",
        partial(_sync, trap=trap, full_refresh=full, limit=limit, which=at, parallel=parallel),
    ),
    traps, st.sampled_from([False, False, True]), st.none() | st.none() | st.integers(1, 2),
    st.none() | st.none() | which, st.sampled_from([1, 3]),
)  # fmt: skip
deeds: st.SearchStrategy[Step] = st.one_of(
    syncs, syncs, syncs, syncs,
    st.builds(lambda trap, at, day: Step(f"since {trap} {at} {day}", partial(_since, trap=trap, which=at, day=day)),
              traps, which, st.sampled_from(["2026-01-01", "last_month"])),
    st.builds(lambda trap, at: Step(f"replay {trap} {at}", partial(_replay, trap=trap, which=at)), traps, which),
    st.builds(lambda at: Step(f"reset {at}", partial(_reset, which=at)), which),
    st.sampled_from([Step("lose", _lose), Step("back up", _back_up), Step("restore", _restore)]),
)  # fmt: skip
"""What we do."""


def histories(happenings: st.SearchStrategy[Step], most: int) -> st.SearchStrategy[list[list[Step]]]:
    """Up to so many rounds: a few things happen, time may pass, then we do something."""
    before = st.lists(st.one_of(happenings, happenings, happenings, passings), max_size=3)
    rounds = st.builds(lambda steps, deed: [*steps, deed], before, deeds)
    return st.lists(rounds, min_size=1, max_size=most)
