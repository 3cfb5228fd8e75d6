"""All entities of one connection in one project, over a socket."""

from __future__ import annotations

from pathlib import Path

from postroad.app import App
from postroad.connectors.xledger.entities import EIGHT
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.project import Connection, Project, Sync
from postroad.sdk.secrets import Secret

NAMES = tuple(each.name for each in EIGHT)


def test_all_entities_arrive_and_a_quiet_hour_is_one_call(tmp_path: Path) -> None:
    """Wide tables too, whose `_version` is behind the first 32 columns; every key is there; then one document asks."""
    with XledgerSimulator(seed=3, timesheets=60) as simulator:
        settings = XledgerSettings(url=simulator.url, token=Secret.literal(simulator.token), burst=1000)
        connections = {"xledger": Connection("xledger", "xledger", settings)}
        project = Project("eight", tmp_path, connections=connections, syncs=(Sync("xledger", NAMES),))
        simulator.switch(burst=None, concurrency=None)
        with App(project) as app:
            assert app.runs.start().exit_code == 0
            for entity in NAMES:
                held = app.datasets.query(f'select "dbId" from xledger.{entity}').column(0).to_pylist()
                assert sorted(held) == sorted(simulator.rows(entity=entity)), entity
            asked = len(simulator.requests)
            assert app.runs.start().exit_code == 0
            assert len(simulator.requests) == asked + 1
