"""Change tracking: what a full export holds, what an incremental one does, and what none ever tells."""

from __future__ import annotations

import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.simulator.exports import Asked
from postroad.sdk.simulator import Fault
from tests.unit.d365_finops_simulator.conftest import Act, Export, Fetch, records

FIRST = ("usmf", "0000000001")


def accounts(entries: dict[str, bytes]) -> list[str]:
    return [row["VENDORACCOUNTNUMBER"] for row in records(entries["Vendors V2.csv"])]


def test_the_first_export_is_full_and_later_ones_hold_whole_changed_rows(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    simulator.mutate(2)
    whole = fetch(export())
    assert len(accounts(whole)) == 40
    assert accounts(fetch(export())) == []
    changed = simulator.mutate(3, company="usmf")
    added = simulator.add(1)
    simulator.mutate(2, company="demf")
    simulator.update("VendorsV2", changed[0], CreditLimit="1")
    simulator.update("VendorsV2", changed[0], CreditLimit="2")
    rows = records(fetch(export())["Vendors V2.csv"])
    assert [row["VENDORACCOUNTNUMBER"] for row in rows] == sorted(account for _, account in [*changed, *added])
    assert [row["CREDITLIMIT"] for row in rows if row["VENDORACCOUNTNUMBER"] == changed[0][1]] == ["2.000000"]
    assert list(rows[0]) == list(records(whole["Vendors V2.csv"])[0])
    assert [run["incremental"] for run in simulator.runs()] == [{"VendorsV2": False}] + [{"VendorsV2": True}] * 2


def test_no_export_ever_tells_of_a_deletion(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    export()
    [gone] = simulator.delete(1, company="usmf")
    assert accounts(fetch(export())) == []
    simulator.restore("VendorsV2", [gone])
    assert accounts(fetch(export())) == [gone[1]]


def test_each_project_and_company_has_a_position_of_its_own(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    export()
    assert len(accounts(fetch(export(company="demf")))) == 20
    simulator.project("other", ["VendorsV2"])
    assert len(accounts(fetch(export("other")))) == 40
    assert accounts(fetch(export("other"))) == accounts(fetch(export())) == []


def test_a_full_push_is_always_full(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    simulator.project("full", ["VendorsV2"], incremental=False)
    assert len(accounts(fetch(export("full")))) == len(accounts(fetch(export("full")))) == 40


def test_what_happens_while_an_export_runs_is_in_the_next(
    simulator: FinopsSimulator, start: Any, export: Export, fetch: Fetch
) -> None:
    execution = start().json()["value"]
    simulator.update("VendorsV2", FIRST, CreditLimit="77")
    simulator.advance(seconds=60)
    assert records(fetch(execution)["Vendors V2.csv"])[0]["CREDITLIMIT"] != "77.000000"
    assert [row["CREDITLIMIT"] for row in records(fetch(export())["Vendors V2.csv"])] == ["77.000000"]


def test_a_change_of_a_joined_table_counts_only_if_the_entire_entity_is_tracked(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    export()
    simulator.update("VendorsV2", FIRST, AddressCity="Oslo")
    simulator.switch(tracking="root")
    assert accounts(fetch(export())) == []
    simulator.update("VendorsV2", FIRST, AddressCity="Bergen")
    simulator.switch(tracking="entity")
    assert accounts(fetch(export())) == [FIRST[1]]


def test_a_change_that_no_table_write_made_is_never_told(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    export()
    simulator.update("VendorsV2", FIRST, tracked=False, CreditLimit="5")
    assert accounts(fetch(export())) == []
    assert simulator.rows()[FIRST]["CreditLimit"] == 5


def test_a_new_key_is_a_new_row_and_the_old_one_just_goes(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    export()
    simulator.rename("VendorsV2", FIRST, ("NEW-1",))
    assert accounts(fetch(export())) == ["NEW-1"]
    assert FIRST not in simulator.rows()


@pytest.mark.parametrize("how", ["reset_token", "project", "columns", "tracking", "line", "interfere"])
def test_what_makes_the_next_export_full(
    simulator: FinopsSimulator, export: Export, fetch: Fetch, act: Act, how: str
) -> None:
    export()
    assert accounts(fetch(export())) == []
    if how == "reset_token":
        arguments = {"definitionGroupId": "vendors", "entityName": "Vendors V2", "sourceName": "CSV-Unicode"}
        assert act("ResetVersionToken", **arguments) is True
    elif how == "project":
        simulator.project("vendors", ["VendorsV2"])
    elif how == "columns":
        simulator.columns("vendors", "VendorsV2", rotate=1)
    elif how == "tracking":
        simulator.tracking("VendorsV2", on=False)
        assert len(accounts(fetch(export()))) == 40
        simulator.tracking("VendorsV2", on=True)
    elif how == "line":
        project = simulator.projects.find("vendors")
        row = project.lines.pop().row
        simulator.projects.reset("vendors")
        simulator.projects.add_line({**row, "ValidationStatus": "Yes"}, "IncrementalPush")
    else:
        assert simulator.interfere("VendorsV2", "reset") == 1
    assert len(accounts(fetch(export()))) == 40


def test_another_consumer_may_swallow_changes(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    export()
    simulator.mutate(5, company="usmf")
    simulator.interfere("VendorsV2", "advance")
    assert accounts(fetch(export())) == []
    with pytest.raises(ValueError, match="'advance' or 'reset'"):
        simulator.interfere("VendorsV2", "confuse")


@pytest.mark.parametrize(("moves", "rows"), [(False, 2), (True, 0)])
def test_whether_a_failed_run_moves_the_position_is_a_switch(
    simulator: FinopsSimulator, export: Export, fetch: Fetch, moves: bool, rows: int
) -> None:
    export()
    simulator.mutate(2, company="usmf")
    simulator.switch(failed_run_moves_position=moves)
    simulator.fault("outcome")
    export()
    assert len(accounts(fetch(export()))) == rows


def test_a_position_that_is_kept_tells_the_same_again(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    export()
    simulator.mutate(2, company="usmf")
    simulator.fault("keep_position")
    assert accounts(fetch(export())) == accounts(fetch(export())) != []
    assert accounts(fetch(export())) == []


@pytest.mark.parametrize("expired", ["full", "fail"])
def test_changes_may_be_kept_for_some_days_only(
    simulator: FinopsSimulator, export: Export, fetch: Fetch, act: Act, expired: Any
) -> None:
    simulator.switch(tracking_days=2, expired_position=expired)
    export()
    simulator.advance(days=1)
    assert accounts(fetch(export())) == []
    simulator.advance(days=3)
    execution = export()
    if expired == "full":
        assert len(accounts(fetch(execution))) == 40
    else:
        assert act("GetExecutionSummaryStatus", executionId=execution) == "Failed"
        assert "no longer valid" in act("GetExecutionErrors", executionId=execution)


STEPS = st.lists(st.sampled_from(["mutate", "joined", "add", "delete", "restore", "export", "lost"]), max_size=25)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 3))
def test_full_and_changes_put_together_are_the_rows_and_the_deleted_ones(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], seed: int
) -> None:
    """The law of packages: upserts reach the state of the last export, except that deleted rows stay."""
    simulator = FinopsSimulator(seed=seed, sizes={"VendorsV2": 6}, companies=["usmf"])
    simulator.exporter.folder = tmp_path_factory.getbasetemp()
    simulator.project("changes", ["VendorsV2"])
    simulator.project("full", ["VendorsV2"], incremental=False)
    held: dict[str, dict[str, str]] = {}
    deleted: list[Any] = []
    for step in [*steps, "export"]:
        if step == "export":
            held |= exported(simulator, "changes")
        elif step == "lost":
            exported(simulator, "changes", Fault("keep_position"))
        elif step == "delete":
            deleted += simulator.delete(1)
        elif step == "restore" and deleted:
            simulator.restore("VendorsV2", [deleted.pop()])
        elif step in {"mutate", "joined"}:
            simulator.mutate(2, joined=step == "joined")
        elif step == "add":
            simulator.add(1)
    now = exported(simulator, "full")
    assert {account: row for account, row in held.items() if account in now} == now
    assert held.keys() - now.keys() <= {account for _, account in deleted}


def exported(simulator: FinopsSimulator, project: str, *faults: Fault) -> dict[str, dict[str, str]]:
    """The rows that an export of a project holds, by account; without a socket, for speed."""
    asked = Asked("ExportToPackage", project, "package", "", re_execute=False, company="usmf")
    execution = simulator.exporter.start(asked, faults, simulator.clock.now(), simulator.switches)
    simulator.advance(seconds=60)
    with zipfile.ZipFile(execution.build.path) as archive:
        rows = records(archive.read("Vendors V2.csv"))
    execution.build.path.unlink()
    return {row["VENDORACCOUNTNUMBER"]: row for row in rows}
