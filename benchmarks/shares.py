"""Which part of a first load's CPU landing and tracking take, and how long the disk is waited for.

As a module it is a process of its own, `python -m benchmarks.shares PROJECT`: a run whose landing, transactions and
fsyncs are timed by wrappers put around them here. CPU is that of the calling thread, so what other threads do meanwhile
does not count. SQLite flushes its log itself, in C: a transaction's time on the clock less its CPU stands for that.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.figures import Figure
from benchmarks.scenarios import Scenario


def shares(scenario: Scenario) -> Iterator[Figure]:
    """The shares of one first load."""
    told = scenario.shares().told
    yield Figure("landing and tracking, share of the CPU of a first load", told["share"], "ratio", most=0.15)
    yield Figure("landing (compress, digest, write) of a first load, CPU", told["landing"], "s")
    yield Figure("tracking (transactions) of a first load, CPU", told["tracking"], "s")
    yield Figure("fsync of files in a first load, wall time", told["fsync"], "s")
    yield Figure("transactions in a first load, wall time less CPU", told["waiting"], "s")


def main(project: str) -> None:
    """Run, timed; prints seconds as JSON."""
    from postroad.cli import main as postroad
    from postroad.lake.landing import Landing
    from postroad.store import Database

    spent = dict.fromkeys(("landing", "tracking", "waiting", "fsync"), 0.0)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*arguments)
            finally:
                spent[name] += time.thread_time() - began

        return wrapper

    def transaction(call: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def wrapper(*arguments: Any) -> Iterator[Any]:
            began, clock = time.thread_time(), time.perf_counter()
            with call(*arguments) as connection:
                yield connection
            used = time.thread_time() - began
            spent["tracking"] += used
            spent["waiting"] += time.perf_counter() - clock - used

        return wrapper

    def fsync(handle: int, call: Callable[[int], None] = os.fsync) -> None:
        began = time.perf_counter()
        call(handle)
        spent["fsync"] += time.perf_counter() - began

    os.fsync = fsync  # type: ignore[assignment]
    Landing.put = timed("landing", Landing.put)  # type: ignore[method-assign]
    Database.read = transaction(Database.read)  # type: ignore[method-assign]
    Database.write = transaction(Database.write)  # type: ignore[method-assign]
    sys.argv = ["postroad", "run", "--project", project]
    with suppress(SystemExit):
        postroad()
    share = (spent["landing"] + spent["tracking"]) / time.process_time()
    print(json.dumps({**{name: round(value, 3) for name, value in spent.items()}, "share": round(share, 4)}))


if __name__ == "__main__":
    main(sys.argv[1])
