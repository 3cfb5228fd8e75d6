from __future__ import annotations

import json
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

from postroad.connectors.xledger.simulator import DEMO_TOKEN, XledgerSimulator, outages
from postroad.connectors.xledger.simulator.command import main, size
from postroad.connectors.xledger.simulator.tables import CONNECTIONS, DELTAS
from postroad.sdk.serving import change_every

Control = Callable[..., Any]


@pytest.fixture
def control(simulator: XledgerSimulator) -> Control:
    def call(name: str, **arguments: Any) -> Any:
        answer = httpx.post(f"{simulator.base_url}/_simulator/{name}", json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


def test_rows_are_changed_over_http(simulator: XledgerSimulator, control: Control) -> None:
    changed, added = control("mutate", n=3), control("add", n=2)
    control("update", db_id=changed[0], workingHours="4.44")
    deleted = control("delete", which=[changed[1]])
    control("restore", db_ids=deleted)
    rows = simulator.rows()
    assert rows[changed[0]]["workingHours"] == "4.44"
    assert set(added) <= set(rows)
    assert control("counts").items() >= {"timesheets": 202, "deltas": 8, "version": 8}.items()
    assert control("rename", kind="employee", db_id=rows[changed[0]]["employee"]["dbId"], description="Åke") > 0
    control("unreadable", db_ids=[])


def test_rows_as_lines(simulator: XledgerSimulator) -> None:
    answer = httpx.get(f"{simulator.base_url}/_simulator/rows", params={"limit": 150})
    nodes = [json.loads(line) for line in answer.text.splitlines()]
    assert {int(node["dbId"]): node for node in nodes} == simulator.rows(limit=150)
    rest = httpx.get(f"{simulator.base_url}/_simulator/rows", params={"after": nodes[-1]["dbId"]}).text.splitlines()
    assert len(nodes) + len(rest) == len(simulator.rows())


def test_clock_switches_faults_tokens_and_credits(simulator: XledgerSimulator, control: Control) -> None:
    assert control("clock", to="2026-01-01T00:00:00+00:00") == pytest.approx(1767225600, abs=1)
    assert control("advance", hours=1) == pytest.approx(1767229200, abs=1)
    assert control("switches", gzip=True)["gzip"] is True
    number = control("fault", kind="html", count=None)
    assert [fault["number"] for fault in control("faults")] == [number]
    control("clear_faults", number=number)
    assert control("faults") == []
    assert control("token", token="bmV3", state="valid") == {simulator.token: "valid", "bmV3": "valid"}
    assert control("credits")["left"] is None
    assert control("refill_credits")["left"] is None


def test_the_request_log_names_what_was_asked(simulator: XledgerSimulator, control: Control, post: Any) -> None:
    post("query Walk($n: Int) { timesheets(first: $n) { edges { cursor } } }", n=7)
    [entry] = control("log", clear=True)
    assert entry["roots"] == ["timesheets"]
    assert entry["operation"] == "Walk"
    assert entry["variables"] == {"n": 7}
    assert (entry["rows"], entry["status"], entry["answered"], entry["failed"]) == (7, 200, True, False)
    assert entry["bytes"] > 100
    assert control("log") == []
    assert simulator.token not in json.dumps(entry)


def test_a_refreshed_demo_has_other_data_and_no_tokens(
    simulator: XledgerSimulator, control: Control, post: Any
) -> None:
    who = "{ entities(ownerSet: CURRENT, first: 1) { edges { node { dbId } } } }"
    before, rows = post(who).json(), simulator.rows()
    control("swap_tenant", seed=11, timesheets=20)
    assert post(who).json() != before
    assert not rows.keys() & simulator.rows().keys()
    control("swap_tenant", seed=12, invalidate_token=True)
    assert post(who).json()["errors"]


def test_mistakes_of_the_caller_are_told(simulator: XledgerSimulator) -> None:
    base = f"{simulator.base_url}/_simulator"
    assert httpx.post(f"{base}/nothing", json={}).status_code == 404
    assert "LookupError" in httpx.post(f"{base}/update", json={"db_id": 1}).json()["error"]
    assert httpx.post(f"{base}/mutate", json={"m": 1}).status_code == 400
    assert httpx.post(f"{base}/mutate", content="[1]").status_code == 400
    assert httpx.post(f"{base}/mutate", content="{").status_code == 400
    assert httpx.get(f"{simulator.base_url}/").status_code == 404


def test_pages_are_rendered_in_advance(simulator: XledgerSimulator, control: Control, post: Any) -> None:
    walk = (
        "query ($after: String) { timesheets(first: 30, after: $after) { edges { cursor } pageInfo { hasNextPage } } }"
    )
    post(walk)
    assert control("pre_render") == 7


def test_changes_in_the_background(simulator: XledgerSimulator) -> None:
    stop = threading.Event()
    change_every(0.01, simulator.mutate, stop)
    deadline = time.monotonic() + 10
    while simulator.counts()["deltas"] < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    assert simulator.counts()["deltas"] >= 3


def test_everything_at_once_from_many_threads(simulator: XledgerSimulator, post: Any) -> None:
    simulator.switch(concurrency=None)
    failures: list[object] = []

    def work() -> None:
        for _ in range(10):
            simulator.mutate(2)
            simulator.add(1)
            simulator.delete(1)
            body = post("{ timesheets { edges { node { dbId } } } timesheet_deltas { edges { cursor } } }").json()
            failures.extend(body.get("errors", ()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert simulator.counts().items() >= {"timesheets": 200, "deltas": 160, "version": 160}.items()


def test_the_command_serves_until_it_is_terminated() -> None:
    code = "from postroad.connectors.xledger.simulator import main; main(['--port', '0', '--timesheets', '30'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        answer = httpx.post(url, json={"query": "{ __typename }"}, headers={"Authorization": f"token {DEMO_TOKEN}"})
        assert answer.json() == {"data": {"__typename": "Query"}}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--changes-per-minute" in capsys.readouterr().out


def test_every_entity_is_changed_over_http(simulator: XledgerSimulator, control: Control) -> None:
    [changed], [added] = control("mutate", entity="customers"), control("add", entity="customers")
    [deleted] = control("delete", entity="customers")
    control("restore", db_ids=[deleted], entity="customers")
    assert control("update", db_id=changed, entity="customers", notes="ny", description="Nytt namn AB") >= 1
    control("unreadable", db_ids=[added], entity="customers")
    answer = httpx.get(f"{simulator.base_url}/_simulator/rows", params={"entity": "customers"})
    rows = {row["dbId"]: row for row in map(json.loads, answer.text.splitlines())}
    assert rows == simulator.rows(entity="customers")
    assert rows[changed]["notes"] == "ny"
    assert httpx.get(f"{simulator.base_url}/_simulator/rows", params={"entity": "customer"}).status_code == 400


def test_pages_of_any_connection_are_rendered_in_advance(control: Control, post: Any) -> None:
    post("query ($a: String) { accounts(first: 5, after: $a) { edges { cursor } pageInfo { hasNextPage } } }")
    assert control("pre_render") == 7


def test_sizes_are_read_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert size("projects=500") == ("projects", 500)
    for wrong in ("projects", "projects=many", "=3", "project=3"):
        with pytest.raises(SystemExit):
            main(["--size", wrong])
    assert "only for" in capsys.readouterr().err


def test_every_call_switch_fault_and_connection_is_documented(simulator: XledgerSimulator) -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulator-xledger.md").read_text()
    names = [*simulator.controls, *simulator.switch(), *outages.KINDS, *CONNECTIONS, *DELTAS]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--schema"])
    assert "type Timesheet {" in capsys.readouterr().out
