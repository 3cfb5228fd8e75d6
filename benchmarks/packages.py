"""A package of vendors of Finance & Operations into the lake, beside the least work and beside the usual way.

    python -m benchmarks.packages [VENDORS]     1,000,000 of them

Not part of `make bench`, as it takes a quarter of an hour. The package is built once, before anybody asks, and served
from a process of its own; then whole processes are measured in turn, their start included:

- ours: `postroad run --wait`, a first load, and one of a package in which some rows are broken;
- the floor: one thread of `pyarrow.csv` over the same package, typed, into the two Parquet files that a lake has; it
  lands, sorts, checks and commits nothing;
- the usual way: pandas with its python engine, the one that reads such files without failing, `to_json`, and posts of
  5,000 rows to a sink on this machine that throws them away.

As a module with a first word that is no number it is one of these processes.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, show, write
from benchmarks.measure import MEMORY, Usage, measured
from benchmarks.scenarios import POSTROAD

HERE = Path(__file__).parent
ENTRY = "Vendors V2.csv"
POSTED = 5_000
ROW_GROUP = 50_000
BROKEN = 100
PROJECT = """project: bench
lake: ./lake
database: sqlite:///postroad.db
connections:
  finops:
    connector: d365_finops
    url: {url}
    sign_in_url: {url}
    tenant: {tenant}
    client_id: {client}
    client_secret: secret://POSTROAD_BENCH_SECRET
    companies: [usmf]
    entities: [VendorsV2]
    package_hosts: [127.0.0.1]
    allow_http: true
    poll_seconds: 0.1
