"""A frozen process does not know that its claim was ended: once it goes on, its next durable write is refused.

Of a run a person ended it; that of a worker ran out, and another worker sent what it held.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from postroad.app import App
from postroad.app.datasets import BY_HAND
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.telemetry import Stage
from tests import oracle
from tests.chaos.episode import RECEIVER, write_project
from tests.chaos.history import SYNCING
from tests.chaos.nursery import PATIENCE, Life, Nursery
from tests.flow.post import small_messages
from tests.flow.shown import entity_shown

LANDED = "select count(*), max(landing) from payloads"
LISTED = "select path from files where kind = 'staged'"
QUEUED = "select id from messages where status = 'queued'"
HELD = "select id from messages where status = 'queued' and token is not null"
TOLD = "select id, status, settled_at from messages where id in ({}) order by id"
MOVED = "select count(*) from moves where message in ({})"
LEASE = 1.0  # seconds that a worker of ours holds a message, unless it renews that
ENDED = "select status, reason from runs where ended_at >= ? order by ended_at, id"


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("dead")) as nursery:
        yield nursery


@pytest.mark.chaos
@pytest.mark.parametrize("stage", SYNCING)
def test_a_frozen_run_whose_claim_was_ended_writes_nothing_more(stage: Stage, nursery: Nursery, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with XledgerSimulator(timesheets=400, burst=None, concurrency=None) as company:
        write_project(folder, company, 40)
        assert nursery.bear({"command": _run(folder)}).bury() == 0
        company.mutate(20)
        company.delete(3)
        life = nursery.bear({"command": _run(folder, "--full-refresh")})
        try:
            _freeze(life, stage, folder / "postroad.db")
            with App.open(folder) as app:
                app.datasets.reset_state("xledger.timesheets")
            at_reset = _ask(folder, "select max(ended_at) from runs")[0][0]
            landed, listed = _ask(folder, LANDED), _ask(folder, LISTED)
        finally:
            life.go_on()
        assert life.bury() == 1, life.told()
        assert _ask(folder, LANDED) == landed
        # Whoever holds the dataset's lease may forget what the reset gave up; nobody lists more of it.
        assert {*_ask(folder, LISTED)} <= {*listed}
        ended = _ask(folder, ENDED, at_reset)
        assert ended, "the reset ended nobody's claim"
        assert set(ended) == {("cancelled", BY_HAND)}
        company.mutate(5)
        company.add(2)
        assert nursery.bear({"command": _run(folder)}).bury() == 0
        oracle.assert_law(folder, [entity_shown(company, "timesheets")])


@pytest.mark.chaos
def test_a_worker_frozen_beyond_its_lease_writes_nothing_more_about_what_it_held(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_messages(monkeypatch, 1)
    folder, order = tmp_path / "project", {"command": ["worker", *_run(tmp_path / "project")[1:]], "lease": LEASE}
    with XledgerSimulator(timesheets=300, burst=None, concurrency=None) as company:
        write_project(folder, company, 300)
        _deliver(folder)
        _change(folder, company)
        frozen = nursery.bear(order)
        held = _freeze_with_messages(frozen, folder)
        _change(folder, company)  # newer versions of what it may be sending
        with nursery.twin() as twin:
            other = twin.bear(order)
            _wait(folder, lambda: not _ask(folder, QUEUED))
            told = _ask(folder, TOLD.format(held)), _ask(folder, MOVED.format(held))
            frozen.go_on()
            _end(other)
        _change(folder, company)
        _wait(folder, lambda: not _ask(folder, QUEUED))
        _end(frozen)
        assert "was taken over" in frozen.notes, frozen.events
        assert (_ask(folder, TOLD.format(held)), _ask(folder, MOVED.format(held))) == told
        oracle.assert_received(folder, [entity_shown(company, "timesheets")], RECEIVER)


def _deliver(folder: Path) -> None:
    with (folder / "postroad.yaml").open("a") as project:
        project.write(f"  {RECEIVER}: {{connector: sql, url: 'sqlite:///{RECEIVER}.db'}}\n")
    deliver = {"deliver": [{"dataset": "xledger.timesheets", "to": f"{RECEIVER}.timesheets"}]}
    (folder / "flows" / "deliver.yaml").write_text(json.dumps(deliver))


def _change(folder: Path, company: XledgerSimulator) -> None:
    company.mutate(150)
    company.delete(3)
    with App.open(folder) as app:
        assert app.runs.start(deliver=False).exit_code == 0
        app.deliveries.dispatch()


def _freeze_with_messages(life: Life, folder: Path) -> str:
    """Stop it while it holds messages, and neither database; which ones it holds, for `in (…)`."""
    while True:
        time.sleep(0.005)
        life.stop()
        held = _ask(folder, HELD)
        if held and not any(_locked(folder / file) for file in ("postroad.db", f"{RECEIVER}.db")):
            return ", ".join(str(number) for (number,) in held)
        assert _ask(folder, QUEUED), "it was quicker"
        life.go_on()


def _wait(folder: Path, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, f"what waits is not sent: {_ask(folder, QUEUED)[:5]}"
        time.sleep(0.02)


def _end(life: Life) -> None:
    os.kill(life.pid, signal.SIGTERM)
    assert life.bury() == 0, life.told()


def _run(folder: Path, *words: str) -> list[str]:
    return ["run", "--verbose", "--project", str(folder), *words]


def _freeze(life: Life, stage: Stage, database: Path) -> None:
    """Stop it in its second call of a stage or the first of a rare one, but not while it holds the database's lock."""
    left = 1 if stage in (Stage.NORMALISE, Stage.CLOSE, Stage.MATERIALISE) else 3
    for named in life.watch():
        left -= named.stage is stage
        if not left:
            break
    life.stop()
    while _locked(database):
        life.go_on()
        time.sleep(0.002)
        life.stop()
    assert not life.dead, life.told()


def _locked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0.1, isolation_level=None)) as db:
        try:
            db.execute("begin immediate")
        except sqlite3.OperationalError:
            return True
        db.execute("rollback")
        return False


def _ask(folder: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "postroad.db", timeout=30)) as db:
        return db.execute(query, values).fetchall()
