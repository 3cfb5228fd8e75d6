"""Clients that we did not write for it find what they expect."""

from __future__ import annotations

import csv
import io
from typing import Any
from xml.etree import ElementTree as ET

import odata
import pytest
import requests

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from tests.unit.d365_finops_simulator import package_script
from tests.unit.d365_finops_simulator.conftest import SIZES, token


def test_a_script_from_the_public_documentation_exports_and_unpacks() -> None:
    with FinopsSimulator(seed=3, sizes=SIZES, not_run_seconds=0.05, export_seconds=0.2) as simulator:
        session = package_script.sign_in(
            simulator.url, simulator.tenant, simulator.client_id, simulator.client_secret, simulator.url
        )
        before = package_script.export(session, simulator.url, "Postroad", "USMF", pause=0.05)
        first = package_script.download(session, simulator.url, before, pause=0.05)
        changed = simulator.mutate(3, company="usmf")
        after = package_script.export(session, simulator.url, "Postroad", "USMF", pause=0.05)
        second = package_script.download(session, simulator.url, after, pause=0.05)
        expected = simulator.rows(company="usmf")
    manifest = ET.fromstring(first["Manifest.xml"])
    names = [each.text for each in manifest.iter() if each.tag.endswith("InputFilePath")]
    assert set(first) == {*names, "Manifest.xml", "PackageHeader.xml"} == set(second)
    rows = list(csv.DictReader(io.StringIO(first["Vendors V2.csv"].decode("utf-16"), newline="")))
    assert [row["VENDORACCOUNTNUMBER"] for row in rows] == [account for _, account in expected]
    news = list(csv.DictReader(io.StringIO(second["Vendors V2.csv"].decode("utf-16"), newline="")))
    assert [row["VENDORACCOUNTNUMBER"] for row in news] == sorted(account for _, account in changed)
    for row in news:
        shown = expected["usmf", row["VENDORACCOUNTNUMBER"]]
        assert (row["NOTES"], float(row["CREDITLIMIT"])) == (shown["Notes"], shown["CreditLimit"])


def test_the_script_is_told_why_an_export_failed() -> None:
    with FinopsSimulator(seed=3, sizes=SIZES, export_seconds=0.1) as simulator:
        simulator.fault("outcome", errors_text='[{"RecordId":"1","Field":"","ErrorMessage":"It "broke"."}]')
        session = package_script.sign_in(
            simulator.url, simulator.tenant, simulator.client_id, simulator.client_secret, simulator.url
        )
        with pytest.raises(RuntimeError, match=r'It "broke"\.'):
            package_script.export(session, simulator.url, "Postroad", "USMF", pause=0.05)


def test_an_odata_client_reflects_the_model_and_reads_every_set(simulator: FinopsSimulator) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token(simulator)}"
        service: Any = odata.ODataService(
            f"{simulator.url}/data", session=session, reflect_entities=True, quiet_progress=True
        )
        vendors = service.entities["VendorsV2"]
        simulator.switch(page_limit=7)
        expected = simulator.table(company="usmf").to_pylist()
        found = list(service.query(vendors))
        assert [each.VendorAccountNumber for each in found] == [row["VendorAccountNumber"] for row in expected]
        assert [float(each.CreditLimit) for each in found] == [float(row["CreditLimit"]) for row in expected]
        assert [each.OnHoldStatus.name for each in found] == [row["OnHoldStatus"] for row in expected]
        limits = sorted((float(row["CreditLimit"]) for row in expected if row["CreditLimit"] > 5), reverse=True)
        query = service.query(vendors).filter(vendors.CreditLimit > 5).order_by(vendors.CreditLimit.desc())
        assert [float(each.CreditLimit) for each in query] == limits
        yes = service.types["Microsoft.Dynamics.DataEntities.NoYes"].Yes
        once = list(service.query(vendors).filter(vendors.IsOneTimeVendor == yes))
        assert len(once) == sum(row["IsOneTimeVendor"] == "Yes" for row in expected)
        one = service.query(vendors).get(dataAreaId="usmf", VendorAccountNumber="0000000003")
        assert one.VendorAccountNumber == "0000000003"
        for name in SIZES:
            rows = list(service.query(service.entities[name]))
            assert len(rows) == len(simulator.rows(name, None if name in SHARED else "usmf")), name


SHARED = {"MainAccounts", "GeneralJournalAccountEntries", "Employees"}
