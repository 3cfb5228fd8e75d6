"""1,000 changes, spread over the newest tenth of the keys: how long a run takes on a small table and on a large one.

A run is the whole process, its start included. A table's first load is kept in `.cache/bench/` for two days (a
position in the changes lives for three), since that of 5 million rows takes minutes; each measurement works on a copy.

As a module it is a process of its own, `python -m benchmarks.changes_at_scale PROJECT`, and prints the keys to change
in each round: the peak memory of a process counts from that of the one that started it, so this one stays small.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measure import MEMORY, Usage, middle
from benchmarks.scenarios import HERE, Scenario, opened

SMALL = 50_000
CHANGES = 1_000
ROUNDS = 3
SECONDS = 5.0
TIMES = 3.0
CACHE = HERE.parent / ".cache" / "bench"
KEPT = 2 * 24 * 3_600
SIMULATOR = HERE.parent / "src" / "postroad" / "connectors" / "xledger" / "simulator"


def changes_at_scale(large: int, environment: dict[str, str]) -> Iterator[Figure]:
    """The two sizes, and how many times as long the larger takes."""
    few, many = changed(SMALL, environment), changed(large, environment)
    for rows, usages in ((SMALL, few), (large, many)):
        name = f"{CHANGES:,} changes on {rows:,} rows"
        yield Figure(f"{name}, whole process", middle(usages, "wall"), "s", most=SECONDS)
        yield Figure(f"{name}, client CPU", middle(usages, "cpu"), "s")
        yield Figure(f"memory, {name}", max(usage.peak for usage in usages), "MiB", most=MEMORY)
    name = f"{CHANGES:,} changes on {large:,} rows / on {SMALL:,}"
    yield Figure(f"{name}, by wall time", middle(many, "wall") / middle(few, "wall"), "ratio", most=TIMES)
    yield Figure(f"{name}, by client CPU", middle(many, "cpu") / middle(few, "cpu"), "ratio")


def changed(rows: int, environment: dict[str, str]) -> list[Usage]:
    """Change, run, and again; RuntimeError if a run did not bring all of the changes."""
    with (
        tempfile.TemporaryDirectory(prefix="postroad-bench-") as folder,
        opened(rows, Path(folder), environment, rendered=False) as scenario,
    ):
        lay_table(scenario, rows)
        scenario.changes()  # not counted: nothing changed, modules are compiled and caches warm
        command = [sys.executable, "-m", "benchmarks.changes_at_scale", str(scenario.project)]
        drawn = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return [_round(scenario, keys, number) for number, keys in enumerate(drawn)]


def lay_table(scenario: Scenario, rows: int) -> None:
    """A project with the table loaded, from the cache if there is one of this company."""
    sources = b"".join(path.read_bytes() for path in sorted(SIMULATOR.glob("*.*")))
    kept = CACHE / f"{rows}-{sha256(sources).hexdigest()[:12]}"
    if kept.exists() and time.time() - kept.stat().st_mtime < KEPT:
        shutil.copytree(kept, scenario.project)
        scenario.lay_project()
        return
    scenario.first_load()
    shutil.rmtree(kept, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    shutil.copytree(scenario.project, partial := kept.with_suffix(".partial"), dirs_exist_ok=True)
    partial.touch()
    partial.rename(kept)


def draw(project: Path) -> list[list[int]]:
    """For each round other keys of the table, evenly spread over the newest tenth."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

    table = DeltaTable(str(project / "lake" / "tables" / "xledger" / "timesheets"))
    files = [pq.read_table(path, columns=["dbId"]) for path in table.file_uris()]
    keys = pa.concat_tables(files).sort_by("dbId").column("dbId")
    tenth = len(keys) // 10
    steps = [len(keys) - tenth + place * (tenth - ROUNDS) // CHANGES for place in range(CHANGES)]
    return [keys.take(pa.array([step + number for step in steps])).to_pylist() for number in range(ROUNDS)]


def _round(scenario: Scenario, keys: list[int], number: int) -> Usage:
    for db_id in keys:
        scenario.server.update(db_id, workingHours=f"{number + 1}.{db_id % 100:02}")
    usage = scenario.changes()
    if (told := usage.told["datasets"]["xledger.timesheets"]["changed"]) != CHANGES:
        raise RuntimeError(f"{told} of {CHANGES} rows were changed")
    return usage


if __name__ == "__main__":
    print(json.dumps(draw(Path(sys.argv[1]))))
