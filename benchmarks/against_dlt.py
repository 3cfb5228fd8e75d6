"""A full refresh beside dlt's: the same pages, into Parquet; `dlt_script.py` says with which settings and why.

dlt lives in an environment of its own, which `make bench` makes from `requirements/dlt.lock`. Pinned to one core as
ours is, then unpinned with a process for each core. One run each: a run lasts so long that a second says the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measure import Usage, measured, middle
from benchmarks.scenarios import HERE, Scenario
from benchmarks.server import TOKEN_VARIABLE

PYTHON = HERE.parent / ".cache" / "dlt-venv" / "bin" / "python"
TIMES = 10.0


def against_dlt(scenario: Scenario, ours: Sequence[Usage], rows: int) -> Iterator[Figure]:
    """The REST source of dlt, then its leanest way, then that on all cores; `ours` are first loads of the same rows."""
    before = scenario.server.busy()
    rest = dlt(scenario, rows, "rest")
    busy = (scenario.server.busy() - before) / rest.wall
    name = f"dlt {rest.told['version']}"
    yield from beside(f"{name}, REST source", ours, rest, rows, TIMES)
    yield Figure(f"share of that run of {name} in which the server was busy", busy, "ratio")
    yield Figure(f"memory, {name}, REST source", rest.peak, "MiB")
    yield from beside(f"{name}, leanest", ours, dlt(scenario, rows, "lean"), rows)
    workers = len(os.sched_getaffinity(0))
    unpinned = dlt(scenario, rows, "lean", workers)
    yield from beside(f"{name}, leanest, unpinned, {workers} workers", ours, unpinned, rows)


def beside(name: str, ours: Sequence[Usage], theirs: Usage, rows: int, goal: float | None = None) -> Iterator[Figure]:
    """Their speed, and how many times as fast ours is, by the clock and by processor time."""
    yield Figure(f"{name}, rows per second", rows / theirs.wall, "rows/s")
    yield Figure(f"first load / {name}, by wall time", theirs.wall / middle(ours, "wall"), "ratio", least=goal)
    yield Figure(f"first load / {name}, by client CPU", theirs.cpu / middle(ours, "cpu"), "ratio")


def dlt(scenario: Scenario, rows: int, way: str, workers: int = 1) -> Usage:
    """One run into an empty folder; RuntimeError if it did not write all rows."""
    if not PYTHON.exists():
        raise RuntimeError(f"{PYTHON} is missing: `make bench` makes it")
    folder = scenario.folder / "dlt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    queries = folder / "queries.json"
    queries.write_text(json.dumps(scenario.server.queries))
    script = str(Path(HERE, "dlt_script.py"))
    command = [str(PYTHON), script, scenario.server.url, str(folder), TOKEN_VARIABLE, str(queries), way, str(workers)]
    environment = {**scenario.environment, TOKEN_VARIABLE: scenario.server.token}
    usage = measured(command, environment, scenario.core if workers == 1 else None)
    if usage.told["rows"] != rows:
        raise RuntimeError(f"dlt wrote {usage.told['rows']} of {rows} rows")
    return usage
