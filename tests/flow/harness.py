"""A world in one process: a simulator, a project folder, a clock that jumps, and crashes at durable points.

After a crash nothing of the App that crashed takes effect any more, whatever its `finally` blocks do: as after a real
kill. The next App comes when the leases have run out.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection as Transaction

from postroad.app import App
from postroad.app.runs import Report
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.engine.heart import Heart
from postroad.lake import Dataset
from postroad.lake.delta import DeltaLog
from postroad.project import Allowance, Connection, Project, Sync
from postroad.project.model import DATABASE
from postroad.records import Check, Feed, Payload, Rows, Want
from postroad.sdk.connector import Source
from postroad.sdk.secrets import Secret
from postroad.telemetry import Point, Stage

LEASES_ARE_OVER = 61.0
NAME = "xledger.timesheets"
UNGUARDED = Allowance(rows=1_000_000)
START = 1_790_000_000.0  # 2026-09-21, a Monday


class Crash(BaseException):
    """The process dies here. No `except Exception` may see it."""


class Side(StrEnum):
    """Of the effect that a durable point follows."""

    BEFORE = "before"
    AFTER = "after"


@dataclass
class Trap:
    """Kills the process at the nth passing of a point, or just before the effect that would pass it."""

    point: Point
    nth: int = 1
    side: Side = Side.AFTER
    fired: bool = False
    dead: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, point: Point) -> None:
        """An effect is about to happen."""
        self._reached(point, Side.BEFORE)

    def after(self, point: Point) -> None:
        """An effect is durable."""
        self._reached(point, Side.AFTER)

    def _reached(self, point: Point, side: Side) -> None:
        with self.lock:
            if self.dead:
                raise Crash
            if point is self.point and side is self.side:
                self.nth -= 1
                if self.nth == 0:
                    self.fired = self.dead = True
                    raise Crash


@dataclass
class Span:
    """The requests of one call of `fetch`: of a walk, or of one poll."""

    walk: tuple[int, int] | None
    first: int
    last: int
    kills: int


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
        **switches: Any,
    ) -> None:
        self.folder = folder
        self.now = now
        self.frozen = False
        self.kills = 0
        self.books_lost = 0  # walks are numbered anew then
        self.points: Counter[Point] = Counter()
        self.spans: list[Span] = []
        self.said: list[str] = []
        self.at_stage: dict[Stage, Callable[[], None]] = {}
        self.sim = XledgerSimulator(seed=seed, timesheets=timesheets, clock=lambda: self.now, **switches)
        self._max_deletes = max_deletes
        self._database = database
        self._settings = {"page_size": page_size, **(settings or {})}

    def __enter__(self) -> Self:
        self.sim.start()
        self.project = self._project()
        return self

    def __exit__(self, *_: object) -> None:
        self.sim.stop()

    def _project(self) -> Project:
        settings = XledgerSettings(url=self.sim.url, token=Secret.literal(self.sim.token), **self._settings)
        return Project(
            "rehearsal",
            self.folder,
            connections={"xledger": Connection("xledger", "xledger", settings)},
            syncs=(Sync("xledger", ("timesheets",), self._max_deletes),),
            database=self._database,
        )

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
        app = _Watched(self, trap or _never())
        with app:
            yield app

    def do(self, work: Callable[[App], Any], trap: Trap | None = None) -> Any:
        """Do something with an App of its own; None if it crashed. Then its leases have run out."""
        trap = trap or _never()
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

    def replay(self, trap: Trap | None = None) -> Report | None:
        """One `postroad replay`."""
        done: Report | None = self.do(lambda app: app.runs.replay(NAME), trap)
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
        """The lake's folder."""
        return self.project.lake_folder

    @property
    def tables(self) -> Path:
        """The Delta table of the current state."""
        return self.lake / "tables" / "xledger" / "timesheets"

    @property
    def changes(self) -> Path:
        """The Delta table of the history."""
        return self.lake / "changes" / "xledger" / "timesheets"

    def ask(self, look: Callable[[App], Any]) -> Any:
        """What an App says; it does nothing else."""
        with self.open() as app:
            return look(app)

    def status(self) -> Any:
        """The status of the dataset."""
        return self.ask(lambda app: app.datasets.status()[0])

    def rejected(self) -> list[dict[str, Any]]:
        """The open rejections."""
        found: list[dict[str, Any]] = self.ask(lambda app: [dict(row) for row in app.rejections.list()])
        return found

    def asked(self, root: str) -> list[Any]:
        """The requests that named a root field."""
        return [request for request in self.sim.requests if root in request["roots"]]


