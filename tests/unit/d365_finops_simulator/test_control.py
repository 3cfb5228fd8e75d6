"""The control API over HTTP, the command, and the documentation of both."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.simulator.command import OPTIONS, main
from postroad.connectors.d365_finops.simulator.kinds import KINDS
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.sdk.serving import change_every
from tests.unit.d365_finops_simulator.conftest import Export, get, send

PAGE = Path(__file__).resolve().parents[3] / "docs" / "simulator-d365-finops.md"
Control = Callable[..., Any]


@pytest.fixture
def control(simulator: FinopsSimulator) -> Control:
    def call(_call: str, **arguments: Any) -> Any:
        answer = send(f"{simulator.url}/_simulator/{_call}", json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


def test_rows_are_changed_over_http(simulator: FinopsSimulator, control: Control) -> None:
    changed, added = control("mutate", n=3, company="usmf"), control("add", n=2, entity="MainAccounts")
    control("update", entity="vendors v2", key=changed[0], CreditLimit="4.44", IsOneTimeVendor="Yes")
    deleted = control("delete", which=[changed[1]])
    control("restore", entity="VendorsV2", keys=deleted)
    control("rename", entity="VendorsV2", key=changed[2], to=["0042"])
    rows = simulator.rows()
    shown = rows[tuple(changed[0])]
    assert (shown["CreditLimit"], shown["IsOneTimeVendor"]) == (4.44, "Yes")
    assert ("usmf", "0042") in rows
    assert tuple(changed[1]) in rows
    assert {tuple(key) for key in added} <= set(simulator.rows("MainAccounts"))
    assert control("counts").items() >= {"VendorsV2": 70, "MainAccounts": 22, "version": 9}.items()


def test_rows_as_lines(simulator: FinopsSimulator) -> None:
    answer = get(f"{simulator.url}/_simulator/rows", params={"entity": "VendorsV2", "company": "demf"})
    assert [json.loads(line) for line in answer.text.splitlines()] == list(simulator.rows(company="demf").values())


def test_clock_switches_faults_and_clients(simulator: FinopsSimulator, control: Control) -> None:
    assert control("clock", to="2026-01-01T00:00:00+00:00") == pytest.approx(1767225600, abs=1)
    assert control("advance", hours=1) == pytest.approx(1767229200, abs=1)
    assert control("switches", page_limit=7)["page_limit"] == 7
    number = control("fault", kind="outcome", count=None, failed=["VendorsV2"])
    [fault] = control("faults")
    assert (fault["number"], fault["root"], fault["options"]) == (number, "export", {"failed": ["Vendors V2"]})
    control("clear_faults", number=number)
    assert control("faults") == []
    control("client", client_id="second", secret="s")
    assert control("revoke_tokens") == 0


def test_projects_and_executions(simulator: FinopsSimulator, control: Control, export: Export) -> None:
    control("source_format", name="Own", code_page=65001, column_delimiter=";")
    control("project", name="own", entities=["Employees"], source_format="own", incremental=False)
    control("columns", project="own", entity="Employees", rename={"Name": "FullName"})
    control("tracking", entity="Employees", on=True)
    control("fault", kind="hang")
    execution = export("own")
    [run] = control("runs")
    assert (run["status"], run["rows"], run["incremental"]) == ("Executing", {"Employees": 10}, {"Employees": False})
    control("finish", execution=execution, status="Canceled")
    assert control("runs")[0]["status"] == "Canceled"
    assert control("drop_package", execution=execution) == 0
    assert control("interfere", entity="Employees") == 0
    control("delete_project", name="own")
    assert [project.name for project in simulator.projects] == ["Postroad", "vendors"]


def test_the_request_log_names_what_was_asked(
    simulator: FinopsSimulator, control: Control, service: httpx.Client, export: Export
) -> None:
    control("log", clear=True)
    service.get("/data/VendorsV2?$top=7")
    execution = export()
    link = simulator.blobs.link(next(iter(simulator.executions)).build.path, simulator.clock.now(), simulator.switches)
    get(link, headers={"Range": "bytes=5-"})
    read, started, fetched = control("log")
    assert (read["roots"], read["rows"], read["status"]) == (["data", "VendorsV2"], 7, 200)
    assert (started["roots"], started["arguments"]["legalEntityId"]) == (
        ["action", "ExportToPackage", "export"],
        "USMF",
    )
    assert (fetched["roots"], fetched["range"], fetched["path"].partition("?")[2]) == (["blob"], "bytes=5-", "")
    assert execution in {run["id"] for run in control("runs")}


@pytest.mark.parametrize(
    ("name", "arguments", "status", "reason"),
    [
        ("nothing", {}, 404, "no control 'nothing'"),
        ("update", {"entity": "Nothing", "key": []}, 400, "no entity 'Nothing'; there are: VendorsV2, "),
        ("update", {"entity": "VendorsV2", "key": ["usmf", "x"], "Notes": ""}, 400, "no row"),
        ("update", {"entity": "VendorsV2", "key": ["usmf", "0000000001"], "Nothing": ""}, 400, "is no field"),
        ("update", {"entity": "VendorsV2", "key": ["usmf", "0000000001"], "OnHoldStatus": "x"}, 400, "no member of"),
        ("update", {"entity": "VendorsV2", "key": ["usmf", "0000000001"], "CreditLimit": "x"}, 400, "is no number"),
        ("mutate", {"m": 1}, 400, "TypeError"),
        ("mutate", {"entity": 5}, 400, "AttributeError"),
        ("mutate", {"company": "nobody"}, 400, "no legal entity 'nobody'"),
        ("restore", {"entity": "VendorsV2", "keys": [["usmf", "0000000001"]]}, 400, "no deleted row"),
        ("switches", {"nothing": 1}, 400, "no switch 'nothing'"),
        ("switches", {"overlap": "x"}, 400, "cannot be 'x'"),
        ("switches", {"page_limit": "7"}, 400, "cannot be '7'"),
        ("finish", {"execution": "x"}, 400, "no execution 'x'"),
        ("columns", {"project": "vendors", "entity": "Employees"}, 400, "project vendors has no Employee"),
        ("delete_project", {"name": "x"}, 400, "Data project x does not exist."),
    ],
)
def test_mistakes_of_the_caller_are_told(
    simulator: FinopsSimulator, name: str, arguments: dict[str, Any], status: int, reason: str
) -> None:
    answer = send(f"{simulator.url}/_simulator/{name}", json=arguments)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


def test_everything_at_once_from_many_threads(simulator: FinopsSimulator, service: httpx.Client) -> None:
    failures: list[object] = []
    path = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.ExportToPackage"

    def work(name: str) -> None:
        simulator.project(name, ["VendorsV2", "Employees"])
        arguments = {"definitionGroupId": name, "packageName": name, "executionId": name, "reExecute": False}
        failures.append(service.post(path, json={**arguments, "legalEntityId": "USMF"}).status_code != 200)
        for _ in range(5):
            simulator.mutate(2)
            simulator.add(1)
            simulator.delete(1)
            failures.append(service.get("/data/VendorsV2?cross-company=true&$top=50").status_code != 200)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 24
    assert not any(failures)
    assert simulator.counts().items() >= {"VendorsV2": 70, "version": 80}.items()
    simulator.advance(seconds=60)
    assert {run["status"] for run in simulator.runs()} == {"Succeeded"}


def test_changes_in_the_background(simulator: FinopsSimulator) -> None:
    stop = threading.Event()
    change_every(0.01, simulator.mutate, stop)
    deadline = time.monotonic() + 10
    while simulator.counts()["version"] < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    assert simulator.counts()["version"] >= 3


def test_the_command_serves_until_it_is_terminated() -> None:
    code = "from postroad.connectors.d365_finops.simulator import main; main(['--port', '0', '--vendors', '30'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert get(f"{url}/_simulator/counts").json()["VendorsV2"] == 52
        assert get(f"{url}/data/VendorsV2").status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


# ---- documentation ----


def test_the_command_explains_itself_and_so_does_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    options = set(re.findall(r"--[\w-]+", capsys.readouterr().out)) - {"--help"}
    assert {f"--{name}" for name in OPTIONS} <= options
    assert options <= set(re.findall(r"`(--[\w-]+)", PAGE.read_text()))


def section(title: str) -> str:
    return PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_lists_every_call_fault_and_switch_and_no_other(simulator: FinopsSimulator) -> None:
    named = re.compile(r"^\| ((?:`\w+`(?:, )?)+)", re.MULTILINE)
    for title, names in (
        ("Control API", set(simulator.controls)),
        ("Faults", set(KINDS)),
        ("Switches", set(Switches.__dataclass_fields__)),
    ):
        assert set(re.findall(r"\w+", " ".join(named.findall(section(title))))) == names, title
    for kind, facts in KINDS.items():
        row = next(line for line in section("Faults").splitlines() if f"`{kind}`" in line.partition(" | ")[0])
        assert all(f"`{option}`" in row for option in facts.options), kind


def test_every_fault_is_ordered_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert not [kind for kind in KINDS if not re.search(rf'"{kind}"', tests)]


def test_the_defaults_on_the_page_are_those_of_the_switches() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.+?) \|", section("Switches"), re.MULTILINE)
    for names, shown in rows:
        defaults = [getattr(Switches(), name) for name in re.findall(r"\w+", names)]
        texts = [json.dumps(value) if not isinstance(value, str) else f"`{value}`" for value in defaults]
        plain = [text.removesuffix(".0") for text in texts]
        assert shown.replace(" ", "").split(",") == plain, names
