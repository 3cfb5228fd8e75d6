"""A frozen process does not know that its claim was ended: once it goes on, its next durable write is refused."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from postroad.app import App
from postroad.app.datasets import BY_HAND
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.telemetry import Stage
from tests import oracle
from tests.chaos.episode import write_project
from tests.chaos.history import SYNCING
from tests.chaos.nursery import Life, Nursery
from tests.flow.shown import entity_shown

LANDED = "select count(*), max(landing) from payloads"
LISTED = "select path from files where kind = 'staged'"
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
