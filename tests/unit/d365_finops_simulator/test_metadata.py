"""What the environment tells about itself."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import httpx
import pytest

from postroad.connectors.d365_finops.simulator.actions import Actions
from postroad.connectors.d365_finops.simulator.entities import catalogue

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


def test_the_model_has_every_set_type_enum_and_action(service: httpx.Client) -> None:
    answer = service.get("/data/$metadata")
    assert answer.headers["content-type"] == "application/xml"
    root = ET.fromstring(answer.content)
    every = {**catalogue().entities, **catalogue().own}
    assert {each.get("Name") for each in root.iter(f"{EDM}EntitySet")} == set(every)
    types = {each.get("Name"): each for each in root.iter(f"{EDM}EntityType")}
    for entity in every.values():
        found = types[entity.name]
        assert [each.get("Name") for each in found.iter(f"{EDM}Property")] == [each.name for each in entity.properties]
        assert [each.get("Name") for each in found.iter(f"{EDM}PropertyRef")] == list(entity.keys)
    enums = {each.get("Name"): [member.get("Name") for member in each] for each in root.iter(f"{EDM}EnumType")}
    assert enums["NoYes"] == ["No", "Yes"]
    actions = {each.get("Name"): each for each in root.iter(f"{EDM}Action")}
    assert set(actions) == set(Actions.ACTIONS)
    reset = [each.get("Name") for each in actions["ResetVersionToken"].iter(f"{EDM}Parameter")]
    assert reset == ["DataManagementDefinitionGroup", "definitionGroupId", "entityName", "sourceName"]


def test_the_service_document_lists_the_sets(service: httpx.Client) -> None:
    for path in ("/data", "/data/"):
        names = [each["url"] for each in service.get(path).json()["value"]]
        assert {"VendorsV2", "DataManagementExecutionJobs"} <= set(names)


@pytest.mark.parametrize("spelling", ["metadata", "Metadata"])
def test_the_metadata_service_answers_to_both_spellings(service: httpx.Client, spelling: str) -> None:
    entities = service.get(f"/{spelling}/DataEntities").json()["value"]
    found = {each["PublicCollectionName"]: each for each in entities}
    assert found["VendorsV2"]["Name"] == "VendVendorV2Entity"
    assert found["VendorsV2"]["DataManagementEnabled"] is True
    assert len(service.get(f"/{spelling}/DataEntities?$skip=2&$top=3").json()["value"]) == 3
    public = service.get(f"/{spelling}/PublicEntities('VendorV2')").json()
    assert [each["Name"] for each in public["Properties"] if each["IsKey"]] == ["dataAreaId", "VendorAccountNumber"]
    types = {each["Name"]: each["TypeName"] for each in public["Properties"]}
    assert types["OnHoldStatus"] == "Microsoft.Dynamics.DataEntities.CustVendorBlocked"
    assert types["CreditLimit"] == "Edm.Decimal"
    enum = service.get(f"/{spelling}/PublicEnumerations(Name='NoYes')").json()
    assert [(each["Name"], each["Value"]) for each in enum["Members"]] == [("No", 0), ("Yes", 1)]
    label = service.get(f"/{spelling}/Labels(Id='{public['LabelId']}',Language='en-us')").json()
    assert label["Value"] == "Vendors V2"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/metadata/Nothing", 404),
        ("/metadata/PublicEntities('Nothing')", 404),
        ("/metadata/DataEntities?$filter=Name ne 'x'", 400),
        ("/metadata/DataEntities?$orderby=Name", 400),
        ("/metadata/DataEntities?$top=many", 400),
        ("/metadata/Labels", 400),
        ("/metadata/Labels(Id='@SIM:x',Language='en-us')?$filter=1", 400),
    ],
)
def test_what_the_metadata_service_does_not_have(service: httpx.Client, path: str, status: int) -> None:
    assert service.get(path).status_code == status


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("contains(tolower(Name), 'vend')", ["VendVendorV2Entity"]),
        ("DataManagementEnabled eq true and contains(tolower(Name), 'purch')", ["PurchPurchaseOrderHeaderV2Entity"]),
        ("PublicCollectionName eq 'Employees'", ["HcmEmployeeEntity"]),
        ("DataManagementEnabled eq false and IsReadOnly eq true", []),
    ],
)
def test_the_metadata_service_filters(service: httpx.Client, condition: str, names: list[str]) -> None:
    rows = service.get("/metadata/DataEntities", params={"$filter": condition, "$select": "Name"}).json()["value"]
    assert rows == [{"Name": name} for name in names]


def test_the_entity_list_tells_versions(service: httpx.Client) -> None:
    of_list = "/data/DataManagementEntities/Microsoft.Dynamics.DataEntities."
    assert service.post(f"{of_list}GetApplicationVersion", json={}).json()["value"].startswith("10.0.")
    assert service.post(f"{of_list}ExportToPackage", json={}).status_code == 404


def test_metadata_is_for_those_who_are_signed_in(service: httpx.Client) -> None:
    del service.headers["Authorization"]
    for path in ("/data/$metadata", "/metadata/DataEntities", "/data"):
        assert service.get(path).status_code == 401
