"""The weaknesses of the earlier app (fact sheet, 3.3), by number: each shown to be impossible here.

11 is equal after the next full refresh, 13 is documented. `tests/unit/test_docs.py` sees to it that none is missing.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from postroad.connectors.xledger.declaration import COLUMN_TYPES
from postroad.connectors.xledger.entities import EIGHT
from postroad.telemetry import Point, Stage
from tests.flow.harness import NAME, Side, World, outcomes
from tests.flow.lake_reader import Row, read_table
from tests.flow.law import assert_law, settle, table_rows

NIGHT_OF_TWO_HOURS = 1_792_886_400.0  # 2026-10-25 00:00 UTC


def _held(world: World) -> dict[int, Row]:
    return {row["dbId"]: row for row in table_rows(world)}


def _key(world: World) -> int:
    return min(world.sim.rows())


def test_weakness_01_a_retention_gap_is_not_silent(world: World) -> None:
    """Changes older than the server's memory: it is said, and made good by a full refresh."""
    world.sync()
    world.sim.mutate(3)
    world.wait(hours=80)
    world.sync()
    assert any("forgets after 3 days" in sentence for sentence in world.said)
    assert_law(world)


def test_weakness_02_quiet_days_renew_the_position(world: World) -> None:
    """Weeks without a change cost no full refresh, and `status` shows that somebody looked."""
    world.sync()
    looked = world.status().last_poll
    for _ in range(6):
        world.wait(hours=50)
        world.sync()
    assert world.status().last_poll > looked
    assert len(world.books("select id from walks")) == 1
    world.sim.mutate(1)
    world.sync()
    assert_law(world)


def test_weakness_03_deletions_in_a_gap_are_recovered(world: World) -> None:
    """What was deleted unseen is emitted as deleted by the next comparison."""
    world.sync()
    gone = world.sim.delete(3)
    world.wait(hours=80)
    world.sync()
    deleted = [row["dbId"] for row in read_table(world.changes).rows() if row["_op"] == "delete"]
    assert sorted(deleted) == sorted(gone)
    assert_law(world)


@pytest.mark.parametrize("current", [True, False])
def test_weakness_04_ids_are_reconciled(world: World, current: bool) -> None:
    """An id that was asked for and not returned is listed, its row neither deleted nor forgotten."""
    world.sync()
    world.sim.switch(current_available=current)
    key = _key(world)
    world.sim.unreadable([key])
    world.sim.update(key, workingHours="1.25")
    world.sync()
    assert [(each["cause"], each["key"]) for each in world.rejected()] == [("gone_or_unreadable", f"[{key}]")]
    assert key in _held(world)
    assert_law(world)
    world.sim.unreadable([])
    settle(world, full_refresh=True)
    assert world.rejected() == []
    assert_law(world)


def test_weakness_05_every_query_has_the_same_scope(tmp_path: Path) -> None:
    """Nothing hangs on the server's defaults: walk, changes and rows by id all say whose and which rows they want."""
    with World(tmp_path, owner_set_default="UPPER", object_status_default="CLOSED") as world:
        world.sync()
        world.sim.switch(current_available=False)
        world.sim.mutate(10)
        world.sim.update(_key(world), closed=True)
        world.sync()
        assert_law(world)


def test_weakness_06_order_inside_a_batch_counts(world: World) -> None:
    """Deleted and restored is there; added and deleted is not; in one window."""
    world.sync()
    back = world.sim.delete(2)
    (brief,) = world.sim.add(1)
    world.sim.restore(back)
    world.sim.delete([brief])
    world.sync()
    assert set(back) <= set(_held(world))
    assert brief not in _held(world)
    assert_law(world)


def test_weakness_07_rows_have_versions(world: World) -> None:
    """Two changes of a row are ordered by their versions; a deletion between delta and look-up loses nothing."""
    world.sync()
    world.sim.switch(current_available=False)
    key = _key(world)
    world.sim.update(key, workingHours="1.25")
    world.sync()
    world.sim.update(key, workingHours="2.25")
    world.sim.fault("script", root="timesheets", call="delete", arguments={"which": [key]})
    world.sync()
    world.sync()
    history = [(row["_version"], row["_op"]) for row in read_table(world.changes).rows() if row["dbId"] == key]
    assert history == sorted(history)
    assert history[-1][1] == "delete"
    assert_law(world)


def test_weakness_08_nothing_is_written_twice(world: World) -> None:
    """Added and updated in one window is one row; a repeat after a crash does not repeat the rows."""
    world.sync()
    (new,) = world.sim.add(1)
    world.sim.update(new, workingHours="1.25")
    world.sim.update(new, workingHours="2.25")
    assert world.crash_at(Point.CHANGES_COMMIT)
    world.sync()
    assert len([row for row in read_table(world.changes).rows() if row["dbId"] == new]) == 1
    assert_law(world)


