"""The least work that the same result can cost: a script of its own that imports nothing of ours.

    python benchmarks/floor.py URL FOLDER TOKEN_VARIABLE QUERIES [--drop]

QUERIES is a JSON file with the two documents of a walk: `first`, and `next` with the variable `after`.

For each page it fetches the same bytes over one kept connection (httpx), lets Arrow decode the edges (pyarrow.json,
one block, no threads, an explicit schema), casts to the same types (ids to int64, amounts to decimal128(38, 9), dates,
timestamps in UTC) and adds the columns that a lake's reader expects (`_op`, `_changed_at`, `_ambiguous`, `_version`,
`_run`). Rows go to two Parquet files as they come, `changes.parquet` and `tables.parquet` (without `_op`): zstd level
1, row groups of 50,000, dictionaries and statistics as pyarrow writes them by default.

What it leaves out, so that it stays a floor: no landing, digest, database, lease, sorting, check for repeated keys,
refusal of bad values, split into files, Delta log. Local times are cast as if they were UTC, which costs less than
looking up the offsets. It fsyncs each of the two files once, at the end, and nothing else.

`--drop` fetches the bytes and drops them: the time that fetching alone takes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

ROW_GROUP = 50_000
CURSOR = re.compile(rb'"cursor":"([^"]*)"')
MONEY = pa.decimal128(38, 9)
INSTANT = pa.timestamp("us", "UTC")

# Path in the node, type on the wire, type in the file.
FIELDS: list[tuple[str, pa.DataType, pa.DataType]] = [
    ("dbId", pa.string(), pa.int64()),
    ("createdAt", pa.string(), INSTANT),
    ("modifiedAt", pa.string(), INSTANT),
    ("assignmentDate", pa.string(), pa.date32()),
    ("workingHours", pa.string(), MONEY),
    ("isHeaderApproved", pa.bool_(), pa.bool_()),
    ("headerApprovedAt", pa.string(), INSTANT),
    ("hourlyRevenueCurrency", pa.string(), MONEY),
    ("owner.dbId", pa.int64(), pa.int64()),
    ("owner.description", pa.string(), pa.string()),
    ("owner.ownerCode", pa.int64(), pa.int64()),
    ("employee.dbId", pa.int64(), pa.int64()),
    ("employee.description", pa.string(), pa.string()),
    ("employee.code", pa.string(), pa.string()),
    ("activity.code", pa.string(), pa.string()),
    ("activity.description", pa.string(), pa.string()),
    ("timeType.code", pa.string(), pa.string()),
    ("timeType.description", pa.string(), pa.string()),
    ("project.dbId", pa.int64(), pa.int64()),
    ("project.description", pa.string(), pa.string()),
    ("project.code", pa.string(), pa.string()),
    ("timesheetStatus.name", pa.string(), pa.string()),
]


def fetch(url: str, token: str, queries: dict[str, str]) -> Iterator[bytes]:
    """The pages of a walk, one request after the other; the next one's cursor is found at the end of the bytes."""
    with httpx.Client(timeout=60, headers={"authorization": f"token {token}"}) as client:
        body: dict[str, Any] = {"query": queries["first"], "variables": {}}
        while True:
            with client.stream("POST", url, json=body) as answer:
                page = b"".join(answer.raise_for_status().iter_bytes())
            yield page
            if b'"hasNextPage":true' not in page:
                return
            cursors = CURSOR.findall(page, page.rindex(b'"cursor"'))
            body = {"query": queries["next"], "variables": {"after": cursors[-1].decode()}}


def decode(page: bytes) -> pa.Table:
    """The rows of a page, typed as in the files."""
    edges = pa.list_(pa.struct([("node", node_type())]))
    schema = pa.schema([("data", pa.struct([("timesheets", pa.struct([("edges", edges)]))]))])
    table = pj.read_json(
        pa.BufferReader(page),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(page) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    found = pc.struct_field(table.column("data").chunk(0), ["timesheets", "edges"])
    nodes = pc.struct_field(found.flatten(), ["node"])
    columns = {path.replace(".", "_"): typed(nodes, path, kind) for path, _, kind in FIELDS}
    size = len(nodes)
    columns["_op"] = pa.repeat("upsert", size)
    columns["_changed_at"] = columns["modifiedAt"]
    columns["_ambiguous"] = pa.nulls(size, pa.map_(pa.string(), pa.string()))
    columns["_version"] = pa.repeat(pa.scalar(1, pa.int64()), size)
    columns["_run"] = pa.repeat("20260101T000000abcdef", size)
    return pa.table(columns)


def typed(nodes: pa.StructArray, path: str, kind: pa.DataType) -> pa.Array:
    """One column, cast in one step."""
    values = pc.struct_field(nodes, path.split("."))
    return values.cast(pa.timestamp("us")).cast(kind) if kind == INSTANT else values.cast(kind)


def node_type() -> pa.DataType:
    """The type of a node on the wire."""
    tree: dict[str, Any] = {}
    for path, kind, _ in FIELDS:
        outer, _, inner = path.partition(".")
        if inner:
            tree.setdefault(outer, []).append((inner, kind))
        else:
            tree[outer] = kind
    return pa.struct([(name, pa.struct(kind) if isinstance(kind, list) else kind) for name, kind in tree.items()])


class Files:
    """The two files; rows are written in whole row groups."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / "changes.parquet", folder / "tables.parquet"]
        self._writers: list[Any] = []
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Keep rows until a row group is full."""
        self._waiting.append(rows)
        if sum(each.num_rows for each in self._waiting) >= ROW_GROUP:
            self._write()

    def close(self) -> None:
        """Write what is left and fsync both files."""
        self._write()
        for writer, path in zip(self._writers, self._paths, strict=True):
            writer.close()
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)

    def _write(self) -> None:
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting)
        self._waiting = []
        tables = [rows, rows.drop_columns(["_op"])]
        if not self._writers:
            self._writers = [
                pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
                for path, table in zip(self._paths, tables, strict=True)
            ]
        for writer, table in zip(self._writers, tables, strict=True):
            writer.write_table(table, row_group_size=ROW_GROUP)


def main(url: str, folder: str, variable: str, queries: str, *options: str) -> None:
    """Fetch, decode, write; prints how many rows and bytes."""
    pa.set_cpu_count(1)
    files = Files(Path(folder))
    rows = size = 0
    for page in fetch(url, os.environ[variable], json.loads(Path(queries).read_text())):
        size += len(page)
        if "--drop" not in options:
            table = decode(page)
            rows += table.num_rows
            files.add(table)
    if "--drop" not in options:
        files.close()
    print(json.dumps({"rows": rows, "bytes": size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
