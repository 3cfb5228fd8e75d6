"""An App that dies at a durable point: nothing that it does later takes effect, whatever its `finally` blocks try.

As after a real kill; the next App comes when the leases have run out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection as Transaction

from postroad.app import App
from postroad.engine.heart import Heart
from postroad.lake import Dataset
from postroad.lake.delta import DeltaLog
from postroad.project import Project
from postroad.telemetry import Point, Watcher, unwatched

LEASES_ARE_OVER = 61.0


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


def never() -> Trap:
    """A trap that is not sprung."""
    return Trap(Point.RUN_CLAIMED, nth=0)


class Doomed(App):
    """An App whose effects pass a trap."""

    def __init__(self, project: Project, trap: Trap, *, watcher: Watcher = unwatched, **options: Any) -> None:
        self._trap = trap

        def watched(point: Point) -> None:
            watcher(point)
            trap.after(point)

        super().__init__(project, watcher=watched, **options)
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
        before: Callable[[Point], None] = self._trap.before
        commit, tidy, open_for_writing, add_columns = log.commit, log.tidy, log.open_for_writing, log.add_columns

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

        def guarded_add_columns(*arguments: Any, **named: Any) -> None:
            before(Point.COLUMNS_ADDED)
            add_columns(*arguments, **named)

        log.commit = guarded_commit  # type: ignore[method-assign]
        log.tidy = guarded_tidy  # type: ignore[method-assign]
        log.open_for_writing = guarded_open  # type: ignore[method-assign]
        log.add_columns = guarded_add_columns  # type: ignore[method-assign]
