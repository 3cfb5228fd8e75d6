"""Servers that are killed and started again: PostgreSQL, RabbitMQ and one that speaks MongoDB's protocol, for one test.

Their files lie in memory where this machine has such a folder: a sync costs nothing there, and who is killed by a
signal loses none of them. Named gaps: nobody cuts the power; the MongoDB-compatible server flushes its log at every
commit, as MongoDB does when it is asked for `journal`.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pymongo import MongoClient

from scripts.nodes import Mongodb, Postgresql, Rabbitmq, Server, free_port, program
from tests import rabbitmq
from tests.conftest import ROOT, Mongo, absent

MONGODB = ROOT / ".services" / "mongodb" / "bin" / "secantusd-py"
POLLED = urlencode({"serverMonitoringMode": "poll", "heartbeatFrequencyMS": 500})  # an outage is seen sooner
DOWN = 0.5  # seconds that a server stays away, at most


@dataclass
class Servers:
    """All three. What is asked of one that was just killed fails."""

    books: Postgresql
    broker: Rabbitmq
    receiver: Mongodb

    def restart_books(self, draw: random.Random) -> None:
        """PostgreSQL crashes, in order or by SIGKILL, and comes back."""
        self.books.stop("immediate") if draw.random() < 0.5 else self.books.kill()
        time.sleep(draw.random() * DOWN)
        self.books.start()

    def restart(self, server: Server, draw: random.Random) -> None:
        """SIGKILL to one of the others; it comes back."""
        server.kill()
        time.sleep(draw.random() * DOWN)
        server.begin()
        assert server.wait(), f"{server} does not come back"


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL that syncs what it commits."""
    if program("initdb") is None:
        absent("PostgreSQL")
    with _folder("books") as folder:
        server = Postgresql(folder, free_port(0))
        server.start()
        try:
            yield server
        finally:
            with suppress(OSError):
                server.stop("immediate")


@contextmanager
def all_three() -> Iterator[Servers]:
    """The broker takes longest and starts beside the others."""
    if program("rabbitmq-server") is None:
        absent("RabbitMQ")
    if not MONGODB.exists():
        absent("a MongoDB-compatible server")
    with ExitStack() as stack:
        folders = [stack.enter_context(_folder(name)) for name in ("broker", "receiver")]
        broker = Rabbitmq(folders[0] / "node", folders[0] / "log")
        receiver = Mongodb(MONGODB, folders[1], folders[1] / "log", durable=True)
        for server in (broker, receiver):
            server.begin()
            stack.callback(server.kill)
        books = stack.enter_context(postgresql())
        assert broker.wait()
        assert receiver.wait()
        yield Servers(books, broker, receiver)


@contextmanager
def virtual_host(broker: Rabbitmq) -> Iterator[rabbitmq.Broker]:
    """The only one of a broker that is gone afterwards."""
    made = rabbitmq.Broker(broker.url, broker.api, "%2F")
    with made.client:
        yield made


@contextmanager
def collection(receiver: Mongodb) -> Iterator[Mongo]:
    """A database of a server that is gone afterwards."""
    url = f"{receiver.url}?{POLLED}"
    with MongoClient[dict[str, Any]](url) as client:
        yield Mongo(url, "chaos", client["chaos"])


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """In memory if possible; not a TemporaryDirectory, for the user of a server must get into it."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix=f"postroad-{name}-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