def test_weakness_09_times_have_one_format_and_order_nothing(world: World) -> None:
    """The server's clock is set back between two changes: the later one wins."""
    world.sync()
    key = _key(world)
    world.sim.update(key, workingHours="1.25")
    world.sync()
    world.sim.advance(hours=-5)
    world.sim.update(key, workingHours="2.25")
    world.sync()
    assert _held(world)[key]["workingHours"] == Decimal("2.25")
    assert {file.schema.field("_changed_at").type for file in read_table(world.changes).files()} == {
        pa.timestamp("us", "UTC")
    }
    assert_law(world)


def test_weakness_10_names_sort_through_the_night_of_two_hours(tmp_path: Path) -> None:
    """Syncs in the repeated hour, several in one second: names sort in commit order, and nothing is overwritten."""
    with World(tmp_path, now=NIGHT_OF_TWO_HOURS, burst=None) as world:
        world.sync()
        for _ in range(3):
            world.wait(hours=0.75)
            world.frozen = True
            for _ in range(2):
                world.sim.mutate(2)
                world.sync()
            world.frozen = False
        names = [name.partition("-")[2] for name in read_table(world.changes).members]
        assert names == sorted(names)
        assert len(names) == 7
        assert_law(world)


def test_weakness_11_renamed_references_are_refreshed(world: World) -> None:
    """Where a rename makes no delta, the comparison of a full refresh finds every row that shows the old name."""
    world.sim.switch(renames_make_delta=False)
    world.sync()
    employee = next(iter(world.sim.rows().values()))["employee"]["dbId"]
    world.sim.rename_employee(employee, "Åsa Öberg")
    world.sync(full_refresh=True)
    assert "Åsa Öberg" in {row["employee_description"] for row in table_rows(world)}
    assert_law(world)


def test_weakness_12_money_is_decimal(world: World) -> None:
    """Not one digit is lost: nine after the point, and a sum that floats get wrong."""
    keys = sorted(world.sim.rows())
    world.sim.update(keys[0], hourlyRevenueCurrency="12345678901234567890.123456789")
    world.sim.update(keys[1], workingHours="0.1")
    world.sim.update(keys[2], workingHours="0.2")
    world.sync()
    held = _held(world)
    assert held[keys[0]]["hourlyRevenueCurrency"] == Decimal("12345678901234567890.123456789")
    assert held[keys[1]]["workingHours"] + held[keys[2]]["workingHours"] == Decimal("0.3")
    assert_law(world)


def test_weakness_13_is_documented_where_it_concerns_a_user() -> None:
    """Entities are read at unrelated moments, as before; whoever joins them is told so on the first page."""
    root = Path(__file__).resolve().parents[2]
    for page in ("README.md", "docs/connectors/xledger.md"):
        said = " ".join((root / page).read_text().split())
        assert "unrelated moments" in said
        assert "no watermark across" in said


@pytest.mark.parametrize("point", [Point.CHANGES_COMMIT, Point.CLOSE_DONE, Point.TABLE_COMMIT, Point.RUN_ENDED])
def test_weakness_14_data_and_state_cannot_part(world: World, point: Point) -> None:
    """A first load that dies between any two of its writes is neither repeated nor left without a cursor."""
    assert world.crash_at(point)
    world.sim.mutate(3)
    world.sim.delete(2)
    world.sync()
    settle(world)
    assert_law(world)
    assert world.books("select count(*) from walks where status = 'closed'") == [(1,)]


@pytest.mark.parametrize("side", Side)
def test_weakness_15_no_half_written_file_is_visible(world: World, side: Side) -> None:
    """A death while the table is written leaves readers the table as it was."""
    world.sync()
    before = table_rows(world)
    world.sim.mutate(5)
    assert world.crash_at(Point.TABLE_FILE, side=side)
    assert table_rows(world) == before
    settle(world)
    assert_law(world)


@pytest.mark.parametrize("stage", [Stage.LAND, Stage.STAGE, Stage.CLOSE])
def test_weakness_16_a_reset_stops_the_run_beside_it(world: World, stage: Stage) -> None:
    """Beside a first load: the running process writes no cursor and no close afterwards; the base is loaded whole."""

    def reset() -> None:
        with world.open() as other:
            other.datasets.reset_state(NAME)

    world.at_stage[stage] = reset
    report = world.sync()
    assert "lost" in {status for _, status in outcomes(report)}
    assert world.books("select count(*) from walks where status = 'closed'") == [(0,)]
    assert world.status().state == "full refresh due"
    world.sync()
    assert_law(world)


