"""The part of `benchmarks.deliveries` that is measured: a process that dispatches and drains, or fills a dataset."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from postroad.app import App
from postroad.cli.arrow import without_pandas
from postroad.connectors.sql.settings import SqlSettings
from postroad.engine import dispatch
from postroad.lake import changes
from postroad.project import Connection, Delivery, Project, Sync
from postroad.records import Entity, Feed, Outcome, Package
from postroad.sdk.connector import Destination, Source
from postroad.sdk.secrets import Secret

QUEUE = "BENCH_QUEUE"  # the address of a broker that hands out the messages
INVOICES = Entity(
    "invoices",
    ("id",),
    pa.schema(
        [pa.field("id", pa.int64(), nullable=False), ("company", pa.string()), ("amount", pa.decimal128(38, 9)),
         ("day", pa.date32()), ("text", pa.string())]
    ),
)  # fmt: skip


class Bare:
    """A source that declares its entity and is never read."""

    def discover(self) -> Iterator[Feed]:
        """See `Source.discover`."""
        yield Feed("changes", (INVOICES,), "changes")

    def close(self) -> None:
        """Nothing."""


class Sink:
    """A receiver that takes everything at once, so that what is measured is ours."""

    def render(self, _: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """See `Destination.render`."""
        yield Package(records, records.num_rows)

    def send(self, _: Entity, package: Package) -> Sequence[Outcome]:
        """See `Destination.send`."""
        return [Outcome(range(package.records))]

    def close(self) -> None:
        """Nothing."""


class BenchApp(App):
    """A project with one dataset and one receiver: the sink, or a SQLite file."""

    def __init__(self, folder: Path, receiver: str) -> None:
        sql = Connection("appdb", "sql", SqlSettings(url=Secret.literal("sqlite:///app.db")))
        erp = Connection("erp", "xledger", None)  # type: ignore[arg-type]
        deliveries = (Delivery("erp.invoices", "appdb.invoices", "beginning"),)
        syncs = (Sync("erp", ("invoices",)),)
        broker = os.environ.get(QUEUE)
        queue = Secret.literal(broker) if broker else None
        connections = {"erp": erp, "appdb": sql}
        super().__init__(
            Project("bench", folder, connections=connections, syncs=syncs, deliveries=deliveries, queue=queue)
        )
        self._receiver = receiver

    def source(self, connection: str) -> Source:
        """See `App.source`."""
        return Bare()  # type: ignore[return-value]

    @contextmanager
    def destination(self, connection: str) -> Iterator[Destination]:
        """See `App.destination`."""
        if self._receiver == "sink":
            yield Sink()  # type: ignore[misc]
        else:
            with super().destination(connection) as destination:
                yield destination


def fill(folder: Path, commits: int, rows: int) -> None:
    """So many commits of so many rows, each one file."""
    with BenchApp(folder, "sink") as app, app.bench("erp") as bench:
        assert all(check.ok for check in app.deliveries.check_queue())  # declares what is there only once
        dataset = bench.dataset("invoices")
        for number in range(commits):
            with bench.writing(dataset, "run") as hand:
                version = app.tracking.leases.version(dataset.changes.expected or 0)
                changes.append(
                    dataset, _rows(dataset.changes_schema, number * rows, rows), version, hand, {"changes": number + 1}
                )


def _rows(schema: pa.Schema, first: int, count: int) -> pa.Table:
    fixed: Mapping[str, Any] = {"company": "se01", "text": "some text of an invoice", "_op": "upsert"}
    names = [each for each in schema.names if each not in ("_version", "_run")]
    columns = [
        pa.array(range(first, first + count), pa.int64()) if name == "id"
        else pa.repeat(pa.scalar(fixed.get(name), schema.field(name).type), count)
        for name in names
    ]  # fmt: skip
    return pa.table(columns, schema=pa.schema([schema.field(name) for name in names]))


def work(folder: Path, receiver: str, records: int) -> dict[str, float]:
    """Dispatch messages of so many records, and drain them: how many there were, and the seconds that took."""
    dispatch.MOST = records
    with BenchApp(folder, receiver) as app:
        began, cpu = time.perf_counter(), time.process_time()
        made = app.deliveries.dispatch()
        done = app.deliveries.deliver()["appdb.invoices"]
        assert done.messages == made, (done, made)
        spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        return {"messages": made, "records": done.records, **spent}


if __name__ == "__main__":
    without_pandas()
    where = Path(sys.argv[2])
    if sys.argv[1] == "fill":
        fill(where, int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(work(where, sys.argv[3], int(sys.argv[4]))))
