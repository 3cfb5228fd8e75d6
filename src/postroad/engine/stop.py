"""Ending a run early and in order: the payload at hand is landed, then every run gets its final status."""

from __future__ import annotations

import threading

from postroad.errors import StoppedError


class Stop:
    """Somebody's wish that the work ends; asked for by a signal handler, looked at between two payloads."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """From now on every `check` and `sleep` raises; may be called from a signal handler."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether it was asked for."""
        return self._asked.is_set()

    def check(self) -> None:
        """StoppedError if it was asked for."""
        if self._asked.is_set():
            raise StoppedError("stopped by a person or a signal")

    def sleep(self, seconds: float) -> None:
        """Sleep so long; StoppedError as soon as it is asked for."""
        self._asked.wait(seconds)
        self.check()
