"""Several entities at a time: one budget, one failure that stops no other, an end in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.app import App
from postroad.app.runs import Report
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.engine.stop import Stop
from postroad.project import Connection, Project, Sync
from postroad.sdk.secrets import Secret

ENTITIES = ("timesheets", "projects", "employees", "customers")


@pytest.fixture
def company() -> Iterator[XledgerSimulator]:
    """A small company that allows three requests at a time, each of which takes a while."""
    with XledgerSimulator(seed=3, timesheets=200) as simulator:
        simulator.switch(burst=None, latency_ms=20)
        yield simulator


@pytest.fixture
def project(company: XledgerSimulator, tmp_path: Path) -> Project:
    settings = XledgerSettings(url=company.url, token=Secret.literal(company.token), burst=10_000, page_size=50)
    connections = {"xledger": Connection("xledger", "xledger", settings)}
    return Project("eight", tmp_path, connections=connections, syncs=(Sync("xledger", ENTITIES),))


def ran(project: Project, parallel: int = 3) -> Report:
    with App(project, sleep=lambda _seconds: None) as app:
        return app.runs.start(parallel=parallel)


def held(project: Project, entity: str) -> list[int]:
    with App(project) as app:
        found: list[int] = app.datasets.query(f'select "dbId" from xledger.{entity}').column(0).to_pylist()
        return sorted(found)


def in_step(project: Project, company: XledgerSimulator) -> list[str]:
    """The entities whose keys are those of the remote system."""
    return [entity for entity in ENTITIES if held(project, entity) == sorted(company.rows(entity=entity))]


def pages(company: XledgerSimulator) -> list[str]:
    """The pages of walks that were answered in full."""
    return [
        f"{request['roots']} {request['variables']}"
        for request in company.requests
        if not request["failed"] and not any("deltas" in root for root in request["roots"])
    ]


def test_walks_share_the_limits_of_the_tenant(project: Project, company: XledgerSimulator) -> None:
    """Three at a time are allowed, and three are at work; no page is asked for twice."""
    assert ran(project).exit_code == 0
    assert in_step(project, company) == list(ENTITIES)
    assert not [request for request in company.requests if request["failed"]]
    assert len(pages(company)) == len(set(pages(company)))


@pytest.mark.parametrize("parallel", [1, 3])
def test_one_failing_feed_stops_no_other(project: Project, company: XledgerSimulator, parallel: int) -> None:
    """A walk that the remote system cannot answer; the next run mends it."""
    company.fault("malformed", count=None, root="projects")
    report = ran(project, parallel)
    assert report.exit_code == 3
    assert {each.feed for each in report.outcomes if each.status == "failed"} == {"projects"}
    assert in_step(project, company) == [entity for entity in ENTITIES if entity != "projects"]
    company.clear_faults()
    assert ran(project, parallel).exit_code == 0
    assert in_step(project, company) == list(ENTITIES)


def test_changes_that_fail_for_one_entity_show_in_its_status(project: Project, company: XledgerSimulator) -> None:
    """The document is asked in parts; who fails alone is `failed` and not `in step`, until it is read again."""

    def states() -> dict[str, str]:
        with App(project) as app:
            return {status.dataset.partition(".")[2]: status.state for status in app.datasets.status()}

    assert ran(project).exit_code == 0
    company.fault("field_error", count=None, root="project_deltas")
    assert ran(project).exit_code == 3
    assert states() == dict.fromkeys(ENTITIES, "in step") | {"projects": "failed"}
    company.clear_faults()
    assert ran(project).exit_code == 0
    assert states() == dict.fromkeys(ENTITIES, "in step")


@pytest.mark.parametrize("parallel", [1, 3])
def test_one_broken_table_stops_no_other(
    project: Project, company: XledgerSimulator, tmp_path: Path, parallel: int
) -> None:
    """What is wrong on our side is named with its entity; the others get their changes."""
    assert ran(project).exit_code == 0
    company.mutate(1, entity="customers")
    assert ran(project).exit_code == 0
    first = tmp_path / "lake" / "changes" / "xledger" / "customers" / "_delta_log" / f"{0:020}.json"
    good = first.read_bytes()
    first.write_text("nonsense")
    company.mutate(3, entity="customers")
    company.add(2, entity="projects")
    report = ran(project, parallel)
    assert report.exit_code == 3
    assert [each.status for each in report.outcomes if "customers" in (each.reason or "")] == ["partly_succeeded"]
    assert report.counts["xledger.projects"].new == 2
    first.write_bytes(good)
    assert ran(project, parallel).exit_code == 0
    assert in_step(project, company) == list(ENTITIES)


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_stop_lands_what_was_asked_for(project: Project, company: XledgerSimulator, parallel: int) -> None:
    """Every answer that was paid for is kept; every run is `cancelled`, and the next one asks for the rest."""
    stop = Stop()

    class Impatient(App):
        """Stopped by somebody when half the pages are there."""

    with Impatient(project, stop=stop) as app:
        land = app.tracking.feeds.land

        def landing(*words: object) -> object:
            row = land(*words)  # type: ignore[arg-type]
            if app.tracking.feeds.landing() >= 5:
                stop.ask()
            return row

        app.tracking.feeds.land = landing  # type: ignore[method-assign,assignment]
        report = app.runs.start(parallel=parallel)
        assert report.stopped
        assert {run["status"] for run in app.runs.list()} <= {"cancelled", "succeeded"}
        assert {outcome.status for outcome in report.outcomes} == {"cancelled"} | (
            {"succeeded"} & {outcome.status for outcome in report.outcomes}
        )
    assert ran(project, parallel).exit_code == 0
    assert in_step(project, company) == list(ENTITIES)
    assert len(pages(company)) == len(set(pages(company)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(
    tmp_path: Path, company: XledgerSimulator, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """`postroad run`, a process of its own: 128 and the signal's number, and no page is asked for twice."""
    monkeypatch.setenv("XLEDGER_URL", company.url)
    monkeypatch.setenv("XLEDGER_TOKEN", company.token)
    company.switch(latency_ms=150)
    words = [sys.executable, "-m", "postroad"]
    subprocess.run([*words, "init", ".", "--example", "xledger"], cwd=tmp_path, check=True, capture_output=True)
    settings = tmp_path / "postroad.yaml"
    settings.write_text(settings.read_text() + "    page_size: 50\n")
    process = subprocess.Popen([*words, "run"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while len(pages(company)) < 2:
        time.sleep(0.01)
    process.send_signal(number)
    told = process.communicate(timeout=30)
    assert process.returncode == 128 + number, told
    assert "stopped; the next run goes on" in told[1]
    company.switch(latency_ms=0)
    done = subprocess.run([*words, "run"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(pages(company)) == len(set(pages(company)))
