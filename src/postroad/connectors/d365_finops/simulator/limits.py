"""The limits of the service: requests in a window, and requests at the same time (fact sheet 5)."""

from __future__ import annotations

import threading
from collections import deque

from postroad.connectors.d365_finops.simulator import mistakes
from postroad.connectors.d365_finops.simulator.switches import Switches


class Gate:
    """Lets requests in, or refuses them with 429; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._inside = 0

    def enter(self, switches: Switches, now: float) -> None:
        """Count one request against the limits; it is inside until `leave`."""
        with self._lock:
            while self._recent and self._recent[0] <= now - switches.requests_seconds:
                self._recent.popleft()
            full = switches.requests is not None and len(self._recent) >= switches.requests
            if full or (switches.concurrency is not None and self._inside >= switches.concurrency):
                raise mistakes.busy(switches.retry_after)
            self._recent.append(now)
            self._inside += 1

    def leave(self) -> None:
        """One request has been answered."""
        with self._lock:
            self._inside -= 1
