"""Finance & Operations over its sockets, from sign-in to tables: the spine's law, kills, and the faults by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.d365_finops.simulator.exports import Asked
from postroad.telemetry import Point
from tests.flow.doomed import Side, Trap
from tests.flow.finops_world import FinopsWorld, assert_law

FEW = {"VendorsV2": 6, "MainAccounts": 3}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FinopsWorld]:
    """Vendors of two companies and shared accounts that nobody exported yet."""
    with FinopsWorld(tmp_path) as world:
        yield world


@pytest.fixture(scope="module")
def _wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinopsWorld]:
    """A loaded world that all tests of this module go on with: a load is the dear part."""
    with FinopsWorld(tmp_path_factory.mktemp("wide")) as world:
        world.sync_wait()
        world.keep()
        yield world


@pytest.fixture(scope="module")
def _narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinopsWorld]:
    """The same with the vendors of one company: for what does not depend on how many there are."""
    with FinopsWorld(tmp_path_factory.mktemp("narrow"), companies=("usmf",), entities=("VendorsV2",)) as world:
        world.sync_wait()
        world.keep()
        yield world


@pytest.fixture(scope="module")
def _typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinopsWorld]:
    """Entities that have a field of every type."""
    entities = ("VendorsV2", "CustomersV3", "Employees")
    with FinopsWorld(tmp_path_factory.mktemp("typed"), companies=("usmf",), entities=entities) as world:
        world.sync_wait()
        world.keep()
        yield world


@pytest.fixture
def wide(_wide: FinopsWorld) -> FinopsWorld:
    """Two entities in two companies, in order again, whatever the test before left behind."""
    _wide.put_back()
    return _wide


@pytest.fixture
def loaded(_narrow: FinopsWorld) -> FinopsWorld:
    """The vendors of one company, in order again."""
    _narrow.put_back()
    return _narrow


@pytest.fixture
def typed(_typed: FinopsWorld) -> FinopsWorld:
    """A field of every type, in order again."""
    _typed.put_back()
    return _typed


def statuses(report: Any) -> set[str]:
    """How the runs of a report ended."""
    return {outcome.status for outcome in report.outcomes}


def reasons(report: Any) -> str:
    """Why they ended so."""
    return "; ".join(outcome.reason or "" for outcome in report.outcomes)


def begin_theirs(world: FinopsWorld, project: str, seconds: float, company: str = "demf") -> None:
    """Somebody else exports a project, which takes so long."""
    theirs = Asked("ExportToPackageAsync", project, "theirs", f"theirs-{world.now}", False, company)
    before = world.sim.switches.export_seconds
    world.sim.switch(export_seconds=seconds)
    world.sim.exporter.start(theirs, [], world.sim.clock.now(), world.sim.switches)
    world.sim.switch(export_seconds=before)


# The law


def test_a_full_dump_and_then_changes(world: FinopsWorld) -> None:
    assert statuses(world.sync_wait()) == {"succeeded"}
    assert_law(world)
    assert all(row["_op"] == "upsert" for row in world.history("VendorsV2"))
    loaded = len(world.history("VendorsV2"))
    changed = {*map(tuple, world.sim.mutate(3)), *map(tuple, world.sim.add(2))}
    world.sim.add(2, "MainAccounts")
    world.sync_wait()
    assert_law(world)
    here = {key for key in changed if key[0] in world.companies}
    assert len(world.history("VendorsV2")) - loaded == len(here)  # a full dump is one export's rows, never two


def test_a_quiet_run_lands_nothing_and_exports_once_for_each_company(wide: FinopsWorld) -> None:
    before, landed = len(wide.exports()), wide.points[Point.PAYLOAD_FILE]
    assert statuses(wide.sync_wait()) == {"succeeded"}
    assert len(wide.exports()) - before == len(wide.companies)
    assert wide.points[Point.PAYLOAD_FILE] == landed
    assert_law(wide)


def test_a_deletion_is_in_no_export_and_a_full_refresh_finds_it(loaded: FinopsWorld) -> None:
    gone = loaded.sim.delete(2, company="usmf")
    loaded.sync_wait()
    assert {tuple(key) for key in gone} <= set(loaded.table("VendorsV2"))
    before = len(loaded.history("VendorsV2"))
    loaded.sync_wait(full_refresh=True)
    assert_law(loaded)
    assert [row["_op"] for row in loaded.history("VendorsV2")[before:]] == ["delete"] * 2


def test_the_key_sweep_finds_what_no_export_tells(wide: FinopsWorld) -> None:
    wide.sim.switch(page_limit=5)
    gone = [*wide.sim.delete(2, company="usmf"), *wide.sim.delete(1, company="demf")]
    assert len(wide.sim.delete(1, "MainAccounts")) == 1
    wide.sim.mutate(3, company="usmf")
    wide.sim.add(2, company="demf")
    wide.sync_wait()
    dumps, before = len(wide.exports("Postroad VendorsV2")), len(wide.history("VendorsV2"))
    assert {tuple(key) for key in gone} <= set(wide.table("VendorsV2"))
    wide.sweep_every = 3600.0
    assert statuses(wide.sync_wait()) == {"succeeded"}
    assert_law(wide)
    assert [row["_op"] for row in wide.history("VendorsV2")[before:]] == ["delete"] * 3
    assert len(wide.exports("Postroad VendorsV2")) == dumps  # no row was read for it
    requests = len(wide.sim.log)
    wide.sync_wait()
    assert not [each for each in wide.sim.log[requests:] if each["path"].startswith("/data/VendorsV2")]


@pytest.mark.parametrize("switches", [{}, {"next_link": "skip"}, {"next_link_base": "http://internal:80"}])
def test_the_pages_of_a_sweep_are_linked_in_any_form(loaded: FinopsWorld, switches: dict[str, Any]) -> None:
    loaded.sim.switch(**({"page_limit": 5} if switches else {}), **switches)
    loaded.sim.delete(2, company="usmf")
    loaded.sweep_every = 3600.0
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_a_sweep_takes_nothing_for_deleted_that_its_pages_only_missed(loaded: FinopsWorld) -> None:
    loaded.sim.switch(page_limit=5, next_link="skip")
    gone = loaded.sim.delete([min(loaded.table("VendorsV2"))])
    held = set(loaded.table("VendorsV2"))
    more = sorted(held)[2]  # read before it goes: the pages behind it lack a row that lives
    loaded.sim.fault("script", root="VendorsV2", skip=1, call="delete", arguments={"which": [list(more)]}, when="after")
    loaded.sweep_every = 3600.0
    loaded.sync_wait()
    left = held - {tuple(key) for key in gone}
    assert left - {more} <= set(loaded.table("VendorsV2"))
    loaded.now += 7200
    loaded.sync_wait()
    assert_law(loaded)


def test_pages_that_go_round_in_circles_delete_nothing(loaded: FinopsWorld) -> None:
    loaded.sim.switch(page_limit=5)
    held = loaded.table("VendorsV2")
    loaded.sim.fault("repeat_page", count=None, root="VendorsV2")
    loaded.sweep_every = 3600.0
    report = loaded.sync_wait()
    assert "round in circles" in reasons(report)
    assert loaded.table("VendorsV2") == held


def test_a_sweep_that_finds_a_row_which_no_change_told_of_asks_for_a_full_refresh(loaded: FinopsWorld) -> None:
    loaded.sim.add(2, company="usmf")
    loaded.sim.interfere("VendorsV2", "advance")
    loaded.sync_wait()
    assert set(loaded.source("VendorsV2")) - set(loaded.table("VendorsV2"))
    loaded.sweep_every = 3600.0
    loaded.sync_wait()
    assert any("no change told of" in (each.due or "") for each in loaded.statuses())
    loaded.sync_wait()
    assert_law(loaded)


def test_a_kill_at_any_durable_point_of_a_sweep_deletes_nothing_that_lives(loaded: FinopsWorld) -> None:
    loaded.sim.switch(page_limit=5)
    loaded.sweep_every = 3600.0
    for trap in (
        Trap(Point.PAYLOAD_ROW, 3, Side.BEFORE), Trap(Point.PAYLOAD_ROW, 6), Trap(Point.STAGED_ROW, 1),
        Trap(Point.WALK_CONFIRMED, 1, Side.BEFORE), Trap(Point.WALK_CONFIRMED, 1), Trap(Point.CHANGES_COMMIT, 1),
    ):  # fmt: skip
        loaded.sim.delete(1, company="usmf")
        loaded.sim.mutate(1, company="usmf")
        loaded.now += 7200
        loaded.sync(trap)
    for _ in range(2):  # the first goes on with keys that were read before the last of them was deleted
        loaded.now += 7200
        loaded.sync_wait()
    assert_law(loaded)


def test_an_empty_company_is_loaded_and_fills_later(tmp_path: Path) -> None:
    with FinopsWorld(tmp_path, sizes=FEW, companies=("usmf", "dat"), entities=("VendorsV2",)) as world:
        assert statuses(world.sync_wait()) == {"succeeded"}
        assert_law(world)
        world.sim.add(3, company="dat")
        world.sync_wait()
        assert_law(world)


def test_an_entity_added_later_begins_with_a_full_dump_of_its_own(tmp_path: Path) -> None:
    with FinopsWorld(tmp_path, sizes=FEW, entities=("VendorsV2",)) as world:
        world.sync_wait()
        world.sim.project("Postroad MainAccounts", ["MainAccounts"], incremental=False)
        world.sim.project("Postroad", ["VendorsV2", "MainAccounts"])
        world.sim.mutate(2)
        world.entities = ("VendorsV2", "MainAccounts")
        world.sync_wait()
        assert_law(world)


# Kills


POINTS = [
    Point.RUN_CLAIMED,
    Point.PAYLOAD_FILE,
    Point.PAYLOAD_ROW,
    Point.HEAD_REACHED,
    Point.REJECTED_ROWS,
    Point.CHANGES_FILE,
    Point.CHANGES_COMMIT,
    Point.TABLE_FILE,
    Point.TABLE_COMMIT,
    Point.RUN_ENDED,
]


def test_a_kill_at_any_durable_point_of_a_poll_loses_nothing(wide: FinopsWorld) -> None:
    fired = 0
    for place, point in enumerate(POINTS):
        wide.sim.mutate(2, company="usmf")
        wide.sim.mutate(1, "MainAccounts")
        trap = Trap(point, 1 + place % 2, (Side.AFTER, Side.BEFORE)[place % 2])
        wide.sync(trap)
        fired += trap.fired
    wide.sync_wait()
    assert_law(wide)
    assert fired >= len(POINTS) - 3


@pytest.mark.parametrize("point", [Point.PAYLOAD_ROW, Point.PAYLOAD_FILE, Point.STAGED_FILE, Point.CHANGES_COMMIT,
                                   Point.WALK_BEGUN, Point.CLOSE_MOVED])  # fmt: skip
def test_a_kill_at_any_durable_point_of_the_first_load_loses_nothing(tmp_path: Path, point: Point) -> None:
    with FinopsWorld(tmp_path, sizes=FEW, companies=("usmf",)) as world:
        for nth, side in ((1, Side.BEFORE), (2, Side.AFTER)):
            world.sim.mutate(1, company="usmf")
            world.sync(Trap(point, nth, side))
        world.sync_wait()
        assert_law(world)


def test_what_landed_of_a_package_is_never_landed_again(loaded: FinopsWorld) -> None:
    loaded.configure(block_megabytes=0.001)
    keys = loaded.sim.mutate(12, company="usmf")
    before = len(loaded.history("VendorsV2"))
    loaded.sync(Trap(Point.PAYLOAD_ROW, 4))
    exports = len(loaded.exports("Postroad"))
    loaded.sync_wait()
    assert_law(loaded)
    assert len(loaded.history("VendorsV2")) - before == len({*map(tuple, keys)})
    assert len(loaded.exports("Postroad")) == exports  # it went on with the one that it had


# Waits


def test_a_run_waits_without_a_process_and_the_next_goes_on_with_the_same_execution(loaded: FinopsWorld) -> None:
    loaded.configure(polls=1, wait_seconds=60)
    loaded.sim.switch(export_seconds=100)
    loaded.sim.mutate(2)
    report = loaded.sync()
    assert report is not None
    assert statuses(report) == {"waiting"}
    assert "still building" in reasons(report)
    begun = loaded.exports()[-1]
    loaded.now += 10
    assert statuses(loaded.sync()) == {"waiting"}
    assert loaded.exports()[-1]["id"] == begun["id"]
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)
    assert len(loaded.exports()) == len({run["id"] for run in loaded.exports()})


def test_a_first_load_waits_for_every_export_of_it(tmp_path: Path) -> None:
    few = {"polls": 1, "wait_seconds": 60}
    with FinopsWorld(tmp_path, sizes=FEW, companies=("usmf",), settings=few, export_seconds=50) as world:
        world.sync_wait()
        assert_law(world)
        world.sim.mutate(2)
        world.sync_wait()
        assert_law(world)


def test_sequence_21_a_walk_begins_where_its_export_does(loaded: FinopsWorld) -> None:
    begin_theirs(loaded, "Postroad VendorsV2", 90)
    assert "waiting" in statuses(loaded.sync(full_refresh=True))  # another export runs: this one cannot begin
    (passing,) = loaded.sim.add(1, company="usmf")
    loaded.sync()
    assert tuple(passing) in loaded.table("VendorsV2")
    loaded.sim.delete([passing])
    loaded.sync_wait()
    assert_law(loaded)


def test_a_walk_whose_start_was_not_answered_is_started_under_another_id(loaded: FinopsWorld) -> None:
    loaded.sim.switch(export_seconds=0.0)
    loaded.sim.fault("never_created", skip=1)
    loaded.configure(polls=2)
    assert "waiting" in statuses(loaded.sync(full_refresh=True))
    (passing,) = loaded.sim.add(1, company="usmf")
    loaded.sync()
    assert tuple(passing) in loaded.table("VendorsV2")
    loaded.sim.delete([passing])
    loaded.sync_wait()
    assert_law(loaded)


def test_a_run_whose_walk_still_builds_exports_no_changes_for_it(loaded: FinopsWorld) -> None:
    before = len(loaded.exports("Postroad"))
    loaded.sim.fault("slow", skip=1, seconds=90)
    assert statuses(loaded.sync(full_refresh=True)) == {"succeeded", "waiting"}
    assert len(loaded.exports("Postroad")) - before == len(loaded.companies)
    loaded.sync_wait()
    assert_law(loaded)


# Fact sheet section 7, by name


def test_no_id(loaded: FinopsWorld) -> None:
    for place, mode in enumerate(("empty", "null", "zero", "missing", "empty")):
        loaded.sim.mutate(1, company="usmf")
        loaded.sim.fault("no_id", mode=mode, started=bool(place % 2))
        assert statuses(loaded.sync_wait()) == {"succeeded"}
        assert_law(loaded)


def test_start_call_timeout(loaded: FinopsWorld) -> None:
    loaded.configure(timeout=0.5)
    loaded.sim.mutate(2, company="usmf")
    before = len(loaded.exports())
    loaded.sim.fault("timeout", root="export", seconds=1)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)
    assert len(loaded.exports()) - before == len(loaded.companies)  # never started twice


def test_early_400_on_status(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("not_found", count=4, skip=1)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_an_id_whose_execution_never_exists(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("never_created")
    loaded.configure(polls=2)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_never_finishes(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("hang")
    loaded.configure(polls=2, deadline_hours=1)
    assert statuses(loaded.sync()) == {"waiting"}
    loaded.now += 2 * 3600
    report = loaded.sync()
    assert statuses(report) == {"failed"}
    hanging = loaded.exports()[-1]["id"]
    assert hanging in reasons(report)
    loaded.sim.finish(hanging)  # late, and it still holds the changes
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


@pytest.mark.parametrize(("status", "moves"), [("Failed", False), ("Failed", True), ("Canceled", True)])
def test_failed_or_canceled(loaded: FinopsWorld, status: str, *, moves: bool) -> None:
    loaded.sim.switch(failed_run_moves_position=moves)
    loaded.sim.mutate(2, company="usmf")
    broken = '[{"RecordId":"1","Field":"NAME","ErrorMessage":"the "quoted" name\n DMF1959 of Anna Secret"}'
    loaded.sim.fault("outcome", status=status, errors_text=broken)
    report = loaded.sync_wait()
    assert_law(loaded)
    assert any("DMF1959" in sentence and status in sentence for sentence in loaded.said)
    assert not any("Anna Secret" in text for text in [*loaded.said, reasons(report)])


def test_partially_succeeded(wide: FinopsWorld) -> None:
    wide.sim.mutate(4, company="usmf")
    wide.sim.mutate(2, "MainAccounts")
    before, walked = len(wide.history("MainAccounts")), len(wide.exports("Postroad MainAccounts"))
    wide.sim.fault("outcome", failed=["VendorsV2"], file="partial")
    wide.sync_wait()
    assert_law(wide)
    assert len(wide.history("MainAccounts")) - before == 2
    assert len(wide.exports("Postroad MainAccounts")) == walked  # only what failed was refreshed


def test_a_file_of_a_full_dump_that_failed_closes_nothing(loaded: FinopsWorld) -> None:
    held = loaded.table("VendorsV2")
    loaded.sim.fault("outcome", skip=1, failed=["VendorsV2"], status="PartiallySucceeded", file="partial")
    report = loaded.sync_wait(full_refresh=True)
    assert "failed" in statuses(report)
    assert loaded.table("VendorsV2") == held
    assert "failed" not in statuses(loaded.sync_wait())
    assert_law(loaded)


def test_unknown(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("status_value", count=3, skip=1)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_empty_url(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("empty_url", count=4)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_wrong_scheme_or_host(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    for form in ("relative", "other_host", "lookalike", "user", "file", "http"):
        loaded.sim.fault("bad_url", form=form)
        report = loaded.sync()
        assert statuses(report) == {"failed"}, form
        assert "sig=" not in reasons(report)
    loaded.sync_wait()
    assert_law(loaded)


def test_only_https_is_followed_unless_a_setting_allows_more(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.configure(allow_http=False)
    assert "only https is followed" in reasons(loaded.sync_wait())
    loaded.configure(allow_http=True)
    loaded.sync_wait()
    assert_law(loaded)


def test_sas_expired(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("sas_expired", count=2)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_blob_gone(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("blob_gone")
    loaded.sync_wait()
    assert_law(loaded)
    assert any("may be lost" in sentence for sentence in loaded.said)


def test_an_execution_that_is_forgotten_while_nobody_looked_is_lost(loaded: FinopsWorld) -> None:
    loaded.configure(polls=1)
    loaded.sim.mutate(2, company="usmf")
    assert statuses(loaded.sync()) == {"waiting"}
    loaded.sim.advance(days=9)
    loaded.sync_wait()
    assert_law(loaded)


@pytest.mark.parametrize("kind", ["drop", "corrupt", "ignore_range"])
def test_truncated_or_corrupt_zip(loaded: FinopsWorld, kind: str) -> None:
    loaded.sim.mutate(20, company="usmf")
    loaded.sim.fault("drop", root="blob", count=2)
    if kind != "drop":
        loaded.sim.fault(kind, skip=2)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_a_package_that_is_cut_short_is_fetched_again(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(20, company="usmf")
    loaded.sim.fault("truncated")
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


@pytest.mark.parametrize(
    "variant", ["traversal", "absolute", "drive", "symlink", "bomb", "twice", "folder", "encrypted"]
)
def test_hostile_archive(loaded: FinopsWorld, variant: str) -> None:
    loaded.sim.mutate(2, company="usmf")
    held = loaded.table("VendorsV2")
    size: dict[str, Any] = {"bytes": 4 << 20} if variant == "bomb" else {}
    loaded.sim.fault("package", variant=variant, **size)
    report = loaded.sync()
    assert statuses(report) == {"failed"}
    assert "refused" in reasons(report)
    assert loaded.table("VendorsV2") == held


def test_a_refused_package_that_somebody_deletes_makes_a_full_refresh_due(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("package", variant="traversal")
    loaded.sync()
    loaded.sim.drop_package(loaded.exports("Postroad")[-1]["id"])
    loaded.sync_wait()
    assert_law(loaded)


@pytest.mark.parametrize("manifest", ["utf8", "utf8_bom", "missing", "broken"])
def test_no_manifest_or_an_odd_encoding(loaded: FinopsWorld, manifest: str) -> None:
    loaded.sim.switch(manifest=manifest)
    loaded.sim.mutate(2, company="usmf")
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


@pytest.mark.parametrize("empty", ["header", "zero_bytes", "absent", "no_url"])
def test_empty_delta(loaded: FinopsWorld, empty: str) -> None:
    loaded.sim.switch(empty_delta=empty)
    loaded.sim.mutate(1, company="usmf")
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_schema_drift(loaded: FinopsWorld) -> None:
    loaded.sim.update("VendorsV2", min(loaded.table("VendorsV2")), VendorSearchName="Drifter")
    loaded.sim.fault("drift", entity="VendorsV2", add=["Novelty"], drop=["Notes"], rotate=7)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    notes = {key: row["Notes"] for key, row in loaded.source("VendorsV2").items()}
    assert {key: row["Notes"] for key, row in loaded.table("VendorsV2").items()} == notes
    loaded.sim.mutate(3, company="usmf")
    loaded.sync_wait()
    assert_law(loaded)


@pytest.mark.parametrize("wound", ["extra", "missing", "newline", "quote"])
def test_broken_rows(loaded: FinopsWorld, wound: str) -> None:
    loaded.sim.mutate(15, company="usmf")
    loaded.sim.fault("rows", entity="VendorsV2", wound=wound, rows=[3, 9])
    assert statuses(loaded.sync_wait()) == {"partly_succeeded"}
    table = loaded.table("VendorsV2")
    differing = [
        key
        for key, row in loaded.source("VendorsV2").items()
        if any(table[key][name] != value for name, value in row.items())
    ]
    assert len(differing) <= len(loaded.rejected())  # each is told
    if wound == "quote":
        loaded.sync_wait(full_refresh=True)
        assert_law(loaded)


def test_a_row_without_a_key_is_answered_once_every_company_was_read(wide: FinopsWorld) -> None:
    wide.sim.mutate(9, company="usmf")
    wide.sim.fault("rows", entity="VendorsV2", wound="missing", rows=[2])
    wide.sync_wait()
    assert {each["key"] for each in wide.rejected()} == {None}
    wide.sync_wait(full_refresh=True)
    assert wide.rejected() == []
    assert_law(wide)


def test_a_value_that_cannot_be_read_costs_its_row_alone(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(5, company="usmf")
    loaded.sim.fault("rows", entity="VendorsV2", wound="value", column="CreditLimit", value="12,x", row=2)
    assert "partly_succeeded" in statuses(loaded.sync_wait())
    refused = loaded.rejected()
    assert [each["cause"] for each in refused] == ["bad_decimal"]
    loaded.sync_wait(full_refresh=True)
    assert_law(loaded)
    assert loaded.rejected() == []


def test_a_file_with_fewer_rows_than_were_written_is_read_in_full_another_way(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(5, company="usmf")
    loaded.sim.fault("rows", entity="VendorsV2", wound="lost", row=3)
    loaded.sync_wait()
    assert_law(loaded)
    assert any("says that it wrote 5" in sentence for sentence in loaded.said)


def test_a_count_that_is_refused_lets_no_lost_row_pass(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(5, company="usmf")
    loaded.sim.fault("rows", entity="VendorsV2", wound="lost", row=1)
    loaded.sim.fault("unauthorised", count=2, root="DataManagementExecutionJobDetails")
    assert statuses(loaded.sync()) == {"failed"}
    loaded.sync_wait()
    assert_law(loaded)


def test_duplicate_key_in_a_file(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(4, company="usmf")
    loaded.sim.fault("rows", entity="VendorsV2", wound="duplicate", column="VendorSearchName", value="older", row=1)
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_re_delivery(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(4, company="usmf")
    loaded.sim.fault("keep_position")
    loaded.sync_wait()
    loaded.sim.mutate(1, company="usmf")
    loaded.sync_wait()
    assert_law(loaded)


@pytest.mark.parametrize("fault", [
    {"kind": "throttle", "retry_after": 5, "count": 3},
    {"kind": "status", "status": 503, "count": 2},
    {"kind": "unauthorised"},
    {"kind": "html", "root": "action"},
    {"kind": "malformed", "root": "GetExecutionSummaryStatus"},
])  # fmt: skip
def test_429_5xx_401(loaded: FinopsWorld, fault: dict[str, Any]) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault(**{"skip": 1, **fault})
    loaded.sync_wait()
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_302_is_a_refused_sign_in(loaded: FinopsWorld) -> None:
    loaded.sim.fault("redirect", root="action", count=2)
    report = loaded.sync_wait()
    assert statuses(report) == {"failed"}
    assert "register the client id" in reasons(report)


def test_tokens_end_and_are_renewed(loaded: FinopsWorld) -> None:
    loaded.sim.switch(token_seconds=70, export_seconds=300)
    loaded.sim.mutate(2, company="usmf")
    loaded.configure(polls=50, poll_seconds=20)  # several tokens end while one status is waited for
    report = loaded.sync_wait()
    assert statuses(report) == {"succeeded"}, reasons(report)
    assert_law(loaded)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_either_token_endpoint(loaded: FinopsWorld, version: str) -> None:
    loaded.configure(token_version=version)
    loaded.sim.mutate(1, company="usmf")
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


@pytest.mark.parametrize(("dates", "decimals"), [("us", "comma"), ("eu", "short"), ("iso", "six")])
def test_clock_and_zone(typed: FinopsWorld, dates: str, decimals: str) -> None:
    typed.configure(dates=dates, decimal_sign="," if decimals == "comma" else ".")
    typed.sim.switch(dates=dates, decimals=decimals, time_of_dates="12:00:00")
    typed.tell_all()
    assert statuses(typed.sync_wait()) == {"succeeded"}
    assert_law(typed)


@pytest.mark.parametrize("enums", ["label", "number"])
def test_enums_are_their_names_however_they_are_written(typed: FinopsWorld, enums: str) -> None:
    typed.sim.switch(enums=enums)
    typed.tell_all()
    typed.sync_wait()
    assert_law(typed)


@pytest.mark.parametrize("quoting", ["needed", "all"])
@pytest.mark.parametrize("page", [1200, 1201, 65001])
def test_text_of_several_lines_and_every_code_page(loaded: FinopsWorld, quoting: str, page: int) -> None:
    loaded.sim.switch(quoting=quoting)
    loaded.sim.source_format("Ours", code_page=page)
    loaded.format_files("Ours")  # new projects, whose first export holds everything
    assert statuses(loaded.sync_wait()) == {"succeeded"}
    assert_law(loaded)


def test_all_seven_entities(tmp_path: Path) -> None:
    from postroad.connectors.d365_finops.settings import known_names

    with FinopsWorld(
        tmp_path, entities=known_names(), companies=("usmf",), sizes=dict.fromkeys(known_names(), 4)
    ) as world:
        assert statuses(world.sync_wait()) == {"succeeded"}
        assert_law(world)


def test_overlapping_schedules(wide: FinopsWorld) -> None:
    wide.sim.mutate(2, company="usmf")
    begin_theirs(wide, "Postroad", 90)
    report = wide.sync()
    assert statuses(report) == {"waiting"}
    assert "takes no export now" in reasons(report)
    assert statuses(wide.sync_wait()) == {"succeeded"}
    accounts = {key: row for key, row in wide.table("VendorsV2").items() if key[0] == "usmf"}
    assert accounts.keys() == {key for key in wide.source("VendorsV2") if key[0] == "usmf"}


def test_an_export_that_somebody_else_made_took_the_changes_and_is_seen(loaded: FinopsWorld) -> None:
    loaded.sync_wait()
    loaded.sim.mutate(2, company="usmf")
    begin_theirs(loaded, "Postroad", 5, "usmf")
    loaded.sleep(60)
    loaded.sync_wait()
    assert_law(loaded)
    assert any("was not ours" in sentence for sentence in loaded.said)


def test_books_from_a_backup_lose_no_change_that_was_exported_since(loaded: FinopsWorld) -> None:
    loaded.sync_wait()
    backup = {path.name: path.read_bytes() for path in loaded.folder.glob("postroad.db*")}
    loaded.sim.mutate(2, company="usmf")
    loaded.sync(Trap(Point.PAYLOAD_ROW, 2))  # exported, and landed at most: nothing of it is published
    for path in loaded.folder.glob("postroad.db*"):
        path.unlink()
    for name, content in backup.items():
        (loaded.folder / name).write_bytes(content)
    loaded.sync_wait()
    assert_law(loaded)


def test_secrets_and_links_are_told_to_nobody(loaded: FinopsWorld) -> None:
    loaded.sim.mutate(2, company="usmf")
    loaded.sim.fault("status", root="blob", status=403, count=20)
    report = loaded.sync_wait()
    told = [*loaded.said, reasons(report)]
    assert not any("sig=" in text or loaded.sim.client_secret in text for text in told)
    stored = b"".join(path.read_bytes() for path in loaded.folder.glob("postroad.db*"))
    assert b"sig=" not in stored
    assert loaded.sim.client_secret.encode() not in stored
