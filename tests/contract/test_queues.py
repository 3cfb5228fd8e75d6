"""The queue suite, run against every queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.engine.brokered import Broker as QueueBroker
from postroad.engine.brokered import BrokeredQueue
from postroad.errors import LostClaimError
from postroad.sdk.secrets import Secret
from postroad.testing import QueueSuite
from postroad.tracking import Tracking
from postroad.tracking.messages import Answer, Draft
from postroad.tracking.published import Published
from postroad.tracking.queue import Held, Queue
from postroad.tracking.subscriptions import Wanted
from postroad.wire.topology import Topology
from tests.flow.post import memory_folder
from tests.rabbitmq import Broker


class EmbeddedSuite(QueueSuite):
    """The table of messages as a queue."""

    def begin(self, url: str) -> None:
        """Books with a clock of our own."""
        self.now = 1_790_000_000.0
        self.books = Tracking(url, "test", clock=lambda: self.now)
        for name in self.names:
            self.put(name, 0)

    def queue(self) -> Queue:
        """Each worker has books of its own."""
        return self.books.queue

    def put(self, name: str, count: int) -> None:
        """Messages that name no file."""
        known = self.books.subscriptions.get(name)
        destination, _, target = name.partition(".")
        wanted = Wanted(name, "toy.books", destination, target, "current")
        drafts = [Draft([], 1, 1, 1)] * count
        self.books.messages.dispatch(wanted, known, drafts, known["offset"] if known else 0, lambda _: None)

    def test_an_ordered_subscription_gives_its_oldest_message_only(self) -> None:
        """By the commit that it begins with, though others are due; the next one once that has a final answer."""
        name = "app.ordered"
        wanted = Wanted(name, "toy.books", "app", "ordered", "current", ordered=True)
        drafts = [Draft([], 1, version, version) for version in (2, 2, 3, 1)]
        self.books.messages.dispatch(wanted, None, drafts, 3, lambda _: None)
        self.put(self.names[0], 1)
        names = [name, self.names[0]]
        seen = []
        for expected in (1, 2, 2, 3):
            held = self._taken([name])
            seen.append(held.message)
            assert held.from_version == expected
            assert self.queue().take([name]) is None
            if expected == 1:
                other = self._taken(names)
                assert other.subscription == self.names[0]
                self.books.messages.put_back(held, "down")
                assert self.queue().take([name]) is None
                self.later(10 * self.lease)
                held = self._taken([name])
                assert held.message == seen[0]
            assert self.settle(held)
        assert len(set(seen)) == 4
        assert self.queue().take([name]) is None

    def settle(self, held: Held) -> bool:
        """All well."""
        try:
            self.books.messages.settle(held, Answer(accepted=1), ("toy", "books"))
        except LostClaimError:
            return False
        return True

    def later(self, seconds: float) -> None:
        """The clock of the books."""
        self.now += seconds

    def pause(self, name: str, *, paused: bool) -> None:
        """By a person."""
        subscriptions = self.books.subscriptions
        subscriptions.pause(name, "tea") if paused else subscriptions.resume(name)


class BrokeredSuite(EmbeddedSuite):
    """A broker before the books."""

    patience = 6.0

    def connect(self, broker: Broker) -> None:
        """Workers come and go as tests ask for them."""
        self.address = Secret.literal(broker.url)
        self.opened: list[BrokeredQueue] = []
        self.said: list[str] = []

    def queue(self) -> BrokeredQueue:
        """Each worker has a line of its own."""
        topology = Topology("post", "test", (*self.names, "app.ordered"))
        broker = QueueBroker(self.address, topology, "postroad://post/test#queue")
        made = BrokeredQueue(self.books.queue, Published(self.books.database), broker, self.said.append)
        self.opened.append(made)
        return made

    def disconnect(self) -> None:
        """All of them."""
        for each in self.opened:
            each.close()


class TestSqlite(EmbeddedSuite):
    """On SQLite."""

    @pytest.fixture(autouse=True)
    def books_of_a_project(self) -> Iterator[None]:
        """In a file."""
        with memory_folder() as folder:
            self.begin(f"sqlite:///{Path(folder, 'postroad.db')}")
            yield
            self.books.close()


class TestBrokerOnSqlite(BrokeredSuite):
    """RabbitMQ, with the books in a file."""

    @pytest.fixture(autouse=True)
    def books_of_a_project(self, broker: Broker) -> Iterator[None]:
        """In a file, and a virtual host."""
        self.connect(broker)
        with memory_folder() as folder:
            self.begin(f"sqlite:///{Path(folder, 'postroad.db')}")
            yield
            self.disconnect()
            self.books.close()


class TestBrokerOnPostgresql(BrokeredSuite):
    """RabbitMQ, with the books on PostgreSQL."""

    @pytest.fixture(autouse=True)
    def books_of_a_project(self, broker: Broker, postgresql_url: str) -> Iterator[None]:
        """In an empty database, and a virtual host."""
        self.connect(broker)
        self.begin(postgresql_url)
        yield
        self.disconnect()
        self.books.close()


class TestPostgresql(EmbeddedSuite):
    """On PostgreSQL."""

    @pytest.fixture(autouse=True)
    def books_of_a_project(self, postgresql_url: str) -> Iterator[None]:
        """In an empty database."""
        self.begin(postgresql_url)
        yield
        self.books.close()
