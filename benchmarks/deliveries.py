"""Messages dispatched and drained on SQLite: how many a second, and in how much memory.

    python -m benchmarks.deliveries

Not part of `make bench`. Each figure is of a whole process on one core, without its start: it dispatches what is new in
a dataset and drains it; on a machine with other work the processor time tells more than the clock. A *claim-check*
message names a file of its own, with twenty records; of *one-record* messages twenty thousand lie in one file. The
receiver takes everything at once, so that what is measured is ours; beside it stands the `sql` destination on a SQLite
file of the same disk. Where `make services` has started RabbitMQ, the same through that.
"""

from __future__ import annotations

import os
import sys
import tempfile
from itertools import product
from pathlib import Path

from benchmarks.deliveries_work import QUEUE
from benchmarks.figures import Figure, show, write
from benchmarks.measure import MEMORY, Usage, measured
from tests.conftest import setting
from tests.rabbitmq import answers, vhost

HERE = Path(__file__).parent
WORK = (sys.executable, "-m", "benchmarks.deliveries_work")
CLAIM_CHECKS, SINGLE = 500, 2_000  # messages a second
OF_DIRECT = 0.8
ROUNDS = 3
THROUGH: dict[str, tuple[int, int, int, str]] = {
    "whole": (60, 5_000, 5_000, "sink"),
    "sql": (20, 5_000, 5_000, "sql"),
    "single": (1, 10_000, 1, "sink"),
}
SMALL, LARGE = 1_000, 20_000  # messages, to see whether memory grows with them


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory(prefix="postroad-deliveries-") as folder:
        base = Path(folder)
        checks = worked(base / "checks", 600, 20, 20)
        single = worked(base / "single", 1, LARGE, 1)
        few = worked(base / "few", 1, SMALL, 1)
        whole = worked(base / "whole", 40, 5_000, 5_000)
        sql = worked(base / "sql", 1, SMALL, 1, "sql")
        bulk = worked(base / "bulk", 10, 5_000, 5_000, "sql")
    figures = [
        Figure("claim-check messages a second", rate(checks), "1/s", least=CLAIM_CHECKS),
        Figure("one-record messages a second", rate(single), "1/s", least=SINGLE),
        Figure("claim-check messages in a second of processor time", rate(checks, of="cpu"), "1/s"),
        Figure("one-record messages in a second of processor time", rate(single, of="cpu"), "1/s"),
        Figure("records a second in messages of 5,000", rate(whole, "records"), "1/s"),
        Figure("one-record messages a second into a SQLite file", rate(sql), "1/s"),
        Figure("records a second in messages of 5,000 into a SQLite file", rate(bulk, "records"), "1/s"),
        Figure("peak memory, messages of 5,000", whole.peak, "MiB", most=MEMORY),
        Figure(f"peak memory, {LARGE:,} one-record messages", single.peak, "MiB", most=MEMORY),
        Figure(f"the same beside {SMALL:,} of them", single.peak / few.peak, "", most=1.25),
    ]
    server, api = setting("POSTROAD_TEST_RABBITMQ"), setting("POSTROAD_TEST_RABBITMQ_API")
    if server and api and answers(api):
        figures += brokered(server, api)
    show("Deliveries on SQLite", figures)
    write(HERE / "results-deliveries.json", "one round", figures)


def brokered(server: str, api: str) -> list[Figure]:
    """The same through RabbitMQ, beside the same without it: in turn, the best round of each."""
    found: dict[str, float] = {}
    for _, name, queue in product(range(ROUNDS), THROUGH, ("", "broker ")):
        with tempfile.TemporaryDirectory(prefix="postroad-deliveries-") as folder, vhost(server, api) as broker:
            os.environ[QUEUE] = broker.url if queue else ""
            speed = rate(worked(Path(folder) / "project", *THROUGH[name]), "records")
            found[queue + name] = max(speed, found.get(queue + name, 0.0))
    os.environ.pop(QUEUE)
    whole, sql = (found["broker " + name] / found[name] for name in ("whole", "sql"))
    return [
        Figure("through RabbitMQ beside without, messages of 5,000 into a SQLite file", sql, "", least=OF_DIRECT),
        Figure("the same into a receiver that does nothing", whole, ""),
        Figure("one-record messages a second through RabbitMQ", found["broker single"], "1/s"),
    ]


def worked(folder: Path, commits: int, rows: int, records: int, receiver: str = "sink") -> Usage:
    """What dispatching and draining a new dataset took, in messages of so many records."""
    folder.mkdir()
    measured([*WORK, "fill", str(folder), str(commits), str(rows)], os.environ, 0)
    return measured([*WORK, "work", str(folder), receiver, str(records)], os.environ, 0)


def rate(usage: Usage, what: str = "messages", of: str = "seconds") -> float:
    """How many in a second, on the clock or of processor time."""
    return float(usage.told[what] / usage.told[of])


if __name__ == "__main__":
    main()
