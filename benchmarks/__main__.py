"""`make bench`: what a sync costs beside the least that it could cost. Prints a table, writes `results.json`.

    POSTROAD_BENCH_ROWS=500000     timesheets of the simulated company (a few of them belong to others and stay unseen)
    POSTROAD_BENCH_ROUNDS=3        how often each pair is measured; medians count
    POSTROAD_BENCH_FULL=1          1,000 changes on 5 million rows instead of that many; memory at 5 million rows too,
                                   in `results-5m.json`: half an hour

The simulator has a core of its own, and so has the client; pages are rendered before anybody asks. Floor and client
run in turn, so that both see the same machine. Every figure is of a whole process, its start included.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.against_dlt import against_dlt
from benchmarks.changes_at_scale import changes_at_scale
from benchmarks.figures import Figure, show, write
from benchmarks.measure import MEMORY, Usage, measured, middle
from benchmarks.scenarios import HEAVY, POSTROAD, Scenario, compiled, opened
from benchmarks.shares import shares
from benchmarks.side_by_side import side_by_side

HERE = Path(__file__).parent
MILLIONS = 5_000_000


def main() -> None:
    """Measure and tell."""
    rows = int(os.environ.get("POSTROAD_BENCH_ROWS", "500000"))
    rounds = int(os.environ.get("POSTROAD_BENCH_ROUNDS", "3"))
    full = os.environ.get("POSTROAD_BENCH_FULL") == "1"
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as folder:
        environment = compiled(Path(folder) / "compiled")
        figures = [*changes_at_scale(MILLIONS if full else rows, environment), *help_figures(environment)]
        figures += side_by_side(rows // 2, environment)
        with opened(rows, Path(folder), environment) as scenario:
            scenario.floor()  # these two are not counted: they compile modules and warm caches
            scenario.first_load()
            small = speed(scenario, rounds)
            against = against_dlt(scenario, small.first, small.rows)
            figures = [*small.figures, *shares(scenario), *against, *latency(scenario, small, rounds), *figures]
        show(f"Postroad, {rows:,} timesheets", figures)
        write(HERE / "results.json", f"{rows} timesheets, {rounds} rounds, medians", figures)
        if full:
            with opened(MILLIONS, Path(folder), environment) as scenario:
                large = speed(scenario, 1)
            figures = [*large.figures, *growth(small, large)]
            show(f"Postroad, {MILLIONS:,} timesheets", figures)
            write(
                HERE / "results-5m.json", f"{MILLIONS} timesheets, one round, against {rows} of the same run", figures
            )


@dataclass(frozen=True)
class Speed:
    """First load and second refresh beside the floor."""

    rows: int
    first: list[Usage]
    refresh: list[Usage]
    figures: list[Figure]


def speed(scenario: Scenario, rounds: int) -> Speed:
    """Floor, first load and a second full refresh with nothing changed, in turn."""
    floor: list[Usage] = []
    first: list[Usage] = []
    refresh: list[Usage] = []
    busy: list[float] = []
    for _ in range(rounds):
        floor.append(scenario.floor())
        before = scenario.server.busy()
        first.append(scenario.first_load())
        busy.append((scenario.server.busy() - before) / first[-1].wall)
        refresh.append(scenario.refresh())
    rows = floor[0].told["rows"]
    ratios = [(one.cpu / ours.cpu, one.wall / ours.wall) for one, ours in zip(floor, first, strict=True)]
    return Speed(
        rows,
        first,
        refresh,
        [
            Figure("first load, rows per second of client CPU", rows / middle(first, "cpu"), "rows/s"),
            Figure("floor, rows per second of client CPU", rows / middle(floor, "cpu"), "rows/s"),
            Figure("first load / floor, by client CPU", median(ratio[0] for ratio in ratios), "ratio", least=0.7),
            Figure("first load, rows per second", rows / middle(first, "wall"), "rows/s"),
            Figure("floor, rows per second", rows / middle(floor, "wall"), "rows/s"),
            Figure("first load / floor, by wall time", median(ratio[1] for ratio in ratios), "ratio", least=0.7),
            Figure(
                "second full refresh / first load, CPU",
                middle(refresh, "cpu") / middle(first, "cpu"),
                "ratio",
                most=1.5,
            ),
            Figure("start of the process alone, CPU", scenario.start().cpu, "s"),
            Figure("share of the first load in which the server was busy", median(busy), "ratio"),
            Figure("memory, first load", max(usage.peak for usage in first), "MiB", most=MEMORY),
            Figure("memory, second full refresh", max(usage.peak for usage in refresh), "MiB", most=MEMORY),
        ],
    )


def latency(scenario: Scenario, fast: Speed, rounds: int) -> Iterator[Figure]:
    """With 100 ms before each answer: how well working hides behind fetching.

    *Fetching alone* fetches the same bytes with that latency and drops them. *Working alone* is the first load without
    latency, against the same pages; its fetching from memory is part of it.
    """
    scenario.server.latency(100)
    alone = middle([scenario.fetching() for _ in range(rounds)], "wall")
    ours = middle([scenario.first_load() for _ in range(rounds)], "wall")
    working = middle(fast.first, "wall")
    yield Figure("fetching alone with 100 ms a page", alone, "s")
    yield Figure("working alone (first load without latency)", working, "s")
    yield Figure("first load with 100 ms a page", ours, "s")
    yield Figure("first load with 100 ms / the greater of both alone", ours / max(alone, working), "ratio", most=1.15)


def growth(small: Speed, large: Speed) -> list[Figure]:
    """How memory grows with the rows."""
    first = max(usage.peak for usage in large.first) / max(usage.peak for usage in small.first)
    refresh = max(usage.peak for usage in large.refresh) / max(usage.peak for usage in small.refresh)
    return [
        Figure("memory, first load, against the smaller company", first, "ratio", most=1.15),
        Figure("memory, second full refresh, against the smaller company", refresh, "ratio", most=1.15),
    ]


def help_figures(environment: dict[str, str]) -> list[Figure]:
    """`postroad --help`: how long, and how many heavy libraries it imports."""
    command = [POSTROAD, "--help"]
    times = [measured(command, environment, None).wall for _ in range(8)][1:]
    imported = measured([sys.executable, "-c", HEAVY], environment, None).told
    return [
        Figure("postroad --help, median of 7", median(times), "s", most=0.3),
        Figure("heavy libraries that postroad --help imports", len(imported), "libraries", most=0),
    ]


if __name__ == "__main__":
    main()
