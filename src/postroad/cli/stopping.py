"""SIGTERM and Ctrl-C: the first finishes the payload at hand, a second ends the process at once."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Self

from postroad.engine.stop import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalledStop(Stop):
    """Asked for by the first of the signals while its `with` block lasts; `exit_code` is what shells expect then."""

    def __init__(self) -> None:
        super().__init__()
        self.exit_code = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.exit_code:
            os._exit(128 + number)  # as safe as a kill: the next run goes on from the last durable point
        self.exit_code = 128 + number
        self.ask()
