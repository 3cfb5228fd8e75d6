from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from postroad.connectors.d365_finops.simulator import FinopsSimulator

Act = Callable[..., Any]
Export = Callable[..., str]
Fetch = Callable[..., dict[str, bytes]]
Start = Callable[..., httpx.Response]

get, send = partial(httpx.get, verify=False), partial(httpx.post, verify=False)  # loading certificates takes 50 ms
ACTION = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
NOW = 1_795_000_000.0
SIZES = {
    "VendorsV2": 40,
    "CustomersV3": 20,
    "ReleasedProductsV2": 20,
    "PurchaseOrderHeadersV2": 20,
    "MainAccounts": 20,
    "GeneralJournalAccountEntries": 30,
    "Employees": 10,
}


def token(simulator: FinopsSimulator) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "scope": f"{simulator.url}/.default",
    }
    answer = send(f"{simulator.url}/{simulator.tenant}/oauth2/v2.0/token", data=form)
    return str(answer.json()["access_token"])


def table(content: bytes, encoding: str = "utf-16", delimiter: str = ",") -> list[list[str]]:
    """The rows of a delimited file, the header first."""
    return list(csv.reader(io.StringIO(content.decode(encoding), newline=""), delimiter=delimiter))


def records(content: bytes) -> list[dict[str, str]]:
    """The rows of a delimited file by the names of its header."""
    head, *rows = table(content)
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture
def simulator() -> Iterator[FinopsSimulator]:
    """A small environment whose clock stands still until a test moves it, however slow the machine is."""
    with FinopsSimulator(seed=3, sizes=SIZES, clock=lambda: NOW) as simulator:
        simulator.project("vendors", ["VendorsV2"])
        yield simulator


@pytest.fixture
def service(simulator: FinopsSimulator) -> Iterator[httpx.Client]:
    """A client that is signed in for as long as a test moves the clock."""
    simulator.switch(token_seconds=1e7)
    headers = {"Authorization": f"Bearer {token(simulator)}"}
    simulator.switch(token_seconds=3_600.0)
    with httpx.Client(headers=headers, base_url=simulator.url, timeout=10, verify=False) as client:
        yield client


@pytest.fixture
def post(service: httpx.Client) -> Start:
    """The answer of an action, as it came."""

    def call(action: str, **arguments: Any) -> httpx.Response:
        return service.post(ACTION + action, json=arguments)

    return call


@pytest.fixture
def act(post: Start) -> Act:
    """The value of an action that succeeds."""

    def value(action: str, **arguments: Any) -> Any:
        answer = post(action, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    return value


@pytest.fixture
def start(post: Start) -> Start:
    """Starts an export of a project; the answer, as it came."""

    def call(project: str = "vendors", execution_id: str = "", company: str = "USMF", **more: Any) -> httpx.Response:
        arguments = {"definitionGroupId": project, "packageName": "package", "executionId": execution_id}
        action = more.pop("action", "ExportToPackage")
        return post(action, **arguments, reExecute=False, legalEntityId=company, **more)

    return call


@pytest.fixture
def export(simulator: FinopsSimulator, start: Start) -> Export:
    """Exports a project and lets its time pass; the execution's id."""

    def run(project: str = "vendors", company: str = "USMF", **more: Any) -> str:
        answer = start(project, company=company, **more)
        assert answer.status_code == 200, answer.text
        simulator.advance(seconds=simulator.switches.export_seconds + 1)
        return str(answer.json()["value"])

    return run


@pytest.fixture
def fetch(act: Act) -> Fetch:
    """The entries of an execution's package."""

    def entries(execution: str) -> dict[str, bytes]:
        content = get(act("GetExportedPackageUrl", executionId=execution)).content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    return entries
