"""Deliveries as a person types them, and workers as real processes that are killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from postroad.app import App
from postroad.connectors.xledger.simulator import XledgerSimulator
from tests.chaos.nursery import catches
from tests.flow.post import memory_folder, small_messages
from tests.rabbitmq import Broker
from tests.shell import Shell

HERE = "appdb.hours"
FLOW = """\
sync:
  - {from: xledger, entities: [timesheets]}
deliver:
  - {dataset: xledger.timesheets, to: appdb.hours}
"""
APPDB = """\
  appdb:
    connector: sql
    url: secret://APPDB_URL
"""


@pytest.fixture
def company() -> Iterator[XledgerSimulator]:
    """A small company without call limits."""
    with XledgerSimulator(seed=3, timesheets=200, burst=None, concurrency=None) as simulator:
        yield simulator


@pytest.fixture
def shell(company: XledgerSimulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A project that delivers its timesheets into a table of SQLite, and a shell in it."""
    with memory_folder() as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XLEDGER_URL", company.url)
        monkeypatch.setenv("XLEDGER_TOKEN", company.token)
        monkeypatch.setenv("APPDB_URL", "sqlite:///app.db")
        typed = Shell(folder, monkeypatch)
        typed("init", ".", "--example", "xledger")
        settings = folder / "postroad.yaml"
        settings.write_text(settings.read_text() + APPDB)
        (folder / "flows" / "hours.yaml").write_text(FLOW)
        yield typed


def assert_equal(folder: Path) -> None:
    """The receiver holds what the table holds, read by nothing of ours."""
    with App.open(folder) as app:
        wanted = app.datasets.query("select dbId, workingHours, assignmentDate from xledger.timesheets").to_pylist()
    with closing(sqlite3.connect(folder / "app.db")) as database:
        found = database.execute("select dbId, workingHours, assignmentDate from hours where not _deleted").fetchall()
    texts = {(row["dbId"], f"{row['workingHours']:f}", str(row["assignmentDate"])) for row in wanted}
    assert texts == set(found)
    assert len(texts) > 50


def test_what_a_person_types(shell: Shell, company: XledgerSimulator) -> None:
    """Run without and with delivery, status, pause, resume, a check of the receiver."""
    assert f"{HERE.partition('.')[0]}: reach the database" in shell("check", "--connect")
    assert shell.json("run", "--no-deliver")["deliveries"] == {}
    (status,) = shell.json("status")["deliveries"]
    assert (status["state"], status["lag"]) == ("not begun", shell.json("status")["datasets"][0]["rows"])
    done = shell.json("run")["deliveries"][HERE]
    assert (done["records"], done["rejected"], done["problem"]) == (status["lag"], 0, None)
    assert_equal(shell.folder)
    assert "equal" in shell("verify", HERE).splitlines()
    company.mutate(7)
    (gone, _) = company.delete(2)
    assert "is paused" in shell("pause", HERE)
    assert shell.json("run")["deliveries"][HERE]["records"] == 0
    assert f"postroad resume {HERE}" in shell("status")
    assert shell.json("status")["deliveries"][0]["lag"] == 9
    assert "is resumed" in shell("resume", HERE)
    assert "hours" in shell("run")
    assert_equal(shell.folder)
    assert f"{HERE} has its delete: acknowledged" in shell("trace", "--at", HERE, str(gone))
    assert shell.json("trace", "xledger.timesheets", str(gone))["versions"][0]["op"] == "delete"
    assert "trace takes DATASET KEY" in shell("trace", HERE, code=2)
    with closing(sqlite3.connect(shell.folder / "app.db")) as database, database:
        key = database.execute("delete from hours where not _deleted returning dbId").fetchone()[0]
    found = shell.json("verify", HERE, code=3)
    assert (found["equal"], f"[{key}]" in found["keys"]["missing"]) == (False, True)
    assert "postroad trace --at" in shell("verify", HERE, code=3)
    assert "cannot count its records" in shell("verify", "xledger.timesheets", code=2)
    assert shell.json("rejected", "list", "--stage", "deliver") == []
    assert "0 messages dropped" in shell("rejected", "discard", HERE, "--stage", "deliver")
    assert shell.json("rejected", "retry", HERE, "--stage", "deliver")["deliveries"][HERE]["messages"] == 0
    assert "no flow delivers to 'appdb.days'" in shell("pause", "appdb.days", code=2)
    (shell.folder / "flows" / "hours.yaml").write_text(
        FLOW.replace(f"to: {HERE}", f"to: {HERE}, select: [workingHours]")
    )
    assert f"\n{HERE} has received rows under another select" in shell("status")


