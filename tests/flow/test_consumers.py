"""Consumers that are not ours, `examples/consumers`, at a real RabbitMQ: what they keep is what the table holds."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
import pytest

from postroad.connectors.rabbitmq import connector
from postroad.connectors.rabbitmq.settings import RabbitmqSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.project import Delivery
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Tools
from postroad.sdk.secrets import Secret
from postroad.telemetry import Point
from tests.conftest import ROOT
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.rabbitmq import Broker
from tests.shell import Shell

EXAMPLES = ROOT / "examples" / "consumers"
GO = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
P = Point
LONG = "more letters than it takes"


@dataclass
class Line:
    """A project that delivers its books to a queue, and whoever reads there."""

    post: Post
    broker: Broker
    command: Sequence[str]
    file: Path
    kept: Callable[[Path], dict[int, str | None]]
    opened: list[Destination] = field(default_factory=list)

    @contextmanager
    def consumer(self) -> Iterator[subprocess.Popen[bytes]]:
        """It, at work; killed in the end."""
        with subprocess.Popen([*self.command, self.broker.url, "books", str(self.file)]) as process:
            try:
                yield process
            finally:
                process.kill()

    def settled(self) -> None:
        """Deliver until every receipt has come."""
        for _ in range(150):
            self.post.deliver()
            if not self.post.look("select id from messages where status = 'queued'"):
                return
            time.sleep(0.1)
        raise AssertionError(self.post.look("select id, status, handovers, reason from messages"))

    def assert_law(self, *, without: Sequence[int] = ()) -> None:
        """It holds what the table holds."""
        wanted = {number: text for number, text in self.post.books.items() if number not in without}
        assert {number: text for number, text in self.kept(self.file).items() if number not in without} == wanted


def python_keeps(file: Path) -> dict[int, str | None]:
    """Out of its SQLite."""
    with closing(sqlite3.connect(file)) as database:
        rows = [json.loads(row[0]) for row in database.execute("select record from records where not deleted")]
    return {row["id"]: row.get("text") for row in rows}


def go_keeps(file: Path) -> dict[int, str | None]:
    """Out of its JSON."""
    rows = json.loads(file.read_text()).values()
    return {row["id"]: row.get("text") for row in rows if row["_op"] != "delete"}


@pytest.fixture(scope="session")
def go_consumer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example in Go, compiled."""
    if GO is None:
        pytest.skip("Go is absent: the consumer in Go is not compiled")
    where = {"cwd": EXAMPLES / "go", "env": {**os.environ, "CGO_ENABLED": "0"}, "capture_output": True, "text": True}
    fetched: Any = subprocess.run([GO, "mod", "download"], check=False, **where)  # type: ignore[call-overload]
    if fetched.returncode:
        pytest.skip("Go's module amqp091-go cannot be fetched: the consumer in Go is not compiled")
    program = tmp_path_factory.mktemp("go") / "consumer"
    built: Any = subprocess.run([GO, "build", "-o", program, "."], check=False, **where)  # type: ignore[call-overload]
    assert built.returncode == 0, built.stderr
    return str(program)


