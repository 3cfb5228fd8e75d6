"""read_lake.py LAKE [ENTITY] [KEY]: do readers that we did not write see the same tables as delta-rs and pyarrow?

Reads `tables/ENTITY` and `changes/ENTITY` (xledger/timesheets, key dbId) with Spark, DuckDB and Polars, each a Delta
reader of its own, and compares rows, types, nulls, sums and a digest of every column's values.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from digest import summary
from pyarrow.dataset import dataset

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".cache" / "witness-venv" / "bin" / "python"


def read(folder: Path) -> pa.Table:
    """The members that delta-rs lists, by pyarrow's own file system: reading through that of delta-rs aborts one
    process in two as it exits (deltalake 1.6.6 with pyarrow 26).
    """
    table = DeltaTable(folder)
    paths = [uri.removeprefix("file://") for uri in table.file_uris()]
    return dataset(paths, schema=pa.schema(table.schema().to_arrow())).to_table()


def show(reader: str, table: Path, seen: dict[str, Any], seconds: float) -> None:
    columns = seen["columns"]
    hours = columns.get("workingHours", {}).get("sum", "-")
    print(
        f"{reader:<8} {'/'.join(table.parts[-3:]):<28} {seen['rows']:>8} rows  {len(columns):>3} columns"
        f"  workingHours {hours:>18}  _version {columns['_version']['max']}  {seconds:5.1f} s"
    )


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    found = [] if ours["rows"] == theirs["rows"] else [f"rows: {ours['rows']} here, {theirs['rows']} there"]
    for name in sorted(ours["columns"].keys() | theirs["columns"].keys()):
        mine, other = ours["columns"].get(name), theirs["columns"].get(name)
        if mine != other:
            found.append(f"{name}: {mine} here, {other} there")
    return found


def main(lake: str, entity: str = "xledger/timesheets", key: str = "dbId") -> int:
    tables = [Path(lake).resolve() / zone / entity for zone in ("tables", "changes")]
    expected = []
    for table in tables:
        began = time.monotonic()
        expected.append(summary(read(table), key))
        show("delta-rs", table, expected[-1], time.monotonic() - began)
    wrong = 0
    for reader in ("spark", "duckdb", "polars"):
        began = time.monotonic()
        command = [PYTHON, HERE / "readers.py", reader, key, *tables]
        done = subprocess.run(command, env={**os.environ, "TZ": "UTC"}, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{reader}: {done.stderr[-3000:]}")
            wrong += 1
            continue
        seen = json.loads(done.stdout.splitlines()[-1])
        for table, ours, theirs in zip(tables, expected, seen, strict=True):
            show(reader, table, theirs, time.monotonic() - began)
            found = differences(ours, theirs)
            wrong += len(found)
            print("".join(f"  DIFFERS {line}\n" for line in found), end="")
    print(f"{wrong} differences")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
