"""The package API's actions: starts, the state machine on the clock, and data management's own sets."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from tests.unit.d365_finops_simulator.conftest import Act, Export, Fetch, Start, records

DETAILS = {"EntityName": "Vendors V2", "SourceFormat": "CSV-Unicode", "DefaultRefreshType": "IncrementalPush"}


def inner(answer: httpx.Response) -> str:
    """What the exception inside the product says."""
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == "An error has occurred."
    assert error["innererror"]["stacktrace"].startswith("   at Microsoft.Dynamics")
    return str(error["innererror"]["message"])


def test_an_execution_runs_by_the_clock_and_then_has_a_link(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    execution = start().json()["value"]
    seen = []
    for seconds in (0.5, 2, 3):
        seen.append(act("GetExecutionSummaryStatus", executionId=execution))
        assert act("GetExportedPackageUrl", executionId=execution) == ""
        assert act("GetExecutionErrors", executionId=execution) == "[]"
        simulator.advance(seconds=seconds)
    assert seen == ["NotRun", "NotRun", "Executing"]
    assert act("GetExecutionSummaryStatus", executionId=execution) == "Succeeded"
    link = act("GetExportedPackageUrl", executionId=execution)
    assert link.startswith(f"{simulator.blobs.base_url}/devstoreaccount1/dmf/%7B")
    assert link != act("GetExportedPackageUrl", executionId=execution)
    assert execution in act("GetExecutionSummaryPageUrl", executionId=execution)


def test_the_callers_id_is_kept_and_is_good_once(simulator: FinopsSimulator, start: Start) -> None:
    assert start(execution_id="Mine 11/15/2018 02:57:10 pm").json()["value"] == "Mine 11/15/2018 02:57:10 pm"
    simulator.advance(seconds=60)
    refused = inner(start(execution_id="mine 11/15/2018 02:57:10 PM"))
    assert refused.endswith(
        "Export to package failed for definition group: vendors, package name: package, execution id: "
        "mine 11/15/2018 02:57:10 PM, reExecute: False, legal entity: USMF"
    )
    assert len(start().json()["value"]) == 36


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"project": "nothing"}, "Data project nothing does not exist."),
        ({"company": "nobody"}, "Export to package failed for definition group: vendors, "),
        ({"project": "imports"}, "Export to package failed for definition group: imports, "),
    ],
)
def test_a_start_that_cannot_be(simulator: FinopsSimulator, start: Start, arguments: Any, message: str) -> None:
    simulator.projects.create({"Name": "imports", "OperationType": "Import"})
    assert message in inner(start(**arguments))


@pytest.mark.parametrize(
    "body",
    [
        {"definitionGroupId": "vendors"},
        {"definitionGroupId": 1, "packageName": "", "executionId": "", "reExecute": False, "legalEntityId": ""},
        {"definitionGroupId": "vendors", "packageName": "", "executionId": None, "reExecute": False},
        {"definitionGroupId": "vendors", "packageName": "", "executionId": "", "reExecute": "no", "legalEntityId": ""},
    ],
)
def test_a_missing_or_bad_parameter(post: Start, body: dict[str, Any]) -> None:
    answer = post("ExportToPackage", **body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "InvokeAction - Model state is invalid.")


def test_errors_come_in_the_other_envelope_too(simulator: FinopsSimulator, start: Start) -> None:
    simulator.switch(error_shape="message")
    assert "Data project x does not exist." in start("x").json()["Message"]


def test_actions_are_posted_and_known(service: httpx.Client, post: Start) -> None:
    path = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
    assert post("ImportFromPackage").status_code == 404
    assert service.get(f"{path}ExportToPackage").status_code == 404
    assert service.post(f"{path}GetExecutionErrors", content=b"{").status_code == 400
    assert service.post(f"{path}GetExecutionErrors", content=b"[]").status_code == 400


def test_a_value_may_be_nested(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    simulator.switch(nested_value=True)
    execution = start(execution_id="x").json()["value"]
    assert execution == {"value": "x"}
    assert act("GetExecutionSummaryStatus", executionId="x") == {"value": "NotRun"}


def test_previews_and_chosen_entities(simulator: FinopsSimulator, start: Start, export: Export, fetch: Fetch) -> None:
    assert "Employee.csv" in fetch(export("Postroad"))
    some = fetch(export("Postroad", action="ExportToPackageDelta", entityList="Vendors V2, Main account"))
    assert sorted(some) == ["Main account.csv", "Manifest.xml", "PackageHeader.xml", "Vendors V2.csv"]
    assert start("Postroad", action="ExportToPackageDelta").status_code == 400
    simulator.project("all", ["VendorsV2"], incremental=False)
    few = fetch(export("all", action="ExportToPackagePreviewAsync", count=7))
    assert len(records(few["Vendors V2.csv"])) == 7
    assert len(records(fetch(export("all", action="ExportToPackagePreview", count=0))["Vendors V2.csv"])) == 40
    assert start("all", action="ExportToPackagePreview", count="7").status_code == 400
    fetch(export(action="ExportToPackagePreview", count=7))
    assert len(records(fetch(export())["Vendors V2.csv"])) == 40


def test_only_excel_exports_wait_for_each_other(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    for name in ("one", "two"):
        simulator.project(name, ["Employees"], source_format="EXCEL")
        start(name, execution_id=name)
    start("vendors", execution_id="csv")
    simulator.advance(seconds=60)
    assert [act("GetExecutionSummaryStatus", executionId=each) for each in ("one", "two", "csv")] == [
        "Succeeded",
        "Failed",
        "Succeeded",
    ]
    assert "DMF2039" in act("GetExecutionErrors", executionId="two")
    simulator.switch(one_excel=False)
    start("one", execution_id="three")
    start("two", execution_id="four")
    simulator.advance(seconds=60)
    assert act("GetExecutionSummaryStatus", executionId="four") == "Succeeded"


def test_the_status_of_each_entity_has_three_shapes(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    simulator.fault("outcome", failed=["Employees"])
    execution = start("Postroad").json()["value"]
    rows = act("GetEntityExecutionSummaryStatusList", executionId=execution)
    assert {row["Status"] for row in rows} == {"NotRun"}
    simulator.advance(seconds=60)
    rows = act("GetEntityExecutionSummaryStatusList", executionId=execution)
    assert {row["EntityName"] for row in rows if row["Status"] == "Failed"} == {"Employee"}
    simulator.switch(entity_status="strings")
    texts = act("GetEntityExecutionSummaryStatusList", executionId=execution)
    assert [json.loads(text) for text in texts] == rows
    simulator.switch(entity_status="text")
    assert json.loads(act("GetEntityExecutionSummaryStatusList", executionId=execution)) == rows


def test_old_executions_are_forgotten(simulator: FinopsSimulator, export: Export, post: Start) -> None:
    first, second = export(), export()
    assert post("DeleteExecutionHistoryJob", executionId=first).status_code == 204
    assert "were not found" in inner(post("GetExecutionSummaryStatus", executionId=first))
    simulator.advance(days=6)
    assert post("GetExecutionSummaryStatus", executionId=second).status_code == 200
    simulator.advance(days=2)
    assert "were not found" in inner(post("GetExecutionSummaryStatus", executionId=second))


def test_the_answer_of_a_blocking_start_is_late_and_that_of_an_async_one_is_not(
    simulator: FinopsSimulator, service: httpx.Client, start: Start
) -> None:
    simulator.switch(blocking_seconds=3_600)
    service.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        start()
    service.timeout = httpx.Timeout(60)
    simulator.advance(seconds=60)
    assert start(action="ExportToPackageAsync").status_code == 200


# ---- data management's own sets ----


def test_a_project_is_created_over_odata_and_exports(service: httpx.Client, export: Export, fetch: Fetch) -> None:
    created = service.post("/data/DataManagementDefinitionGroups", json={"Name": "New", "Description": "d" * 70})
    assert created.status_code == 201
    assert created.json()["Description"] == "d" * 60
    line = {"DefinitionGroupId": "New", "AutoGenerateMapping": "Yes", **DETAILS}
    assert service.post("/data/DataManagementDefinitionGroupDetails", json=line).status_code == 201
    assert len(records(fetch(export("New"))["Vendors V2.csv"])) == 40
    for key in ("'New'", "Name='New',OperationType=Microsoft.Dynamics.DataEntities.DMFOperationType'Export'"):
        assert service.get(f"/data/DataManagementDefinitionGroups({key})").json()["OperationType"] == "Export", key
    rows = service.get("/data/DataManagementDefinitionGroupDetails?$filter=DefinitionGroupId eq 'New'").json()["value"]
    assert [(row["EntityName"], row["ValidationStatus"]) for row in rows] == [("Vendors V2", "Yes")]


def test_an_unmapped_entity_makes_an_export_hang_until_it_is_mapped(
    simulator: FinopsSimulator, service: httpx.Client, start: Start, act: Act
) -> None:
    service.post("/data/DataManagementDefinitionGroups", json={"Name": "New"})
    service.post("/data/DataManagementDefinitionGroupDetails", json={"DefinitionGroupId": "New", **DETAILS})
    start("New", execution_id="hangs")
    simulator.advance(hours=1)
    assert act("GetExecutionSummaryStatus", executionId="hangs") == "Executing"
    [job] = service.get("/data/DataManagementExecutionJobDetails?$filter=JobId eq 'hangs'").json()["value"]
    assert job["StagingRecordsCreatedCount"] == 0
    simulator.finish("hangs", "Canceled")
    line = "/data/DataManagementDefinitionGroupDetails(DefinitionGroupId='New',EntityName='Vendors V2')"
    assert service.patch(line, json={"AutoGenerateMapping": "Yes"}).status_code == 204
    start("New", execution_id="goes")
    simulator.advance(hours=1)
    assert act("GetExecutionSummaryStatus", executionId="goes") == "Succeeded"
    assert service.delete(line).status_code == 204
    assert service.delete("/data/DataManagementDefinitionGroups('New')").status_code == 204
    assert service.get("/data/DataManagementDefinitionGroups('New')").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "DataManagementDefinitionGroups", {"Name": "vendors"}, 400),
        ("POST", "DataManagementDefinitionGroups", {"Name": ""}, 400),
        ("POST", "DataManagementDefinitionGroups", {"Nome": "x"}, 400),
        ("POST", "DataManagementDefinitionGroups", [], 400),
        ("POST", "DataManagementDefinitionGroupDetails", {"DefinitionGroupId": "nothing", **DETAILS}, 404),
        ("POST", "DataManagementDefinitionGroupDetails", {"DefinitionGroupId": "vendors", **DETAILS}, 400),
        ("POST", "VendorsV2", {}, 405),
        ("PATCH", "DataManagementDefinitionGroups('vendors')", {}, 405),
        ("DELETE", "DataManagementDefinitionGroups('nothing')", {}, 404),
    ],
)
def test_writes_that_cannot_be(service: httpx.Client, method: str, path: str, body: Any, status: int) -> None:
    answer = service.request(method, f"/data/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_executions_are_told_by_entity(simulator: FinopsSimulator, service: httpx.Client, export: Export) -> None:
    simulator.fault("outcome", failed=["CustomersV3"])
    execution = export("Postroad")
    job = service.get(f"/data/DataManagementExecutionJobs(JobId='{execution}')").json()
    assert (job["DefinitionGroupId"], job["Status"]) == ("Postroad", "PartiallySucceeded")
    rows = service.get(f"/data/DataManagementExecutionJobDetails?$filter=JobId eq '{execution}'").json()["value"]
    by_entity = {row["EntityName"]: row for row in rows}
    assert len(by_entity) == 7
    assert by_entity["Customers V3"]["TargetStatus"] == "Error"
    assert by_entity["Vendors V2"]["TargetStatus"] == "Finished"
    assert by_entity["Vendors V2"]["TargetRecordsCreatedCount"] == 40
    assert by_entity["Vendors V2"]["StagingEndDateTime"] > by_entity["Vendors V2"]["StagingStartDateTime"]
    assert service.get("/data/DataManagementEntities/$count").text.lstrip("\ufeff") == "7"
