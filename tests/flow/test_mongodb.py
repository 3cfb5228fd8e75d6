"""A project that delivers to a MongoDB, as a person writes and types it, killed in between."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from postroad.app import App
from postroad.connectors.xledger.simulator import XledgerSimulator
from tests.conftest import Mongo
from tests.flow.post import memory_folder, small_messages
from tests.shell import Shell

APPDB = """\
  appdb:
    connector: mongodb
    url: secret://MONGODB_URL
    database: {name}
    indexes:
      hours: [{{fields: [employee_dbId, -assignment.date]}}]
"""
FLOW = """\
sync:
  - {from: xledger, entities: [timesheets]}
deliver:
  - {dataset: xledger.timesheets, to: appdb.hours, rename: {assignmentDate: assignment.date}}
"""


@pytest.fixture
def company() -> Iterator[XledgerSimulator]:
    """A small company without call limits."""
    with XledgerSimulator(seed=3, timesheets=200, burst=None, concurrency=None) as simulator:
        yield simulator


@pytest.fixture
def shell(company: XledgerSimulator, mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """The project, and a shell in it."""
    with memory_folder() as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XLEDGER_URL", company.url)
        monkeypatch.setenv("XLEDGER_TOKEN", company.token)
        monkeypatch.setenv("MONGODB_URL", mongo.url)
        typed = Shell(folder, monkeypatch)
        typed("init", ".", "--example", "xledger")
        settings = folder / "postroad.yaml"
        settings.write_text(settings.read_text() + APPDB.format(name=mongo.name))
        (folder / "flows" / "hours.yaml").write_text(FLOW)
        yield typed


def assert_equal(shell: Shell, mongo: Mongo) -> None:
    """The collection holds what the table holds, read by plain pymongo."""
    with App.open(shell.folder) as app:
        rows = app.datasets.query("select dbId, workingHours, assignmentDate from xledger.timesheets").to_pylist()
    found = mongo.database.hours.find({})
    held = [(each["_id"], each["workingHours"].to_decimal(), str(each["assignment"]["date"].date())) for each in found]
    assert sorted(held) == sorted((row["dbId"], row["workingHours"], str(row["assignmentDate"])) for row in rows)
    assert len(rows) > 50


def test_a_run_that_is_killed_while_it_delivers_loses_nothing(
    shell: Shell, company: XledgerSimulator, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_messages(monkeypatch, 1)
    assert "appdb: rights" in shell("check", "--connect")
    shell("run", "--no-deliver")
    with App.open(shell.folder) as app:
        assert app.deliveries.dispatch() > 50
    command = [sys.executable, "-m", "postroad", "run", "-p", str(shell.folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        while mongo.database.hours.count_documents({}) < 3:
            time.sleep(0.002)
        killed.kill()
    with closing(sqlite3.connect(shell.folder / "postroad.db")) as database:
        assert database.execute("select count(*) from messages where status = 'queued'").fetchone()[0] > 0
    company.mutate(20)
    company.delete(5)
    shell("run")
    verified = shell.json("verify", "appdb.hours")
    assert verified["equal"]
    with App.open(shell.folder) as app:
        assert app.deliveries.status()[0].lag == 0
    assert_equal(shell, mongo)
    assert mongo.database["hours.rows"].count_documents({"_deleted": True}) > 0
    assert "postroad_employee_dbId_1_assignment.date_-1" in mongo.database["hours.rows"].index_information()