@contextmanager
def line(broker: Broker, command: Sequence[str], kept: Callable[[Path], dict[int, str | None]]) -> Iterator[Line]:
    """Six books in messages of three, told to nobody yet."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch)
        opened: list[Destination] = []

        def through(name: str, inner: Destination) -> Destination:
            inner.close()
            assert connector.destination is not None
            settings = RabbitmqSettings(url=Secret.literal(broker.url), receipts="replies")
            opened.append(connector.destination(settings, Tools(MemoryBudget(time.time), time.time)))
            return opened[-1]

        post = Post(folder, (Delivery("toy.books", HERE, "beginning"),), through=through)
        post.change({number: f"book {number}" for number in range(6)})
        try:
            yield Line(post, broker, command, folder / "kept", kept, opened)
        finally:
            for each in opened:
                each.close()


@pytest.fixture
def python(broker: Broker) -> Iterator[Line]:
    """With the consumer in Python."""
    with line(broker, [sys.executable, str(EXAMPLES / "python" / "consumer.py")], python_keeps) as made:
        yield made


@pytest.fixture
def go(broker: Broker, go_consumer: str) -> Iterator[Line]:
    """With the consumer in Go."""
    with line(broker, [go_consumer], go_keeps) as made:
        yield made


@pytest.mark.timeout(300)  # Go compiles a minute on a busy machine that never did it
@pytest.mark.parametrize("of", ["python", "go"])
def test_a_consumer_that_knows_nothing_of_us_ends_with_what_the_table_holds(
    of: str, request: pytest.FixtureRequest
) -> None:
    """Changes, deletes, a record that it rejects and that is mended; a kill in the middle."""
    at: Line = request.getfixturevalue(of)
    assert at.post.deliver()[HERE].handed_over == 6
    with at.consumer():
        at.settled()
        at.assert_law()
        at.post.change({1: None, 2: LONG, 7: "seven"})
        at.settled()
        at.assert_law(without=[2])
        assert at.kept(at.file)[2] == "book 2"
        assert [(row["key"], row["cause"]) for row in at.post.rejected()] == [("[2]", "too_long")]
    at.post.change({2: "mended", 1: "again"})
    at.post.change(dict.fromkeys(range(30, 60), "many"))
    at.post.deliver()
    with at.consumer():
        while not replies(at.broker):
            time.sleep(0.05)
    with at.consumer():
        at.settled()
        at.assert_law()
        assert not at.post.rejected()
        publish_without_text(at.broker)
        while 99 not in at.kept(at.file):
            time.sleep(0.05)


def test_kills_lost_receipts_and_copies_end_equal(python: Line) -> None:
    """Die at each point of handing over; then receipts are purged, and the same messages come again."""
    post = python.post
    post.deliver()
    points = [(point, side) for point in (P.PACKAGE_SENT, P.MESSAGE_HANDED, P.RECEIPT_SETTLED) for side in Side]
    with python.consumer():
        for number, (point, side) in enumerate(points):
            post.change({number: f"{point} {side}"[-20:], 10 + number: "x"})
            trap = Trap(point, 1, side)
            while not trap.fired:
                post.deliver(trap)
        python.settled()
    python.assert_law()
    post.change({0: "lost", 1: None})
    post.deliver()
    with python.consumer():
        while not replies(python.broker):
            time.sleep(0.05)
    purge(python.broker)
    assert post.deliver()[HERE].handed_over == 0
    post.now += 3700.0
    assert post.deliver()[HERE].handed_over == 2
    with python.consumer():
        python.settled()
    python.assert_law()


FLOW = """\
sync:
  - {from: xledger, entities: [timesheets]}
deliver:
  - {dataset: xledger.timesheets, to: partner.hours}
"""
PARTNER = """\
  partner:
    connector: rabbitmq
    url: secret://PARTNER_URL
    receipts: acme.receipts
"""


def test_what_a_person_types(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project on files: a check, a run that hands over, a status that says so, a worker that settles."""
    monkeypatch.chdir(tmp_path)
    with XledgerSimulator(seed=3, timesheets=200, burst=None, concurrency=None) as company:
        monkeypatch.setenv("XLEDGER_URL", company.url)
        monkeypatch.setenv("XLEDGER_TOKEN", company.token)
        monkeypatch.setenv("PARTNER_URL", broker.url)
        shell = Shell(tmp_path, monkeypatch)
        shell("init", ".", "--example", "xledger")
        with (tmp_path / "postroad.yaml").open("a") as settings:
            settings.write(PARTNER)
        (tmp_path / "flows" / "hours.yaml").write_text(FLOW)
        assert "partner: reach the broker" in shell("check", "--connect")
        records = shell.json("run")["deliveries"]["partner.hours"]["handed_over"]
        assert records > 0
        assert f"{records:,} records handed over, the oldest since" in shell("status")
    kept = tmp_path / "kept.db"
    command = [sys.executable, str(EXAMPLES / "python" / "consumer.py"), broker.url, "hours", str(kept)]
    worker = [sys.executable, "-m", "postroad", "worker", "-p", str(tmp_path)]
    with subprocess.Popen(command) as consumer, subprocess.Popen(worker, stderr=subprocess.DEVNULL) as process:
        books = sqlite3.connect(tmp_path / "postroad.db")
        with closing(books):
            while books.execute("select count(*) from messages where status = 'queued'").fetchone() != (0,):
                time.sleep(0.05)
        process.terminate()
        consumer.kill()
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("select count(*) from records").fetchone() == (records,)
    assert shell.json("status")["deliveries"][0]["last_outcome"] == f"{records:,} acknowledged"


def publish_without_text(broker: Broker) -> None:
    """An event of another dataset, whose records have no column `text`."""
    event = {"id": "1-a", "entitykey": '["id"]', "data": [{"id": 99, "_op": "upsert", "_version": 1}]}
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url))) as connection:
        answer_to = pika.BasicProperties(reply_to="replies")
        connection.channel().basic_publish("", "books", json.dumps(event).encode(), answer_to)


def replies(broker: Broker) -> int:
    """How many receipts wait."""
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url))) as connection:
        return connection.channel().queue_declare("replies", passive=True).method.message_count


def purge(broker: Broker) -> None:
    """Somebody empties the queue of receipts."""
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url))) as connection:
        connection.channel().queue_purge("replies")
