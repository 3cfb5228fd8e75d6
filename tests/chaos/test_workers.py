"""Workers that share the messages of a broker: books on PostgreSQL, messages over RabbitMQ, records into a MongoDB.

They are killed and frozen while they work, and the queue is emptied under them; then the collection shows what the
table shows, and every message has its answer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from postroad.app import App
from postroad.connectors.xledger.simulator import XledgerSimulator
from tests.chaos.nursery import Life, Nursery, catches
from tests.chaos.test_chaos import SEED
from tests.conftest import Mongo
from tests.flow.post import memory_folder, small_messages
from tests.rabbitmq import Broker

ROUNDS = 8
PATIENCE = 60.0  # seconds in which the last worker must be done
PROJECT = """\
project: chaos
lake: ./lake
database: {books}
queue: secret://QUEUE_URL
connections:
  xledger: {{connector: xledger, url: "{company}", token: secret://XLEDGER_TOKEN, burst: 1000000}}
  appdb: {{connector: mongodb, url: secret://MONGODB_URL, database: {database}}}
"""
FLOW = """\
sync:
  - {from: xledger, entities: [timesheets]}
deliver:
  - {dataset: xledger.timesheets, to: appdb.hours}
"""
ACTS = ("kill", "kill both", "freeze", "purge")


class Office:
    """The project, and two workers at a time."""

    def __init__(
        self, folder: Path, company: XledgerSimulator, books: str, broker: Broker, mongo: Mongo, draw: random.Random
    ) -> None:
        self.folder, self.company, self.broker, self.mongo, self.draw = folder, company, broker, mongo, draw
        self.killed: Counter[str] = Counter()
        (folder / "flows").mkdir()
        (folder / "flows" / "hours.yaml").write_text(FLOW)
        (folder / "postroad.yaml").write_text(PROJECT.format(books=books, company=company.url, database=mongo.name))
        secrets = {"XLEDGER_TOKEN": company.token, "QUEUE_URL": broker.url, "MONGODB_URL": mongo.url}
        (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in secrets.items()))
        self._books = psycopg.connect(books, autocommit=True)

    def close(self) -> None:
        """Leave the books alone."""
        self._books.close()

    def open(self) -> tuple[int, int]:
        """How many messages have no final answer, and how many there are."""
        counted = self._books.execute("select count(*) filter (where status = 'queued'), count(*) from messages")
        found = counted.fetchone()
        assert found is not None
        return found

    def holders(self) -> set[int]:
        """The processes that hold a message."""
        held = self._books.execute("select holder from messages where status = 'queued' and token is not null")
        return {(json.loads(holder) if isinstance(holder, str) else holder)["pid"] for (holder,) in held}

    def change(self) -> None:
        """The company works on, and what it did waits at the broker."""
        self.company.mutate(self.draw.randrange(40, 120))
        self.company.add(self.draw.randrange(4))
        self.company.delete(self.draw.randrange(3))
        with App.open(self.folder) as app:
            assert app.runs.start(deliver=False).exit_code == 0
            app.deliveries.dispatch()

    def worker(self, nursery: Nursery) -> Life:
        """One more worker."""
        return nursery.bear({"command": ["worker", "--verbose", "--project", str(self.folder)]})

    def round(self, nurseries: tuple[Nursery, Nursery]) -> None:
        """Two workers begin, and something happens to them while they work."""
        self.change()
        act = self.draw.choice(ACTS)
        one, other = (self.worker(nursery) for nursery in nurseries)
        self._wait(lambda left: not left or {one.pid, other.pid} & self.holders(), 3.0)
        time.sleep(self.draw.random() * 0.03)
        if act == "purge":
            for queue in self.broker.queues():
                self.broker.call("DELETE", f"queues/{self.broker.vhost}/{queue}/contents")
        elif act == "freeze":
            one.stop()
            self._wait(lambda left: not left, 0.5)
            one.go_on()
        elif act == "kill":
            self.kill(one, act)
            self._wait(lambda left: not left, 1.0)
        for life in (one, other):
            if not life.dead:
                self.kill(life, act)
            assert life.bury() == -signal.SIGKILL, life.told()

    def kill(self, life: Life, act: str) -> None:
        """SIGKILL; counted if it held a message."""
        life.stop()
        self.killed[act] += life.pid in self.holders()
        life.kill()
        os.kill(life.pid, signal.SIGCONT)
        while not life.dead:
            next(life.watch(), None)

    def finish(self, nursery: Nursery) -> None:
        """A last worker does what is left, and ends in order."""
        last = self.worker(nursery)
        self._wait(lambda left: not left and catches(last.pid, signal.SIGTERM), PATIENCE)
        os.kill(last.pid, signal.SIGTERM)
        assert last.bury() == 0, last.told()
        if self.refused() == {"poison"}:  # five workers died over a record, by our hand: a person sends it again
            with App.open(self.folder) as app:
                app.deliveries.retry("appdb.hours")

    def refused(self) -> set[str]:
        """Why records are refused."""
        found = self._books.execute("select cause from rejections where status = 'rejected'")
        return {cause for (cause,) in found}

    def assert_law(self) -> None:
        """Every message was answered, nothing was refused, and plain pymongo reads what the table shows."""
        assert self.open()[0] == 0
        assert self.refused() == set()
        with App.open(self.folder) as app:
            rows = app.datasets.query("select dbId, workingHours, _version from xledger.timesheets").to_pylist()
        wanted = {row["dbId"]: (row["workingHours"], row["_version"]) for row in rows}
        held = {
            each["_id"]: (each["workingHours"].to_decimal(), each["_version"])
            for each in self.mongo.database.hours.find()
        }
        assert held == wanted

    def _wait(self, until: Callable[[int], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not until(self.open()[0]) and time.monotonic() < deadline:
            time.sleep(0.005)


@pytest.fixture
def nurseries(tmp_path: Path) -> Iterator[tuple[Nursery, Nursery]]:
    with Nursery(tmp_path / "one") as one, Nursery(tmp_path / "other") as other:
        yield one, other


@pytest.fixture
def office(postgresql_url: str, broker: Broker, mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    small_messages(monkeypatch, 1)
    draw = random.Random(SEED)
    with ExitStack() as stack:
        folder = stack.enter_context(memory_folder())
        company = stack.enter_context(XledgerSimulator(seed=5, timesheets=120, burst=None, concurrency=None))
        made = Office(folder, company, postgresql_url, broker, mongo, draw)
        stack.callback(made.close)
        yield made


@pytest.mark.chaos
def test_no_kill_of_a_worker_loses_or_brings_back_anything(
    office: Office, nurseries: tuple[Nursery, Nursery], record_property: Callable[[str, object], None]
) -> None:
    _live_through(office, nurseries, ROUNDS)
    record_property("table", f"kills of workers that held a message of a broker (seed {SEED}): {dict(office.killed)}")


@pytest.mark.soak
def test_thousands_of_kills_of_workers(office: Office, nurseries: tuple[Nursery, Nursery]) -> None:
    rounds = int(os.environ.get("POSTROAD_SOAK_KILLS", "2000")) // 10
    _live_through(office, nurseries, rounds)
    print(f"\n{rounds} rounds, kills of workers that held a message: {dict(office.killed)}")


def _live_through(office: Office, nurseries: tuple[Nursery, Nursery], rounds: int) -> None:
    for number in range(1, rounds + 1):
        office.round(nurseries)
        if number % 8 == 0 or number == rounds:
            office.finish(nurseries[0])
            office.assert_law()
    assert office.killed.total() > 0
