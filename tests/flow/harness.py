"""A world in one process: simulators, a project folder, a clock that jumps, and crashes at durable points."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from postroad.app import App
from postroad.app.runs import Report
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.errors import PostroadError
from postroad.project import Allowance, Connection, Project, StorageAccount, Sync
from postroad.project.model import DATABASE
from postroad.records import Check, Feed, Payload, Rows, Want
from postroad.sdk.connector import Source
from postroad.sdk.secrets import Secret
from postroad.sdk.simulator import Clock, Simulator
from postroad.telemetry import Point, Stage
from tests import azurite
from tests.azurite import Container
from tests.flow.doomed import LEASES_ARE_OVER, Crash, Doomed, Side, Trap, never
from tests.flow.shown import Shown, entity_shown, table_settings, table_shown

__all__ = ["LEASES_ARE_OVER", "NAME", "Crash", "Side", "Trap", "World", "outcomes"]

NAME = "xledger.timesheets"
UNGUARDED = Allowance(rows=1_000_000)
START = 1_790_000_000.0  # 2026-09-21, a Monday


@dataclass
class Servers:
    """Sockets that outlive a world, for worlds whose lakes know an address; a simulator of each kind at a time."""

    open: dict[type, Any] = field(default_factory=dict)

    def serve(self, simulator: Simulator) -> None:
        """Let this simulator answer from now on."""
        server = self.open.get(type(simulator))
        if server is None:
            self.open[type(simulator)] = simulator.start()._server
        else:
            server.simulator = simulator
            simulator._server = server

    def stop(self) -> None:
        """Close them."""
        for server in self.open.values():
            server.simulator.stop()


@dataclass
class Span:
    """The requests of one call of `fetch`, which are among those from `first` to `last` of its simulator: of a walk, or
    of one poll of changes. A fetch that found nothing new, or died before its walk began, has neither.
    """

    feed: str
    kind: str
    requests: Sequence[Any]
    first: int
    kills: int
    last: int = 0
    walk: tuple[int, int] | None = None
    refused: bool = False


class World:
    """Everything that a test needs; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        timesheets: int = 60,
        page_size: int = 20,
        max_deletes: Allowance = UNGUARDED,
        database: str = DATABASE,
        now: float = START,
        settings: dict[str, Any] | None = None,
        container: Container | None = None,
        entities: Sequence[str] = ("timesheets",),
        tables: Mapping[str, Sequence[str]] | None = None,
        sizes: Mapping[str, int] | None = None,
        servers: Servers | None = None,
        **switches: Any,
    ) -> None:
        self.folder = folder
        self.container = container
        self.now = now
        self.frozen = False
        self.kills = 0
        self.books_lost = 0  # walks are numbered anew then
        self.points: Counter[Point] = Counter()
        self.spans: list[Span] = []
        self.said: list[str] = []
        self.at_stage: dict[Stage, Callable[[], None]] = {}
        clock = Clock(lambda: self.now)
        self.sim = XledgerSimulator(seed=seed, timesheets=timesheets, sizes=sizes, clock=clock, **switches)
        self.links = ExcelLinkSimulator(seed=seed, clock=clock)
        self.entities = tuple(entities)
        self.linked = dict(tables or {})
        self._max_deletes = max_deletes
        self._database = database
        self._servers = servers
        self._settings = {"page_size": page_size, **(settings or {})}

    def __enter__(self) -> Self:
        for simulator in (self.sim, self.links):
            if self._servers is None:
                simulator.start()
            else:
                self._servers.serve(simulator)
        self.project = self._project()
        return self

    def __exit__(self, *_: object) -> None:
        for simulator in (self.sim, self.links) if self._servers is None else ():
            simulator.stop()

    def _project(self) -> Project:
        settings = XledgerSettings(url=self.sim.url, token=Secret.literal(self.sim.token), **self._settings)
        connections = {"xledger": Connection("xledger", "xledger", settings)}
        syncs = [Sync("xledger", self.entities, self._max_deletes)]
        if self.linked:
            tables = {name: table_settings(self.links, name, links) for name, links in self.linked.items()}
            linked = ExcelLinkSettings(
                **_with_secrets(tables), time_zone="Europe/Stockholm", burst=100_000, most_unpacked_megabytes=8
            )
            connections["links"] = Connection("links", "excel_link", linked)
            syncs.append(Sync("links", tuple(tables), self._max_deletes))
        return Project(
            "rehearsal",
            self.folder,
            connections=connections,
            syncs=tuple(sync for sync in syncs if sync.entities),
            database=self._database,
            **self._lake(),
        )

    def _lake(self) -> dict[str, Any]:
        if self.container is None:
            return {}
        storage = StorageAccount(azurite.ACCOUNT, Secret.literal(azurite.KEY), endpoint=self.container.endpoint)
        return {"lake": f"{self.container.url}/lake", "storage": storage}

    @property
    def datasets(self) -> list[Shown]:
        """The datasets, and what they must show."""
        own = self._settings.get("entities", {})
        found = [entity_shown(self.sim, name, own.get(name, {}).get("columns")) for name in self.entities]
        return found + [table_shown(self.links, name, links) for name, links in self.linked.items()]

    def configure(self, **settings: Any) -> None:
        """Change settings of the connection, as a person edits postroad.yaml."""
        self._settings |= settings
        self.project = self._project()

    # Time

    def sleep(self, seconds: float) -> None:
        """Sleeping takes no time here, and moves the clock on."""
        if not self.frozen:
            self.now += seconds

    def wait(self, *, hours: float = 0, seconds: float = 0) -> None:
        """Let time pass for everybody."""
        self.now += hours * 3600 + seconds

    # Apps

    @contextmanager
    def open(self, trap: Trap | None = None) -> Iterator[App]:
        """An App on the project's folder; with a trap it is dead once that is sprung."""
        app = _Watched(self, trap or never())
        with app:
            yield app

    def do(self, work: Callable[[App], Any], trap: Trap | None = None) -> Any:
        """Do something with an App of its own; None if it crashed. Then its leases have run out."""
        trap = trap or never()
        try:
            with self.open(trap) as app:
                return work(app)
        except Crash:
            assert trap.fired
            return None
        finally:
            if trap.fired:
                self.kills += 1
                self.wait(seconds=LEASES_ARE_OVER)

    def sync(self, trap: Trap | None = None, **options: Any) -> Report | None:
        """One `postroad run`; None if it crashed."""
        done: Report | None = self.do(lambda app: app.runs.start(**options), trap)
        return done

    def crash_at(self, point: Point, nth: int = 1, side: Side = Side.AFTER, **options: Any) -> bool:
        """One `postroad run` that dies there; whether it came so far."""
        trap = Trap(point, nth, side)
        self.sync(trap, **options)
        return trap.fired

    def replay(self, trap: Trap | None = None, name: str = NAME) -> Report | None:
        """One `postroad replay`."""
        done: Report | None = self.do(lambda app: app.runs.replay(name), trap)
        return done

    # The tracking database

    @property
    def database_file(self) -> Path:
        """The SQLite file."""
        file = self.project.database_file
        assert file is not None
        return file

    def lose_tracking(self) -> None:
        """Delete the tracking database."""
        self.books_lost += 1
        for path in self.folder.glob(f"{self.database_file.name}*"):
            path.unlink()

    def back_up(self) -> bytes:
        """A consistent copy of the tracking database."""
        copy = self.folder / "backup.db"
        with closing(sqlite3.connect(self.database_file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        data = copy.read_bytes()
        copy.unlink()
        return data

    def restore(self, backup: bytes) -> None:
        """Put a copy back."""
        self.lose_tracking()
        self.database_file.write_bytes(backup)

    # Looking

    def books(self, sql: str) -> list[tuple[Any, ...]]:
        """A look into the tracking database, past all of our code."""
        with closing(sqlite3.connect(self.database_file)) as database:
            return database.execute(sql).fetchall()

    @property
    def lake(self) -> Path:
        """The lake's folder; of one on an object store a copy as it is now."""
        if self.container is not None:
            return self.container.mirror(self.folder / "container") / "lake"
        assert self.project.lake_folder is not None
        return self.project.lake_folder

    @property
    def tables(self) -> Path:
        """The Delta table of the timesheets' current state."""
        return self.folder_of("tables", NAME)

    @property
    def changes(self) -> Path:
        """The Delta table of their history."""
        return self.folder_of("changes", NAME)

    def folder_of(self, what: str, name: str) -> Path:
        """The Delta table of a dataset's current state or history."""
        connection, _, entity = name.partition(".")
        return self.lake / what / connection / entity

    def ask(self, look: Callable[[App], Any]) -> Any:
        """What an App says; it does nothing else."""
        with self.open() as app:
            return look(app)

    def status(self) -> Any:
        """The status of the first dataset."""
        return self.statuses()[0]

    def statuses(self) -> list[Any]:
        """The status of each dataset."""
        found: list[Any] = self.ask(lambda app: app.datasets.status())
        return found

    def rejected(self) -> list[dict[str, Any]]:
        """The open rejections."""
        found: list[dict[str, Any]] = self.ask(lambda app: [dict(row) for row in app.rejections.list()])
        return found

    def asked(self, root: str) -> list[Any]:
        """The requests that named a root field."""
        return [request for request in self.sim.requests if root in request["roots"]]


class _Watched(Doomed):
    """An App whose effects pass a trap, and whose calls of `fetch` are noted."""

    def __init__(self, world: World, trap: Trap) -> None:
        self._world = world

        def watcher(point: Point) -> None:
            world.points[point] += 1

        super().__init__(world.project, trap, reporter=_Reporter(world, self), clock=lambda: world.now,
                         sleep=world.sleep, watcher=watcher)  # fmt: skip

    def source(self, connection: str) -> Source:
        """The connection's source, with its calls noted."""
        return _Noted(super().source(connection), connection, self._world, self)


class _Noted:
    """A source that notes which requests belong to which call of `fetch`."""

    def __init__(self, source: Source, connection: str, world: World, app: App) -> None:
        self._source = source
        self._connection = connection
        self._world = world
        self._app = app
        self.check, self.discover, self.parse = source.check, source.discover, source.parse
        self.forecast, self.close = source.forecast, source.close

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`."""
        world = self._world
        requests = world.links.requests if self._connection == "links" else world.sim.requests
        span = Span(f"{self._connection}.{feed.name}", feed.kind, requests, len(requests), world.kills)
        span.walk = self._walk(feed)
        world.spans.append(span)
        answers = self._source.fetch(feed, want)
        while True:
            try:
                payload = next(answers, None)
            except PostroadError:
                span.refused = True
                raise
            finally:
                span.last = len(requests)
            if payload is None:
                return
            yield payload
            span.walk = span.walk or self._walk(feed)  # A scope that looks again begins its walk with what it found.

    def _walk(self, feed: Feed) -> tuple[int, int] | None:
        if feed.kind != "walk":
            return None
        walk = self._app.tracking.walks.open(self._connection, feed.entities[0].name, feed.scope.name)
        return (self._world.books_lost, walk["id"]) if walk else None

    check: Callable[[], Iterator[Check]]
    discover: Callable[[], Iterator[Feed]]
    parse: Callable[[Feed, Payload], Iterator[Rows]]
    forecast: Callable[[Feed], str | None]
    close: Callable[[], None]


class _Reporter:
    """Notes what a person would be told, and lets the heart beat at each stage."""

    def __init__(self, world: World, app: App) -> None:
        self._world = world
        self._app = app

    def stage(self, stage: Stage, dataset: str) -> None:
        """A stage begins: the heart beats once, and what a test ordered for this stage happens."""
        with self._app.heart._lock:
            kept = list(self._app.heart._kept.values())
        for renew in kept:
            renew()
        happening = self._world.at_stage.pop(stage, None)
        if happening is not None:
            happening()

    def progress(self, dataset: str, rows: int, size: int) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Keep it."""
        self._world.said.append(sentence)


def outcomes(report: Report | None) -> Sequence[tuple[str, str]]:
    """Feed and status of each run of a report."""
    return [] if report is None else [(outcome.feed, outcome.status) for outcome in report.outcomes]


def _with_secrets(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    for settings in tables.values():
        if "link" in settings:
            settings["link"] = Secret.literal(settings["link"])
        else:
            settings["links"] = {name: Secret.literal(link) for name, link in settings["links"].items()}
    return {"tables": tables}