def test_weakness_17_a_feed_has_one_run(world: World) -> None:
    """A second process finds the feed busy and asks the remote system nothing."""
    found = []

    def run() -> None:
        asked = len(world.sim.requests)
        with world.open() as other:
            found.append((outcomes(other.runs.start()), len(world.sim.requests) - asked))

    world.at_stage[Stage.LAND] = run
    world.sync()
    assert found == [([("changes", "busy")], 0)]
    assert_law(world)


def test_weakness_18_another_tenant_is_another_epoch(world: World) -> None:
    """Old cursors are refused before any row is adopted, and everything is read anew."""
    world.sync()
    world.sim.mutate(2)
    world.sync()
    world.sim.swap_tenant(seed=9)
    begun = len(world.sim.requests)
    world.sync()
    after = [each["variables"].get("timesheets_after") for each in list(world.sim.requests)[begun:]]
    assert len([cursor for cursor in after if cursor is not None]) <= 1, "the old cursor was used again"
    settle(world)
    assert_law(world)


@pytest.mark.parametrize("nth", [2, 3, 4])
def test_weakness_19_a_walk_goes_on_where_it_died(tmp_path: Path, nth: int) -> None:
    """A page that landed is never asked for again, not even after a kill between pages."""
    with World(tmp_path, page_size=7) as world:
        pages = -(-len(world.sim.rows()) // 7)
        assert world.crash_at(Point.PAYLOAD_ROW, nth=nth)
        world.sync()
        walked = [each for each in world.asked("timesheets") if len(each["variables"]) <= 1 and each["rows"] > 1]
        first = [each["variables"].get("after") for each in walked]
        assert len([cursor for cursor in first if cursor is not None]) <= pages
        assert_law(world)


def test_weakness_20_ids_are_asked_for_in_batches(tmp_path: Path) -> None:
    """However many rows changed, no query names more ids than the setting allows."""
    with World(tmp_path, settings={"ids_per_query": 5}, dbid_in_limit=5, page_size=50) as world:
        world.sync()
        world.sim.switch(current_available=False)
        world.sim.mutate(17)
        world.sync()
        asked = [each["variables"]["timesheets_ids"] for each in world.sim.requests
                 if "timesheets_ids" in (each["variables"] or {})]  # fmt: skip
        assert max(map(len, asked)) == 5
        assert sum(map(len, asked)) == 17
        assert_law(world)


@pytest.mark.parametrize("fault", ["null_edges", "repeat_cursor"])
def test_weakness_21_no_endless_loop(world: World, fault: str) -> None:
    """A server that announces more for ever is given up, with a reason, after a few calls."""
    world.sim.fault(fault, count=None)
    world.sync()
    report = world.sync()
    assert "failed" in {status for _, status in outcomes(report)}
    assert len(world.sim.requests) < 20
    settle(world)
    assert_law(world)


def test_weakness_22_each_kind_of_error_has_its_own_answer(world: World) -> None:
    """A refused query is not sent again and again; used-up credits wait until they are renewed, not ten seconds."""
    world.sync()
    asked = len(world.sim.requests)
    world.sim.fault("field_error", count=None)
    assert outcomes(world.sync()) == [("changes", "failed")]
    assert len(world.sim.requests) - asked <= 2
    world.sim.clear_faults()
    world.sim.fault("credits", count=None)
    asked = len(world.sim.requests)
    report = world.sync()
    assert report is not None
    assert [outcome.status for outcome in report.outcomes] == ["waiting"]
    until = report.outcomes[0].until
    assert until is not None
    assert until.timestamp() - world.now >= 600
    assert len(world.sim.requests) - asked == 1
    settle(world)
    assert_law(world)


def test_weakness_23_a_quiet_sync_is_one_call(world: World) -> None:
    """Hourly for a month is 720 calls of the 5,000: no introspection, one document for all entities."""
    world.sync()
    for _ in range(3):
        asked = len(world.sim.requests)
        world.wait(hours=1)
        world.sync()
        assert len(world.sim.requests) - asked == 1


def test_weakness_24_one_poisoned_row_blocks_nobody(world: World) -> None:
    """It is a rejection, and the row as it was stays; all others arrive, and the position moves on."""
    world.sync()
    poisoned, *others = sorted(world.sim.rows())[:4]
    before = _held(world)[poisoned]["workingHours"]
    world.sim.update(poisoned, workingHours="0x1f")
    for key in others:
        world.sim.update(key, workingHours="3.25")
    report = world.sync()
    assert report is not None
    assert report.exit_code == 3
    held = _held(world)
    assert [held[key]["workingHours"] for key in others] == [Decimal("3.25")] * 3
    assert held[poisoned]["workingHours"] == before
    assert [(each["cause"], each["key"]) for each in world.rejected()] == [("bad_decimal", f"[{poisoned}]")]
    asked = len(world.sim.requests)
    world.sync()
    assert len(world.sim.requests) - asked == 1, "the poisoned row is not fetched again and again"
    world.sim.update(poisoned, workingHours="4.25")
    world.sync()
    assert world.rejected() == []
    assert_law(world)


def test_weakness_24_no_type_hangs_on_a_place_in_a_list() -> None:
    """A column's type stands beside its own name; each of the eight entities has every column once."""
    for declaration in EIGHT:
        assert len({field.column for field in declaration.fields}) == len(declaration.fields)
        for field, column in zip(declaration.schema, declaration.fields, strict=True):
            assert (field.name, field.type) == (column.column, COLUMN_TYPES[column.kind])
            codes = column.path[-1].lower().endswith("code") and column.path[-1] != "ownerCode"
            assert not codes or column.kind == "text", f"{declaration.name}.{field.name} would refuse a code of letters"


def test_weakness_25_types_do_not_hang_on_the_values(world: World) -> None:
    """Columns that hold nothing but nulls have the type that they always have."""
    for key in world.sim.rows():
        world.sim.update(key, delta=False, hourlyRevenueCurrency=None, project=0, isHeaderApproved=None)
    world.sync()
    world.sim.mutate(3)
    world.sync()
    for file in read_table(world.tables).files():
        assert {field.name: field.type for field in file.schema} == world.datasets[0].table_types
    assert {row["hourlyRevenueCurrency"] for row in table_rows(world)} == {None}
    assert_law(world)


def test_weakness_26_a_warm_process_runs_again(world: World) -> None:
    """The same App, run after run."""

    def work(app: object) -> None:
        for _ in range(3):
            world.sim.mutate(3)
            assert app.runs.start().exit_code == 0  # type: ignore[attr-defined]

    world.do(work)
    assert_law(world)


def test_weakness_27_documents_are_valid(tmp_path: Path) -> None:
    """The simulator validates every document by graphql-core, unused variables included: none is refused."""
    with World(tmp_path, page_size=7) as world:
        world.sync()
        world.sim.mutate(20)
        world.sync()
        assert [each for each in world.sim.requests if each["failed"]] == []
        world.sim.switch(current_available=False)
        for _ in range(2):
            world.sim.mutate(20)
            world.sync()
        assert len([each for each in world.sim.requests if each["failed"]]) == 1, "`_current` was asked for once"
        assert_law(world)


@pytest.mark.parametrize("form", ["null", "zero"])
def test_weakness_28_an_empty_reference_is_null(tmp_path: Path, form: str) -> None:
    """However the server writes it; and each column says which field of the source it is."""
    with World(tmp_path, null_reference=form) as world:
        key = _key(world)
        world.sim.update(key, delta=False, project=0)
        world.sync()
        row = _held(world)[key]
        assert (row["project_dbId"], row["project_code"], row["project_description"]) == (None, None, None)
        schema = read_table(world.tables).files()[0].schema
        assert schema.field("project_code").metadata == {b"source": b"project.code"}
        assert set(schema.names) == set(world.datasets[0].table_types)
        assert_law(world)


def test_weakness_29_the_token_is_no_setting_in_the_open(world: World) -> None:
    """Neither the project nor anything that it wrote holds the token."""
    world.sync()
    assert world.sim.token not in repr(world.project) + str(world.project.settings("xledger"))
    assert not [
        path for path in world.folder.rglob("*") if path.is_file() and world.sim.token.encode() in path.read_bytes()
    ]


def test_weakness_30_what_was_done_is_counted_and_verified(world: World) -> None:
    """Rows read, new, changed, deleted; every landed payload with size and digest; a damaged one is refused."""
    first = world.sync()
    assert first is not None
    assert first.counts[NAME].read == first.counts[NAME].new == len(world.sim.rows())
    world.sim.update(_key(world), workingHours="1.25")
    world.sim.delete([max(world.sim.rows())])
    world.sim.add(2)
    second = world.sync()
    assert second is not None
    counts = second.counts[NAME]
    assert (counts.read, counts.new, counts.changed, counts.deleted) == (4, 2, 1, 1)
    path, size, digest = world.books("select path, size, digest from payloads where walk is not null limit 1")[0]
    assert size > 1000
    assert len(digest) == 64
    damaged = bytearray((world.lake / path).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (world.lake / path).write_bytes(damaged)
    report = world.replay()
    assert outcomes(report) == [("timesheets", "failed")]
    assert report is not None
    assert path in str(report.outcomes[0].reason)
    assert_law(world)
