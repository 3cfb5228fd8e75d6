"""Records into a MongoDB, beside the plain way, and into a server that keeps them.

    python -m benchmarks.mongodb [ROWS]     100,000 of them, of 32 columns

Not part of `make bench`. A drop folder's Parquet file is brought into a lake, and then whole processes are measured in
turn, their start included; both write to a wire sink, a process that answers every command at once and keeps nothing:

- ours: `postroad run`, which finds nothing new to read, dispatches and delivers all rows;
- the plain way: the same file by `pyarrow.parquet`, rows as dictionaries, `UpdateOne` with an upsert each, `bulk_write`
  of 5,000 at a time.

Where scripts/services has started a MongoDB-compatible server, half of the rows go there from end to end. That server
looks for a sub-document as `_id` through all documents, as MongoDB does not: so the key is one column here.

As a module with a first word that is no number it is one of these processes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from pymongo import MongoClient

from benchmarks.figures import Figure, show, write
from benchmarks.measure import MEMORY, Usage, measured, middle
from benchmarks.scenarios import POSTROAD

HERE = Path(__file__).parent
ROUNDS = 3
AT_ONCE = 5_000
TEXTS, AMOUNTS, DAYS, TIMES, FLAGS, NUMBERS = 12, 6, 3, 2, 2, 4
COLUMNS = {
    **{f"text{place}": "text" for place in range(TEXTS)},
    **{f"amount{place}": "decimal" for place in range(AMOUNTS)},
    **{f"due{place}": "date" for place in range(DAYS)},
    **{f"at{place}": "datetime" for place in range(TIMES)},
    **{f"open{place}": "bool" for place in range(FLAGS)},
    **{f"number{place}": "int" for place in range(NUMBERS)},
}
PROJECT = """project: bench
lake: ./lake
database: sqlite:///postroad.db
connections:
  drop:
    connector: files
    folder: ./drop
    settle: 0s
    datasets:
      vendors: {{files: "*.parquet", key: [account], columns: {columns}}}
  appdb: {{connector: mongodb, url: secret://BENCH_MONGODB, database: bench}}
"""
FLOW = "sync: [{from: drop, entities: [vendors]}]\ndeliver: [{dataset: drop.vendors, to: appdb.vendors}]\n"


def main(rows: int) -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory(prefix="postroad-mongodb-") as temporary:
        folder = Path(temporary)
        synced(folder, rows)
        with sinking() as url:
            pairs = [(ours(folder, url), process("plain", str(folder / "drop" / "rows.parquet"), url))]
            pairs += [(ours(folder, url), process("plain", str(folder / "drop" / "rows.parquet"), url))
                      for _ in range(ROUNDS)]  # fmt: skip
        first, plain = zip(*pairs[1:], strict=True)  # the first pair compiles modules and warms caches
        share = 100_000 / rows
        figures = [
            Figure("100,000 records into a sink, client CPU", middle(first, "cpu") * share, "s"),
            Figure("the plain way, client CPU", middle(plain, "cpu") * share, "s"),
            Figure("times the plain way", median(one.cpu / other.cpu for one, other in pairs[1:]), "ratio", most=1.5),
            Figure("records per second into a sink", rows / middle(first, "wall"), "rows/s"),
            Figure("peak memory", max(each.peak for each in first), "MiB", most=MEMORY),
        ]
        server = compatible()
        if server is not None:
            synced(folder, rows // 2)
            with MongoClient[dict[str, Any]](server) as client:
                client.drop_database("bench")
            figures.append(Figure(f"{rows // 2:,} records into a compatible server", ours(folder, server).wall, "s"))
    show(f"{rows:,} records into a MongoDB", figures)
    write(HERE / "results-mongodb.json", f"{rows} records of {len(COLUMNS) + 3} columns, {ROUNDS} rounds", figures)


def synced(folder: Path, rows: int) -> None:
    """The project with its rows in the lake, and nothing delivered."""
    shutil.rmtree(folder, ignore_errors=True)
    for each in ("flows", "drop"):
        (folder / each).mkdir(parents=True)
    columns = json.dumps({"company": "text", "account": "int", **COLUMNS})
    (folder / "postroad.yaml").write_text(PROJECT.format(columns=columns))
    (folder / "flows" / "vendors.yaml").write_text(FLOW)
    process("fill", str(folder / "drop" / "rows.parquet"), str(rows))
    environment = {**os.environ, "BENCH_MONGODB": "mongodb://unused/"}
    measured([POSTROAD, "run", "--no-deliver", "--wait", "--project", str(folder)], environment, None)
    shutil.copyfile(folder / "postroad.db", folder / "before.db")


def ours(folder: Path, url: str) -> Usage:
    """The delivery of all rows, from the same beginning each time."""
    shutil.copyfile(folder / "before.db", folder / "postroad.db")
    environment = {**os.environ, "BENCH_MONGODB": url}
    return measured([POSTROAD, "run", "--project", str(folder)], environment, None)


def process(*words: str) -> Usage:
    """This module as another process."""
    return measured([sys.executable, "-m", "benchmarks.mongodb", *words], os.environ, None)


def compatible() -> str | None:
    """The address of the server that scripts/services started."""
    file = HERE.parent / ".services" / "env"
    found = dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.exists() else {}
    return found.get("POSTROAD_TEST_MONGODB")


def fill(file: str, rows: int) -> None:
    """The rows: texts of ten letters, amounts with cents, a tenth of all nulls."""
    import random

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    draw = random.Random(1)
    size = range(rows)

    def column(kind: str) -> Any:
        numbers = pa.array([None if draw.random() < 0.1 else draw.randrange(10**9) for _ in size], pa.int64())
        if kind == "text":
            return pc.binary_join_element_wise("text", numbers.cast(pa.string()), " ")
        if kind == "decimal":
            return pc.divide(numbers.cast(pa.float64()), 100).cast(pa.decimal128(11, 2)).cast(pa.decimal128(38, 9))
        if kind == "date":
            return pc.divide(numbers, 50_000).cast(pa.int32()).cast(pa.date32())
        if kind == "datetime":
            return numbers.cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))
        return pc.equal(pc.bit_wise_and(numbers, 1), 1) if kind == "bool" else numbers

    columns = {name: column(kind) for name, kind in COLUMNS.items()}
    companies = pa.array([f"se{number % 30:02}" for number in size])
    table = pa.table({"company": companies, "account": pa.array(size, pa.int64()), **columns})
    pq.write_table(table, file, compression="zstd", row_group_size=50_000)


def plain(file: str, url: str) -> None:
    """As one would write it in an afternoon; what BSON has no type for is converted as little as can be."""
    from datetime import datetime, time

    import pyarrow.parquet as pq
    from bson.decimal128 import Decimal128
    from pymongo import UpdateOne

    amounts = [name for name, kind in COLUMNS.items() if kind == "decimal"]
    days = [name for name, kind in COLUMNS.items() if kind == "date"]
    midnight = time()
    with MongoClient[dict[str, Any]](url) as client:
        collection = client.bench.vendors
        for batch in pq.ParquetFile(file).iter_batches(AT_ONCE, use_threads=False):
            rows = batch.to_pylist()
            for row in rows:
                for name in amounts:
                    row[name] = None if row[name] is None else Decimal128(row[name])
                for name in days:
                    row[name] = None if row[name] is None else datetime.combine(row[name], midnight)
            collection.bulk_write(
                [UpdateOne({"_id": row["account"]}, {"$set": row}, upsert=True)
                 for row in rows],
                ordered=False,
            )  # fmt: skip


# The sink


@contextmanager
def sinking() -> Iterator[str]:
    """A process that answers as a primary does; its address."""
    words = [sys.executable, "-m", "benchmarks.mongodb", "sink"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdin is not None
        assert sink.stdout is not None
        try:
            yield sink.stdout.readline().strip()
        finally:
            sink.stdin.close()


class _Sink(socketserver.BaseRequestHandler):
    """Reads messages of the wire protocol (OP_MSG, and OP_QUERY for the first hello) and answers each at once."""

    request: socket.socket

    def handle(self) -> None:
        """One connection, until it ends."""
        import bson

        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.request.makefile("rb", 1 << 20) as stream:
            while len(head := stream.read(16)) == 16:
                length, number, _, kind = struct.unpack("<iiii", head)
                body = stream.read(length - 16)
                if kind == 2004:  # OP_QUERY: flags, a name, two numbers, a document; answered by an OP_REPLY
                    answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._hello())
                    self._send(number, 1, answer)
                else:
                    self._send(number, 2013, b"\0\0\0\0\0" + bson.encode(self._answer(body)))

    def _send(self, to: int, kind: int, body: bytes) -> None:
        self.request.sendall(struct.pack("<iiii", 16 + len(body), 0, to, kind) + body)

    def _hello(self) -> dict[str, Any]:
        host = f"127.0.0.1:{self.request.getsockname()[1]}"
        limits = {"maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000}
        member = {"setName": "sink", "hosts": [host], "me": host, "setVersion": 1, "primary": host}
        return {"isWritablePrimary": True, "ismaster": True, **member, **limits, "minWireVersion": 0,
                "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30, "ok": 1.0}  # fmt: skip

    def _answer(self, body: bytes) -> dict[str, Any]:
        import bson

        command, at, operations = {}, 4, 0
        while at < len(body):
            size: int = struct.unpack_from("<i", body, at + 1)[0]
            end = at + 1 + size
            if body[at] == 0:
                command = bson.decode(body[at + 1 : end])
            else:
                place = body.index(b"\0", at + 5) + 1
                while place < end:
                    place += struct.unpack_from("<i", body, place)[0]
                    operations += 1
            at = end
        match next(iter(command)):
            case "hello" | "ismaster":
                return self._hello()
            case "update":
                return {"n": operations, "nModified": 0, "ok": 1.0}
            case "listCollections" | "find":
                return {"cursor": {"id": 0, "ns": "bench.vendors", "firstBatch": []}, "ok": 1.0}
            case "listIndexes":
                return {"ok": 0.0, "code": 26, "codeName": "NamespaceNotFound", "errmsg": "ns does not exist"}
        return {"ok": 1.0}


def sink() -> None:
    """Answer until standard input is closed."""
    import threading

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Sink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"mongodb://127.0.0.1:{server.server_address[1]}/?serverMonitoringMode=poll", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else "100000"
    if word.isdigit():
        main(int(word))
    elif word == "fill":
        fill(sys.argv[2], int(sys.argv[3]))
    elif word == "plain":
        plain(sys.argv[2], sys.argv[3])
    else:
        sink()