def _never() -> Trap:
    return Trap(Point.RUN_CLAIMED, nth=0)


class _Watched(App):
    """An App whose effects pass a trap, and whose calls of `fetch` are noted."""

    def __init__(self, world: World, trap: Trap) -> None:
        self._world = world
        self._trap = trap
        self._passed = Counter[Point]()

        def watcher(point: Point) -> None:
            world.points[point] += 1
            trap.after(point)

        super().__init__(world.project, reporter=_Reporter(world, self), clock=lambda: world.now, sleep=world.sleep,
                         watcher=watcher)  # fmt: skip
        self.heart = Heart(beat=3600.0)
        self._guard_database()
        self._guard_disk()
        self._guard_datasets()

    def _guard_database(self) -> None:
        write = self.tracking.database.write

        @contextmanager
        def guarded(point: Point) -> Iterator[Transaction]:
            self._trap.before(point)
            with write(point) as transaction:
                yield transaction
                if self._trap.dead:
                    raise Crash

        self.tracking.database.write = guarded  # type: ignore[method-assign]

    def _guard_disk(self) -> None:
        disk, before = self.lake.disk, self._trap.before
        write_new, seal, move, remove = disk.write_new, disk.seal, disk.move, disk.remove

        def guarded_write(name: str, data: bytes, point: Point) -> None:
            before(point)
            write_new(name, data, point)

        def guarded_seal(name: str, file: Any, point: Point) -> int:
            before(point)
            return seal(name, file, point)

        def guarded_move(source: str, target: str) -> None:
            before(Point.CLOSE_MOVED)
            move(source, target)

        def guarded_remove(name: str) -> None:
            before(Point.FILES_DROPPED)
            remove(name)

        disk.write_new = guarded_write  # type: ignore[method-assign]
        disk.seal = guarded_seal  # type: ignore[method-assign]
        disk.move = guarded_move  # type: ignore[method-assign]
        disk.remove = guarded_remove  # type: ignore[method-assign]

    def _guard_datasets(self) -> None:
        dataset_of = self.lake.dataset

        def guarded(connection: str, entity: Any) -> Dataset:
            dataset = dataset_of(connection, entity)
            for log in (dataset.changes, dataset.table):
                self._guard_log(log)
            return dataset

        self.lake.dataset = guarded  # type: ignore[method-assign]

    def _guard_log(self, log: DeltaLog) -> None:
        before = self._trap.before
        commit, tidy, open_for_writing = log.commit, log.tidy, log.open_for_writing

        def guarded_commit(*arguments: Any, point: Point, **named: Any) -> None:
            before(point)
            commit(*arguments, point=point, **named)

        def guarded_tidy() -> None:
            before(Point.CHECKPOINT)
            tidy()

        def guarded_open() -> None:
            before(Point.TORN_ASIDE)
            before(Point.LOG_SEALED)
            open_for_writing()

        log.commit = guarded_commit  # type: ignore[method-assign]
        log.tidy = guarded_tidy  # type: ignore[method-assign]
        log.open_for_writing = guarded_open  # type: ignore[method-assign]

    def source(self, connection: str) -> Source:
        """The connection's source, with its calls noted."""
        return _Noted(super().source(connection), self._world, self)


class _Noted:
    """A source that notes which requests belong to which call of `fetch`."""

    def __init__(self, source: Source, world: World, app: App) -> None:
        self._source = source
        self._world = world
        self._app = app
        self.check, self.discover, self.parse = source.check, source.discover, source.parse
        self.forecast, self.close = source.forecast, source.close

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`."""
        walk = self._app.tracking.walks.open("xledger", feed.name) if feed.kind == "walk" else None
        world = self._world
        span = Span((world.books_lost, walk["id"]) if walk else None, len(world.sim.requests), 0, world.kills)
        world.spans.append(span)
        answers = self._source.fetch(feed, want)
        while True:
            try:
                payload = next(answers, None)
            finally:
                span.last = len(world.sim.requests)
            if payload is None:
                return
            yield payload

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