"""
FLOW = "sync:\n  - {from: finops, entities: [VendorsV2]}\n"


def main(vendors: int) -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory(prefix="postroad-packages-") as temporary:
        folder = Path(temporary)
        with serving(vendors // 5, 0, folder / "small") as told:
            small = ours(told, folder)
        with serving(vendors, BROKEN, folder / "broken") as told:
            broken = ours(told, folder, partly=True)
        with serving(vendors, 0, folder / "large") as told:
            large = ours(told, folder)
            floor = process("floor", told["package"], told["schema"], str(folder))
            usual = process("usual", told["package"])
    figures = [
        Figure("a package into the lake", large.wall, "s"),
        Figure("the same package, its size unpacked", told["bytes"] / 1e6, "MB"),
        Figure("the usual way", usual.wall, "s"),
        Figure("the usual way, times ours", usual.wall / large.wall, "", least=10),
        Figure("the floor", floor.wall, "s"),
        Figure("the floor's time, share of ours", floor.wall / large.wall, "", least=0.5),
        Figure("peak memory", large.peak, "MiB", most=MEMORY),
        Figure("peak memory, a fifth of the rows", small.peak, "MiB", most=MEMORY),
        Figure(f"with {BROKEN} broken rows, times ours", broken.wall / large.wall, "", most=1.2),
    ]
    show(f"A package of {vendors:,} vendors", figures)
    write(HERE / "results-packages.json", f"{vendors} vendors of 54 columns, one round", figures)


def ours(told: dict[str, Any], folder: Path, *, partly: bool = False) -> Usage:
    """A first load by `postroad run --wait`, into an empty folder; `partly` expects rejected rows."""
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    (project / "flows").mkdir(parents=True)
    (project / "postroad.yaml").write_text(PROJECT.format(**told))
    (project / "flows" / "vendors.yaml").write_text(FLOW)
    environment = {**os.environ, "POSTROAD_BENCH_SECRET": told["secret"]}
    words = [POSTROAD, "run", "--wait", "--project", str(project)]
    expecting = ["sh", "-c", '"$@"; test $? -eq 3', "sh"] if partly else []
    return measured([*expecting, *words], environment, None)


def process(*words: str) -> Usage:
    """This module as another process."""
    return measured([sys.executable, "-m", "benchmarks.packages", *words], os.environ, None)


# The server


@contextmanager
def serving(vendors: int, broken: int, folder: Path) -> Iterator[dict[str, Any]]:
    """A process that serves one package; what it says of itself."""
    folder.mkdir()
    words = [sys.executable, "-m", "benchmarks.packages", "serve", str(vendors), str(broken), str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()


def serve(vendors: int, broken: int, folder: Path) -> None:
    """Build the package, then let every full export have it at once; until standard input is closed."""
    from postroad.connectors.d365_finops.declaration import known
    from postroad.connectors.d365_finops.simulator import FinopsSimulator, packages
    from postroad.connectors.d365_finops.simulator.exports import Asked

    with FinopsSimulator(sizes={"VendorsV2": vendors}, companies=["usmf"], export_seconds=0) as simulator:
        simulator.project("Postroad", ["VendorsV2"])
        simulator.project("Postroad VendorsV2", ["VendorsV2"], incremental=False)
        if broken:
            rows = [place * (vendors // broken) for place in range(broken)]
            simulator.fault("rows", entity="VendorsV2", wound="quote", rows=rows)
        asked = Asked("ExportToPackageAsync", "Postroad VendorsV2", "package", "first", False, "usmf")
        faults = simulator.faults.take(["export"])
        build = simulator.exporter.start(asked, faults, simulator.clock.now(), simulator.switches).build
        build.done.wait()

        def again(
            plan: packages.Plan, path: Path, stopping: threading.Event, anew: Any = packages.start
        ) -> packages.Build:
            if sum(len(each.file) for each in plan.files) < vendors:
                built: packages.Build = anew(plan, path, stopping)
                return built
            os.link(build.path, path)
            done = packages.Build(path, sound=True)
            done.done.set()
            return done

        packages.start = again
        entity = known()["VendorsV2"].entity
        schema = folder / "schema.json"
        schema.write_text(json.dumps({field.name: str(field.type) for field in entity.schema}))
        told = {
            "url": simulator.url,
            "tenant": simulator.tenant,
            "client": simulator.client_id,
            "secret": simulator.client_secret,
            "package": str(build.path),
            "schema": str(schema),
            "bytes": zipfile.ZipFile(build.path).getinfo(ENTRY).file_size,
        }
        print(json.dumps(told), flush=True)
        sys.stdin.read()


# The floor


def floor(package: str, schema: str, folder: str) -> None:
    """The file's rows, typed, in two Parquet files; nothing of ours is imported."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pv
    import pyarrow.parquet as pq

    kinds: dict[str, str] = json.loads(Path(schema).read_text())
    money = pa.decimal128(38, 9)
    types = {
        name.upper(): {"date32[day]": pa.timestamp("s"), "decimal128(38, 9)": money}.get(kind, pa.string())
        for name, kind in kinds.items()
    }
    writers: list[Any] = []
    waiting: list[Any] = []

    def flush() -> None:
        rows = pa.Table.from_batches(waiting)
        waiting.clear()
        columns = {
            name: rows.column(name.upper()).cast(pa.date32()) if kind == "date32[day]" else rows.column(name.upper())
            for name, kind in kinds.items()
            if name.upper() in rows.column_names
        }
        size = rows.num_rows
        more = {"dataAreaId": pa.repeat("usmf", size), "_version": pa.repeat(pa.scalar(1, pa.int64()), size)}
        more |= {"_run": pa.repeat("20260101T000000abcdef", size), "_changed_at": pa.nulls(size, pa.timestamp("us"))}
        table = pa.table(columns | more)
        tables = [table.append_column("_op", pc.if_else(pa.repeat(True, size), "upsert", "")), table]
        if not writers:
            writers.extend(
                pq.ParquetWriter(f"{folder}/{place}.parquet", each.schema, compression="zstd", compression_level=1)
                for place, each in enumerate(tables)
            )
        for writer, each in zip(writers, tables, strict=True):
            writer.write_table(each, row_group_size=ROW_GROUP)

    with zipfile.ZipFile(package) as archive, archive.open(ENTRY) as entry:
        reader = pv.open_csv(
            pa.PythonFile(entry, mode="r"),
            pv.ReadOptions(use_threads=False, encoding="utf-16", block_size=8 << 20),
            pv.ParseOptions(newlines_in_values=True),
            pv.ConvertOptions(column_types=types, timestamp_parsers=["%Y-%m-%d %H:%M:%S"], strings_can_be_null=False),
        )
        for batch in reader:
            waiting.append(batch)
            if sum(each.num_rows for each in waiting) >= ROW_GROUP:
                flush()
    if waiting:
        flush()
    for writer in writers:
        writer.close()


# The usual way


class _Sink(http.server.BaseHTTPRequestHandler):
    """Reads what is posted and throws it away."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a body."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (as in http.server)
        """Say nothing."""


def usual(package: str) -> None:
    """Read, turn into JSON, post."""
    import pandas as pd

    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{sink.server_address[1]}/rows"
    with zipfile.ZipFile(package) as archive, archive.open(ENTRY) as entry:
        for rows in pd.read_csv(entry, engine="python", encoding="utf-16", dtype=str, chunksize=POSTED):
            body = rows.to_json(orient="records").encode()
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request).read()
    sink.shutdown()


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else "1000000"
    if word.isdigit():
        main(int(word))
    elif word == "serve":
        serve(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    elif word == "floor":
        floor(*sys.argv[2:5])
    else:
        usual(sys.argv[2])
