"""The law: after anything at all, the tables equal what the sources show, and everything that we say is true."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from postroad.app import App
from postroad.catalog.status import DatasetStatus
from postroad.tracking.runs import FINAL
from tests.flow.harness import Span, World
from tests.flow.lake_reader import Row, read_table
from tests.flow.shown import Key, Shown

ATTEMPTS = 6
DAMAGED = {"drop", "timeout", "malformed", "html", "status", "repeat_cursor", "null_edges",
           "expired", "truncated", "hostile", "content_type", "empty", "redirect"}  # fmt: skip
WELL = {"succeeded", "partly_succeeded"}


def settle(world: World, *, full_refresh: bool = False) -> None:
    """Lift every fault and sync until all datasets are in step; a few syncs must do."""
    world.sim.clear_faults()
    world.sim.unreadable([])
    world.sim.refill_credits()
    world.links.clear_faults()
    world.wait(seconds=3700)  # past every lease and every wait
    refreshes = 2 if full_refresh else 0  # the first may only end a walk that was open
    for attempt in range(ATTEMPTS):
        report = world.sync(full_refresh=attempt < refreshes)
        assert report is not None
        statuses = world.statuses()
        parked = [status.dataset for status in statuses if status.parked is not None]
        for name in parked:
            world.do(partial(_let_pass, name=name))
        ended = {outcome.status for outcome in report.outcomes}
        in_step = all(status.state == "in step" for status in statuses)
        if not parked and in_step and ended <= WELL and attempt + 1 >= refreshes:
            return
        if not parked:
            world.wait(seconds=3700)
    raise AssertionError(f"not in step after {ATTEMPTS} clean syncs: {world.statuses()}; {world.said[-5:]}")


def _let_pass(app: App, name: str) -> None:
    app.rejections.retry(name, "guard")


def assert_law(world: World) -> None:
    """Everything at once; the world is in step."""
    with world.open() as app:
        rejections = [dict(row) for row in app.rejections.list()]
        runs = app.runs.list(10_000)
        statuses = {status.dataset: status for status in app.datasets.status()}
        missing = app.datasets.missing()
    assert not missing
    for shown in world.datasets:
        held = {shown.key_of(row): row for row in table_rows(world, shown)}
        mine = [
            each for each in rejections if (each["connection"], each.get("entity")) == (shown.connection, shown.entity)
        ]
        exempt = {tuple(json.loads(each["key"])) for each in mine if each["key"] is not None}
        _assert_equals_source(shown, held, exempt)
        _assert_history(world, shown, held)
        _assert_status(statuses[shown.name], len(held), mine)
        _assert_commit_order(world, shown)
    _assert_runs(runs)
    assert not list(world.lake.rglob("*:*")), "a name that some systems refuse"
    assert_nothing_twice(world)


def table_rows(world: World, shown: Shown | None = None) -> list[Row]:
    """The rows of `tables`; keys are unique, and files sorted and apart."""
    shown = shown or world.datasets[0]
    table = read_table(world.folder_of("tables", shown.name))
    _assert_types(table.files(), shown.table_types)
    for file in table.files():
        keys = [shown.key_of(row) for row in file.select(shown.key).to_pylist()]
        assert keys == sorted(keys)
    rows = table.rows()
    assert len({shown.key_of(row) for row in rows}) == len(rows), "a key twice in the table"
    return rows


def unreadable_keys(world: World, shown: Shown | None = None) -> set[Any]:
    """The rows of the source that hold a value which no column can hold; of one key column its value."""
    shown = shown or world.datasets[0]
    found = {key for key, row in shown.source().items() if row is None}
    return {key[0] for key in found} if len(shown.key) == 1 else found


def refused_keys(world: World, shown: Shown) -> set[Any]:
    """The keys that are listed as rejected."""
    keys = [json.loads(each["key"]) for each in world.rejected()
            if (each["connection"], each.get("entity")) == (shown.connection, shown.entity)]  # fmt: skip
    return {key[0] if len(shown.key) == 1 else tuple(key) for key in keys}


def _assert_equals_source(shown: Shown, held: Mapping[Key, Row], exempt: set[Key]) -> None:
    source = shown.source()
    assert set(held) - exempt == set(source) - exempt, {
        "dataset": shown.name,
        "missing": sorted(set(source) - set(held) - exempt)[:5],
        "not deleted": sorted(set(held) - set(source) - exempt)[:5],
    }
    for key in set(source) - exempt:
        wanted = source[key]
        assert wanted is not None, f"{shown.name} {key} cannot be read and is not listed as rejected"
        here = {name: held[key][name] for name in wanted}
        assert here == wanted, (shown.name, key, {
            name: (here[name], wanted[name]) for name in wanted if here[name] != wanted[name]
        })  # fmt: skip


def _assert_history(world: World, shown: Shown, held: Mapping[Key, Row]) -> None:
    """`changes` read in `_version` order gives the table, row by row and value by value."""
    changes = read_table(world.folder_of("changes", shown.name))
    _assert_types(changes.files(), shown.changes_types)
    rows = sorted(changes.rows(), key=lambda row: row["_version"])
    counted = Counter((row["_version"], shown.key_of(row)) for row in rows)
    assert not [pair for pair, times in counted.items() if times > 1], "a key twice in one version"
    replayed: dict[Key, Row] = {}
    for row in rows:
        if row["_op"] == "delete":
            assert {name for name, value in row.items() if value is not None} <= {
                *shown.key, "_op", "_version", "_run", "_changed_at",
            }, row  # fmt: skip
            replayed.pop(shown.key_of(row), None)
        else:
            assert row["_op"] == "upsert"
            replayed[shown.key_of(row)] = {name: value for name, value in row.items() if name != "_op"}
    assert replayed == held
    for table in (changes, read_table(world.folder_of("tables", shown.name))):
        fences = [positions["postroad"] for positions in table.history if "postroad" in positions]
        assert fences == sorted(fences), "a version went back"
    assert len(set(changes.members)) == len(changes.members)


def _assert_types(files: list[Any], types: Mapping[str, Any]) -> None:
    for file in files:
        assert {field.name: field.type for field in file.schema} == types


def _assert_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    known = {run["id"] for run in runs}
    for run in runs:
        assert run["status"] in FINAL, run
        if run["status"] != "lost":
            assert run["ended_at"] is not None
        elif run["successor"] is not None:
            assert run["successor"] in known
        else:
            # Somebody else found its work done, so nobody came after it: it shows as lost and is the feed's last one.
            of_feed = [each for each in runs if (each["connection"], each["feed"]) == (run["connection"], run["feed"])]
            assert not [each for each in of_feed if each["started_at"] > run["started_at"]], run


def _assert_status(status: DatasetStatus, rows: int, rejections: Sequence[Mapping[str, Any]]) -> None:
    assert status.rows == rows
    assert status.just_in == 0
    assert status.state == "in step"
    assert status.due is None
    assert status.parked is None
    assert status.rejected == dict(Counter(each["cause"] for each in rejections))


def _assert_commit_order(world: World, shown: Shown) -> None:
    """Sorted names are commit order. Kind, then time and version, then run, token and part: one commit, one version."""
    members = read_table(world.folder_of("changes", shown.name)).members
    versions = [name.partition("-")[2].rsplit("-", 3)[0] for name in members]
    assert versions == sorted(versions)


def assert_nothing_twice(world: World) -> None:
    """What was answered in full is asked again within one walk or poll at most once per kill."""
    asked: dict[tuple[str, Any], Counter[Any]] = defaultdict(Counter)
    since: dict[tuple[str, Any], int] = {}
    everything = {id(span.requests): list(span.requests) for span in world.spans}
    for span in world.spans:
        found = everything[id(span.requests)][span.first : span.last]
        if span.refused and span.requests is world.links.requests:
            continue  # A file that cannot be used was not landed, and is asked for again.
        full = [_asked(span, each) for each in found if _in_full(each) and _concerns(span, each)]
        if span.kind == "changes":
            if len(full) > 1 and full[-1] == full[-2]:
                full.pop()  # the second look of sequence 4
            assert len(set(full)) == len(full), (span.feed, full)
            continue
        assert span.walk is not None or len(full) <= 1, (span.feed, full)
        if span.walk is not None:
            walk = (span.feed, span.walk)
            since.setdefault(walk, span.kills)
            asked[walk].update(full)
            repeats = sum(times - 1 for times in asked[walk].values())
            assert repeats <= span.kills - since[walk], (walk, asked[walk])


def _concerns(span: Span, request: Mapping[str, Any]) -> bool:
    """Whether a request of that time was made by this fetch: others may fetch at the same time."""
    if "roots" not in request:
        return bool(span.feed in (f"links.{request['table']}", f"links.{str(request['table']).partition('.')[0]}"))
    deltas = any(root.endswith("_deltas") for root in request["roots"])
    if span.kind == "changes":
        return deltas
    entity = span.feed.split(".")[1]
    by_id = f"{entity}_ids" in (request["variables"] or {})
    return entity in request["roots"] and not deltas and not by_id


def _asked(span: Span, request: Mapping[str, Any]) -> Any:
    if "roots" not in request:
        return request["table"]
    variables = request["variables"] or {}
    if span.kind == "changes":
        return tuple(sorted((name, value) for name, value in variables.items() if name.endswith("_after")))
    return variables.get("after")


def _in_full(request: Mapping[str, Any]) -> bool:
    struck = set(request.get("faults", ()))
    ownerless = "null_nodes" in struck and "entities" in request["roots"]  # nobody can tell whose rows they are
    well = request["status"] == 200 and not request.get("failed")
    return bool(request["answered"] and well and not ownerless and not DAMAGED & struck)
