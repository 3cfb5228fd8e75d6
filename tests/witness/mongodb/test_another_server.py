"""The destination suite against a second server that speaks MongoDB's protocol; `make witness` fetches and runs it.

mongo-java-server has no views, pipelines in updates, validators, rights or fail points, so it sees neither soft deletes
nor outages. What it has is right: guarded upserts, unique indexes, tombstones, types, workers beside each other.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pymongo import MongoClient

from tests.conftest import ROOT, Mongo
from tests.contract.test_mongodb import MongoSuite
from tests.contract.test_mongodb_answers import exactly_once

JARS = ROOT / ".cache" / "witness-mongodb-jars"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the server, in a process of its own."""
    java = shutil.which("java")
    if java is None or not JARS.exists():
        pytest.skip("mongo-java-server is absent: make witness")
    program = str(Path(__file__).with_name("Server.java"))
    command = [java, "-Xmx512m", "-cp", f"{JARS}/*", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield f"mongodb://127.0.0.1:{server.stdout.readline().strip()}/?serverMonitoringMode=poll"
        server.kill()


@pytest.fixture
def mongo(address: str) -> Iterator[Mongo]:
    """An empty database."""
    with MongoClient[dict[str, Any]](address) as client:
        client.drop_database("suite")
        yield Mongo(address, "suite", client["suite"])


class TestPlain(MongoSuite):
    """Keys as `_id`, tombstones beside the rows."""

    settings: ClassVar = {"view": False}

    def shown(self) -> dict[str, Any]:
        """Rows that are no tombstones."""
        return {"_deleted": None}

    def test_checks_succeed(self) -> None:
        """As far as it knows of rights."""
        with closing(self.destination()) as destination:
            steps = {each.step: each.ok for each in destination.check()}
        assert steps == {"reach the server": True, "sign in": True, "rights": False}


class TestObjectId(TestPlain):
    """Its own `_id`, and a unique index on the key's fields."""

    settings: ClassVar = {"view": False, "id": "objectid"}


def test_two_workers_in_any_order_end_as_exactly_once(mongo: Mongo) -> None:
    """As many versions of few keys as there are, each sent by both."""
    history = [(number, version, (number * version) % 4 == 0) for number in range(5) for version in range(1, 9)]
    exactly_once(mongo, history, seed=7, view=False)
