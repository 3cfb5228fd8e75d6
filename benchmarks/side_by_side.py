"""Several walks at a time: what each further one costs in memory, and saves in time where answers take a while."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measure import Usage
from benchmarks.scenarios import opened

WALKS = ("timesheets", "transactions", "arTransactions")
LATENCY = 500.0  # milliseconds, about what a page of 10,000 rows takes over the internet


def side_by_side(rows: int, environment: dict[str, str]) -> Iterator[Figure]:
    """First loads of three wide entities of that size, one after another and at the same time."""
    sizes = dict.fromkeys(WALKS, rows)
    with (
        tempfile.TemporaryDirectory(prefix="postroad-bench-") as folder,
        opened(rows, Path(folder), environment, sizes=sizes, rendered=False) as scenario,
    ):

        def load(parallel: int) -> Usage:
            return scenario.first_load(WALKS, "--parallel", str(parallel))

        load(1)  # not counted: pages are rendered and modules compiled
        alone, together = load(1), load(len(WALKS))
        further = (together.peak - alone.peak) / (len(WALKS) - 1)
        yield Figure(f"memory, three first loads of {rows:,} rows one after another", alone.peak, "MiB")
        yield Figure("memory, for each further one at the same time", further, "MiB")
        scenario.server.hold(LATENCY)
        alone, together = load(1), load(len(WALKS))
        yield Figure(
            f"three at the same time / one after another, {LATENCY:g} ms a page", together.wall / alone.wall, "ratio"
        )