def test_workers_that_are_killed_lose_nothing(
    shell: Shell, company: XledgerSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 wherever they are, alone and beside another one; the last worker ends by SIGTERM, in order."""
    small_messages(monkeypatch, 2)
    shell("run", "--no-deliver")
    company.mutate(20)
    company.delete(5)
    shell("run", "--no-deliver")
    with App.open(shell.folder) as app:
        dispatched = app.deliveries.dispatch()
    assert dispatched > 50
    with worker(shell.folder) as alone:
        wait_for(shell.folder, 5)
        alone.kill()
    with worker(shell.folder) as last:
        with worker(shell.folder) as victim:
            wait_for(shell.folder, 20)
            victim.kill()
        wait_for(shell.folder, dispatched)
        wait_to_be_told(last)
        last.send_signal(signal.SIGTERM)
        assert last.wait(30) == 0
    assert_equal(shell.folder)
    with App.open(shell.folder) as app:
        assert app.deliveries.status()[0].lag == 0


def test_workers_at_a_broker_are_killed_too(
    shell: Shell, company: XledgerSimulator, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person sees of it, alive and down; kill -9 of workers; nothing is lost, nothing held back."""
    small_messages(monkeypatch, 2)
    settings = shell.folder / "postroad.yaml"
    settings.write_text(settings.read_text() + "queue: $QUEUE_URL\n")
    monkeypatch.setenv("QUEUE_URL", broker.url)
    assert "the broker answers" in shell("check", "--connect")
    assert shell.json("run")["deliveries"][HERE]["messages"] > 50
    monkeypatch.setenv("QUEUE_URL", "amqp://someone:S3CRET@127.0.0.1:1")
    company.mutate(20)
    (problem,) = {each["problem"] for each in shell.json("run", code=3)["deliveries"].values()}
    assert problem == "the broker did not answer: Connection refused"
    assert problem in shell("check", "--connect", code=2)
    assert f"queue: {problem}" in shell("status")
    assert "S3CRET" not in shell("status") + str(shell.json("status"))
    monkeypatch.setenv("QUEUE_URL", broker.url)
    before, dispatched = settled(shell.folder)
    assert dispatched > before
    with worker(shell.folder) as victim:
        wait_for(shell.folder, before + 1)
        victim.kill()
    company.mutate(20)
    shell("run", "--no-deliver")
    with worker(shell.folder) as last:
        wait_to_be_told(last)
        while shell.json("status")["deliveries"][0]["lag"]:
            assert last.poll() is None
        last.send_signal(signal.SIGTERM)
        assert last.wait(30) == 0
    assert_equal(shell.folder)
    assert shell.json("status")["queue"] == {
        "problem": None, "dead": 0, "refused": 0, "refused_queue": "postroad.hours.refused",
    }  # fmt: skip


def settled(folder: Path) -> tuple[int, int]:
    """How many messages are settled, and how many there are."""
    with closing(sqlite3.connect(folder / "postroad.db")) as database:
        counted = "select count(*) filter (where status != 'queued'), count(*) from messages"
        found: tuple[int, int] = database.execute(counted).fetchone()
        return found


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker, which is killed in the end if nobody did it before."""
    command = [sys.executable, "-m", "postroad", "worker", "-p", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def wait_to_be_told(process: subprocess.Popen[bytes]) -> None:
    """Until SIGTERM is caught: the other worker may have done everything while this one was still starting."""
    while not catches(process.pid, signal.SIGTERM):
        assert process.poll() is None
        time.sleep(0.002)


def wait_for(folder: Path, most: int) -> None:
    """Until so many messages are settled."""
    while settled(folder)[0] < most:
        time.sleep(0.002)
