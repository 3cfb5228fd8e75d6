"""A world for deliveries: a dataset that tests write to, receivers in SQLite, faults, a clock that jumps, crashes."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from postroad.app import App
from postroad.connectors.sql.settings import SqlSettings
from postroad.engine import dispatch
from postroad.lake import changes, tables
from postroad.project import Connection, Delivery, Notify, Project, Sync
from postroad.project.model import DATABASE
from postroad.records import Check, Entity, Outcome, Package
from postroad.sdk.connector import Destination, HandsOver, Once, Ordered, Readable, Settle, Source
from postroad.sdk.secrets import Secret
from postroad.telemetry import Point
from tests.flow.doomed import LEASES_ARE_OVER, Crash, Doomed, Trap, never
from tests.flow.toy import BOOKS, Toy, ToySource

HERE, THERE = "app.books", "other.books"
Rows = Mapping[int, str | None]  # a text for each id; None deletes it
Fault = Callable[[Package], Sequence[Outcome] | None]


@dataclass
class Post:
    """A project with one dataset and its deliveries. `books` is what the dataset holds now.

    With a `server`, an address of PostgreSQL, tracking and all receivers are there. With a `queue`, an address of
    RabbitMQ, messages come from there.
    """

    folder: Path
    deliveries: tuple[Delivery, ...] = (Delivery("toy.books", HERE),)
    books: dict[int, str] = field(default_factory=dict)
    now: float = 1_790_000_000.0
    said: list[str] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    declared: Entity = BOOKS
    commits: int = 0
    at_send: Callable[[], None] | None = None
    server: str | None = None
    notify: Notify | None = None
    gathers: bool = False  # whether the receivers take the records of several messages as one
    through: Callable[[str, Destination], Destination] = lambda _, destination: destination
    queue: str | None = None

    # The dataset

    def change(self, rows: Rows, *, materialise: bool = True, trap: Trap | None = None) -> None:
        """One commit on `changes`, as the engine makes it, and the table brought to it."""
        ordered = sorted(rows.items())
        self.commits += 1
        for number, text in ordered:
            if text is None:
                self.books.pop(number, None)
            else:
                self.books[number] = text

        def write(app: App) -> None:
            with app.bench("toy") as bench:
                dataset = bench.dataset("books")
                with bench.writing(dataset, "run") as hand:
                    found = {
                        "id": [number for number, _ in ordered],
                        "text": [text for _, text in ordered],
                        "_op": ["delete" if text is None else "upsert" for _, text in ordered],
                    }
                    names = [each for each in dataset.changes_schema.names if each not in ("_version", "_run")]
                    schema = pa.schema([dataset.changes_schema.field(name) for name in names])
                    columns = [pa.array(found.get(each.name, [None] * len(ordered)), each.type) for each in schema]
                    version = app.tracking.leases.version(dataset.changes.expected or 0)
                    table = pa.table(columns, schema=schema)
                    changes.append(dataset, table, version, hand, {"changes": self.commits})
                    if materialise:
                        tables.materialise(dataset, hand)

        self.do(write, trap)

    # Apps

    @contextmanager
    def open(self, trap: Trap | None = None) -> Iterator[App]:
        """An App; with a trap it is dead once that is sprung."""
        with _PostApp(self, trap or never()) as app:
            yield app

    def do(self, work: Callable[[App], Any], trap: Trap | None = None) -> Any:
        """Something with an App of its own; None if it crashed. Then its leases have run out."""
        trap = trap or never()
        try:
            with self.open(trap) as app:
                return work(app)
        except Crash:
            assert trap.fired
            return None
        finally:
            if trap.fired:
                self.now += LEASES_ARE_OVER

    def deliver(self, trap: Trap | None = None, most: int | None = None) -> Any:
        """Dispatch, and drain so many messages; None if it crashed."""
        return self.do(lambda app: app.deliveries.deliver(most=most), trap)

    def dispatch(self, trap: Trap | None = None) -> Any:
        """Dispatch, and send nothing."""
        return self.do(lambda app: app.deliveries.dispatch(), trap)

    def settle(self) -> None:
        """Nothing fails any more: deliver until nothing waits."""
        self.faults.clear()

        def resume(app: App) -> None:
            for each in app.tracking.subscriptions.all():
                app.deliveries.resume(each["name"])

        self.do(resume)
        for _ in range(3):  # what failed before is left alone for a while
            self.now += 3600.0
            self.deliver()
            if not self.do(lambda app: app.tracking.messages.counts()):
                break
        assert {each.lag for each in self.statuses()} <= {0}

    # Looking

    def statuses(self) -> Any:
        """How each subscription stands."""
        return self.do(lambda app: app.deliveries.status())

    def rejected(self) -> list[dict[str, Any]]:
        """What was refused, and what is held."""
        found: list[dict[str, Any]] = self.do(lambda app: [dict(each) for each in app.rejections.list("deliver")])
        return found

    def received(self, name: str = HERE) -> dict[int, str]:
        """The rows of a receiver, read by nothing of ours."""
        connection, _, table = name.partition(".")
        statement = f"select id, text from {table} where not _deleted"
        if self.server is None:
            return dict(self.sql(connection, statement))
        with psycopg.connect(self.server) as database:
            return dict(database.execute(statement).fetchall())

    def sql(self, connection: str, statement: str) -> list[Any]:
        """A look into a receiver."""
        with closing(sqlite3.connect(self.folder / f"{connection}.db")) as database:
            return database.execute(statement).fetchall()

    def look(self, statement: str) -> list[Any]:
        """A look into the tracking database, past all of our code; or a change of it."""
        with closing(sqlite3.connect(self.folder / "postroad.db")) as database, database:
            return database.execute(statement).fetchall()

    def assert_law(self) -> None:
        """Every receiver holds exactly what the table holds."""
        rows = self.do(lambda app: app.datasets.query("select id, text from toy.books").to_pylist())
        found = {row["id"]: row["text"] for row in rows}
        assert found == self.books, f"the table holds {found}, and was given {self.books}"
        for each in self.deliveries:
            assert self.received(each.to) == self.books, each.to


class _PostApp(Doomed):
    def __init__(self, post: Post, trap: Trap) -> None:
        self._post = post
        receivers = {each.destination for each in post.deliveries}
        connections = {name: _database(name, post.server or f"sqlite:///{name}.db") for name in receivers}
        toy = Connection("toy", "xledger", None)  # type: ignore[arg-type]
        project = Project("post", post.folder, connections={"toy": toy, **connections},
                          syncs=(Sync("toy", ("books",)),), deliveries=post.deliveries,
                          database=post.server or DATABASE, notify=post.notify,
                          queue=Secret.literal(post.queue) if post.queue else None)  # fmt: skip

        def tick() -> float:
            post.now += 0.001
            return post.now

        super().__init__(project, trap, clock=tick, sleep=lambda _: None)
        self.reporter.say = post.said.append  # type: ignore[method-assign, assignment]

    def source(self, connection: str) -> Source:
        return ToySource(Toy(declared=self._post.declared))

    @contextmanager
    def destination(self, connection: str) -> Iterator[Destination]:
        with super().destination(connection) as destination:
            yield _Guarded(self._post.through(connection, destination), connection, self._post, self._trap)


def _database(name: str, url: str) -> Connection:
    return Connection(name, "sql", SqlSettings(url=Secret.literal(url)))


class _Guarded:
    """A destination that fails as a test wishes, and dies with its process."""

    def __init__(self, destination: Destination, name: str, post: Post, trap: Trap) -> None:
        self._destination = destination
        self._name = name
        self._post = post
        self._trap = trap
        self.render, self.check, self.discover = destination.render, destination.check, destination.discover
        self.close = destination.close
        self.gathers = post.gathers
        self.ordered = isinstance(destination, Ordered) and destination.ordered
        self.once = isinstance(destination, Once) and destination.once
        if isinstance(destination, Readable):
            self.keys, self.read = destination.keys, destination.read
        if isinstance(destination, HandsOver):
            self.receipts = destination.receipts

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """See `Destination.send`."""
        self._trap.before(Point.PACKAGE_SENT)
        happening, self._post.at_send = self._post.at_send, None
        if happening is not None:
            happening()
        fault = self._post.faults.get(self._name)
        answer = fault(package) if fault is not None else None
        return self._destination.send(target, package) if answer is None else answer

    check: Callable[[], Iterator[Check]]
    discover: Callable[[], Iterator[Entity]]
    render: Callable[[Entity, pa.RecordBatch], Iterator[Package]]
    close: Callable[[], None]
    keys: Callable[[Entity], Iterator[pa.RecordBatch]]
    read: Callable[[Entity, pa.Table], pa.RecordBatch]
    receipts: Callable[[Settle], None]


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder of its own where fsync costs nothing, if tests/conftest.py found such."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def small_messages(patch: Any, most: int = 3) -> None:
    """So many records of a message."""
    patch.setattr(dispatch, "MOST", most)
