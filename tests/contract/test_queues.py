"""The queue suite, run against every queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.errors import LostClaimError
from postroad.testing import QueueSuite
from postroad.tracking import Tracking
from postroad.tracking.messages import Answer, Draft
from postroad.tracking.queue import Held, Queue
from postroad.tracking.subscriptions import Wanted
from tests.flow.post import memory_folder


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


class TestSqlite(EmbeddedSuite):
    """On SQLite."""

    @pytest.fixture(autouse=True)
    def books_of_a_project(self) -> Iterator[None]:
        """In a file."""
        with memory_folder() as folder:
            self.begin(f"sqlite:///{Path(folder, 'postroad.db')}")
            yield
            self.books.close()


class TestPostgresql(EmbeddedSuite):
    """On PostgreSQL."""

    @pytest.fixture(autouse=True)
    def books_of_a_project(self, postgresql_url: str) -> Iterator[None]:
        """In an empty database."""
        self.begin(postgresql_url)
        yield
        self.books.close()
