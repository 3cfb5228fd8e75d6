"""The heart-beat: one thread that renews whatever this process holds (run_engine.md, rule 3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from postroad.errors import DatabaseError
from postroad.tracking.runs import LEASE

BEAT = LEASE / 4 / 1e6

T = TypeVar("T")


class Heart:
    """Renews claims and leases at a quarter of their length while the `with` block lasts.

    A claim that cannot be renewed is left alone: its holder learns of the loss at its next durable write, which the
    fence refuses.
    """

    def __init__(self, beat: float = BEAT) -> None:
        self._beat = beat
        self._kept: dict[int, Callable[[], Any]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def keeps(self, renew: Callable[[T], bool], held: T) -> Iterator[None]:
        """Renew this for the length of the block."""
        with self._lock:
            self._kept[id(held)] = lambda: renew(held)
        try:
            yield
        finally:
            with self._lock:
                del self._kept[id(held)]

    def _run(self) -> None:
        while not self._stopped.wait(self._beat):
            with self._lock:
                kept = list(self._kept.values())
            for renew in kept:
                # A database that does not answer now may at the next beat; the lease has room for three of them.
                with suppress(DatabaseError):
                    renew()
