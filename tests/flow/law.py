"""The law: after anything at all, the tables equal what the source shows, and everything that we say is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from postroad.catalog.status import DatasetStatus
from postroad.tracking.runs import FINAL
from tests.flow.expected import CHANGES_TYPES, TABLE_TYPES, UnreadableError, converted
from tests.flow.harness import NAME, World
from tests.flow.lake_reader import Row, read_table

ATTEMPTS = 6
DAMAGED = {"drop", "timeout", "malformed", "html", "status", "repeat_cursor", "null_edges"}


def settle(world: World, *, full_refresh: bool = False) -> None:
    """Lift every fault and sync until the dataset is in step; a few syncs must do."""
    world.sim.clear_faults()
    world.sim.unreadable([])
    world.sim.refill_credits()
    world.wait(seconds=3700)  # past every lease and every wait
    refreshes = 2 if full_refresh else 0  # the first may only end a walk that was open
    for attempt in range(ATTEMPTS):
        report = world.sync(full_refresh=attempt < refreshes)
        assert report is not None
        status = world.status()
        if status.parked is not None:
            world.do(lambda app: app.rejections.retry(NAME, "guard"))
            continue
        statuses = {outcome.status for outcome in report.outcomes}
        if status.state == "in step" and statuses <= {"succeeded", "partly_succeeded"} and attempt + 1 >= refreshes:
            return
        world.wait(seconds=3700)
    raise AssertionError(f"not in step after {ATTEMPTS} clean syncs: {world.status()}; {world.said[-5:]}")


def assert_law(world: World) -> None:
    """Everything at once; the world is in step."""
    held = {row["dbId"]: row for row in table_rows(world)}
    with world.open() as app:
        rejections = [dict(row) for row in app.rejections.list()]
        runs = app.runs.list(10_000)
        status = app.datasets.status()[0]
        missing = app.datasets.missing()
    exempt = {int(each["key"].strip("[]")) for each in rejections if each["key"] is not None}
    _assert_equals_source(world, held, exempt)
    _assert_history(world, held)
    _assert_runs(runs)
    _assert_status(status, len(held), rejections)
    assert not missing
    _assert_names(world)
    assert_nothing_twice(world)


def table_rows(world: World) -> list[Row]:
    """The rows of `tables`; keys are unique, and files sorted and apart."""
    table = read_table(world.tables)
    _assert_types(table.files(), TABLE_TYPES)
    for file in table.files():
        keys = file.column("dbId").to_pylist()
        assert keys == sorted(keys)
    rows = table.rows()
    assert len({row["dbId"] for row in rows}) == len(rows), "a key twice in the table"
    return rows


def unreadable_keys(world: World) -> set[int]:
    """The rows of the source that hold a value which no column can hold."""
    return {key for key, node in world.sim.rows().items() if _expected(node) is None}


def _expected(node: Any) -> Row | None:
    try:
        return converted(node)
    except UnreadableError:
        return None


def _assert_equals_source(world: World, held: dict[int, Row], exempt: set[int]) -> None:
    source = world.sim.rows()
    assert set(held) - exempt == set(source) - exempt, {
        "missing": sorted(set(source) - set(held) - exempt)[:5],
        "not deleted": sorted(set(held) - set(source) - exempt)[:5],
    }
    for key in set(source) - exempt:
        wanted = _expected(source[key])
        assert wanted is not None, f"{key} cannot be read and is not listed as rejected"
        shown = {name: held[key][name] for name in wanted}
        assert shown == wanted, {name: (shown[name], wanted[name]) for name in wanted if shown[name] != wanted[name]}


def _assert_history(world: World, held: dict[int, Row]) -> None:
    """`changes` read in `_version` order gives the table, row by row and value by value."""
    changes = read_table(world.changes)
    _assert_types(changes.files(), CHANGES_TYPES)
    rows = sorted(changes.rows(), key=lambda row: row["_version"])
    counted = Counter((row["_version"], row["dbId"]) for row in rows)
    assert not [pair for pair, times in counted.items() if times > 1], "a key twice in one version"
    replayed: dict[int, Row] = {}
    for row in rows:
        if row["_op"] == "delete":
            assert {name for name, value in row.items() if value is not None} <= {
                "dbId", "_op", "_version", "_run", "_changed_at",
            }, row  # fmt: skip
            replayed.pop(row["dbId"], None)
        else:
            assert row["_op"] == "upsert"
            replayed[row["dbId"]] = {name: value for name, value in row.items() if name != "_op"}
    assert replayed == held
    for table in (changes, read_table(world.tables)):
        fences = [positions["postroad"] for positions in table.history if "postroad" in positions]
        assert fences == sorted(fences), "a version went back"
    assert len(set(changes.members)) == len(changes.members)


def _assert_types(files: list[Any], types: dict[str, Any]) -> None:
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
            later = [each for each in runs if each["feed"] == run["feed"] and each["started_at"] > run["started_at"]]
            assert not later, run


def _assert_status(status: DatasetStatus, rows: int, rejections: Sequence[Mapping[str, Any]]) -> None:
    assert status.rows == rows
    assert status.just_in == 0
    assert status.state == "in step"
    assert status.due is None
    assert status.parked is None
    assert status.rejected == dict(Counter(each["cause"] for each in rejections))


def _assert_names(world: World) -> None:
    """Sorted names are commit order, and no name holds what some system refuses."""
    for path in world.lake.rglob("*"):
        assert ":" not in path.name
    # Kind, then time and version, then run, token and part: the files of one commit have one version.
    versions = [name.partition("-")[2].rsplit("-", 3)[0] for name in read_table(world.changes).members]
    assert versions == sorted(versions)


def assert_nothing_twice(world: World) -> None:
    """What was answered in full is asked again within one walk or poll at most once per kill."""
    requests = list(world.sim.requests)
    walks: dict[tuple[int, int], list[str | None]] = {}
    since: dict[tuple[int, int], int] = {}
    for span in world.spans:
        full = [each for each in requests[span.first : span.last] if _in_full(each)]
        if span.walk is not None:
            since.setdefault(span.walk, span.kills)
            walks.setdefault(span.walk, []).extend(each["variables"].get("after") for each in full)
            repeats = sum(times - 1 for times in Counter(walks[span.walk]).values())
            assert repeats <= span.kills - since[span.walk], (span, walks[span.walk])
            continue
        asked = [each["variables"].get("timesheets_after") for each in full if "timesheet_deltas" in each["roots"]]
        if len(asked) > 1 and asked[-1] == asked[-2]:
            asked.pop()  # the second look of sequence 4
        assert len(set(asked)) == len(asked), asked


def _in_full(request: Any) -> bool:
    struck = set(request["faults"])
    ownerless = "null_nodes" in struck and "entities" in request["roots"]  # nobody can tell whose rows they are
    return bool(request["answered"] and not request["failed"] and not ownerless and not DAMAGED & struck)
