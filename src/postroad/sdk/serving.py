"""What the commands `postroad simulate …` share: serving until somebody stops them, with changes meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from postroad.sdk.simulator import Simulator


def serve(
    simulator: Simulator, announcement: Callable[[], str], changes_per_minute: float, change: Callable[[], object]
) -> None:
    """Serve until SIGTERM or SIGINT; the announcement is printed once the sockets are open."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with simulator:
        print(announcement(), flush=True)
        if changes_per_minute > 0:
            change_every(60 / changes_per_minute, change, stop)
        stop.wait()


def change_every(seconds: float, change: Callable[[], object], stop: threading.Event) -> None:
    """Call `change` again and again in the background."""

    def changing() -> None:
        while not stop.wait(seconds):
            change()

    threading.Thread(target=changing, daemon=True).start()
