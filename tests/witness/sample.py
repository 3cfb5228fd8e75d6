"""sample.py LAKE: a small lake in the shape of design section 6, written by delta-rs and pyarrow alone.

Every type that we store, nulls included, and in one commit on a freshly opened handle: files added, files removed and
application transactions.
"""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.transaction import AddAction, RemoveAction

BUSINESS = pa.schema(
    [
        pa.field("dbId", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("approved", pa.bool_()),
        pa.field("assignmentDate", pa.date32()),
        pa.field("modifiedAt", pa.timestamp("us", "UTC")),
        pa.field("workingHours", pa.decimal128(38, 9)),
        pa.field("lines", pa.list_(pa.struct([("item", pa.string()), ("quantity", pa.decimal128(38, 9))]))),
        pa.field("_ambiguous", pa.map_(pa.string(), pa.string())),
        pa.field("_changed_at", pa.timestamp("us", "UTC")),
        pa.field("_version", pa.int64()),
        pa.field("_run", pa.string()),
    ]
)
CHANGES = BUSINESS.insert(8, pa.field("_op", pa.string()))
T0 = datetime(2024, 7, 11, 21, 17, 9, 123_456, UTC)


def line(item: str, number: int) -> dict[str, object]:
    return {"item": item, "quantity": None if number == 2 else Decimal(number) / 8}


def rows(keys: range, version: int, op: str = "upsert") -> pa.Table:
    far = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))
    return pa.Table.from_pylist(
        [
            {
                "dbId": 10**12 + key,
                "text": None if key % 5 == 0 else f"Möte {key} “é” \n\t\\ {'å' * (key % 3)}",
                "approved": (True, False, None)[key % 3],
                "assignmentDate": None if key % 11 == 0 else date(1969, 12, 1) + timedelta(days=key),
                "modifiedAt": far[key % 2] if key < 2 else T0 + timedelta(microseconds=key * 1_000_003),
                "workingHours": None if key % 7 == 0 else Decimal(key - 500) / 8 + Decimal("0.000000001"),
                "lines": None if key % 9 == 0 else [line(f"{key}-{number}", number) for number in range(key % 4)],
                "_ambiguous": {"modifiedAt": "2024-10-27T02:30:00", "a": "b"} if key % 13 == 0 else None,
                "_op": op,
                "_changed_at": None if key % 2 else T0,
                "_version": version,
                "_run": f"run{version % 100}",
            }
            for key in keys
        ],
        schema=CHANGES,
    )


def write(folder: Path, name: str, table: pa.Table) -> AddAction:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, compression="zstd", row_group_size=100)
    stats = json.dumps({"numRecords": table.num_rows})
    return AddAction(name, (folder / name).stat().st_size, {}, 1_720_000_000_000, True, stats)


def commit(folder: Path, actions: list[AddAction | RemoveAction], transactions: dict[str, int]) -> None:
    marks = [Transaction(app, version) for app, version in transactions.items()]
    properties = CommitProperties(max_commit_retries=0, app_transactions=marks)
    table = DeltaTable(folder)
    table.create_write_transaction(actions, "append", table.schema(), commit_properties=properties)


def main(lake: Path) -> None:
    shutil.rmtree(lake, ignore_errors=True)
    first, second = int(T0.timestamp() * 1e6), int(T0.timestamp() * 1e6) + 86_400_000_000
    loaded = rows(range(1000), first)
    changed = pa.concat_tables([rows(range(990, 1010), second), rows(range(5), second, "delete")])

    changes = lake / "changes" / "xledger" / "timesheets"
    DeltaTable.create(changes, Schema.from_arrow(CHANGES))
    full = f"full_sync-20240711_21_17_09-timesheets.{first}-run1-1-0.parquet"
    commit(changes, [write(changes, full, loaded)], {"postroad": first, "feed:timesheets": 1})
    later = f"sync_changes-20240712_21_17_09-timesheets.{second}-run2-2-0.parquet"
    commit(changes, [write(changes, later, changed)], {"postroad": second, "feed:timesheets": 2})

    tables = lake / "tables" / "xledger" / "timesheets"
    DeltaTable.create(tables, Schema.from_arrow(BUSINESS))
    live = loaded.drop_columns("_op")
    parts = [write(tables, f"{first}-{part}.parquet", live.slice(part * 250, 250)) for part in range(4)]
    commit(tables, parts, {"postroad": first, "changes": first})
    upserts = changed.slice(0, 20).drop_columns("_op")
    rewritten = [
        write(tables, f"{second}-0.parquet", live.slice(5, 245)),
        write(tables, f"{second}-3.parquet", pa.concat_tables([live.slice(750, 240), upserts])),
    ]
    removed = [RemoveAction(parts[part].path, True, 1_720_086_400_000, parts[part].size, {}) for part in (0, 3)]
    commit(tables, [*rewritten, *removed], {"postroad": second, "changes": second})

    assert DeltaTable(tables).transaction_version("changes") == second


if __name__ == "__main__":
    main(Path(sys.argv[1]))
