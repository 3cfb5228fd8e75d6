"""Audit files: what was said of messages that tracking has forgotten, one row a message.

`audit/messages/messages-<time>-<token>.parquet`, sorted by subscription and version, in small row groups whose
statistics say which of them to read. A file is durable before anything relies on it; a crash before that leaves litter.
It is kept for ever, as landing is. Keys and sentences of rejections are in it as the receiver said them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from postroad.lake.disk import Disk
from postroad.lake.parquet import SortedFile
from postroad.telemetry import Point

FOLDER = "audit/messages"
GROUP = 5_000  # messages of a row group
KEY = ("subscription", "from_version")
TABLES = "tables/"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_AT = pa.timestamp("us", tz="UTC")
_SLICE = pa.struct({"path": pa.string(), "first": pa.int64(), "rows": pa.int64(), "size": pa.int64(),
                    "told": pa.bool_()})  # fmt: skip
_MOVE = pa.struct({"before": pa.string(), "after": pa.string(), "reason": pa.string(), "actor": pa.string(),
                   "attempt": pa.int32(), "moved_at": _AT})  # fmt: skip
_REJECTION = pa.struct({"id": pa.int64(), "row": pa.int64(), "key": pa.string(), "version": pa.int64(),
                        "cause": pa.string(), "sentence": pa.string(), "status": pa.string(), "reason": pa.string(),
                        "rejected_at": _AT, "closed_at": _AT})  # fmt: skip
SCHEMA = pa.schema({
    "id": pa.int64(), "subscription": pa.string(), "dataset": pa.string(), "number": pa.int64(), "parent": pa.int64(),
    "batch": pa.int64(), "batches": pa.int64(), "from_version": pa.int64(), "to_version": pa.int64(),
    "begins": pa.bool_(), "slices": pa.list_(_SLICE), "records": pa.int64(), "status": pa.string(),
    "reason": pa.string(), "attempts": pa.int32(), "handovers": pa.int32(), "handed_at": _AT, "dispatched_at": _AT,
    "settled_at": _AT, "moves": pa.list_(_MOVE), "rejections": pa.list_(_REJECTION),
})  # fmt: skip
_ASKED = [name for name in SCHEMA.names if name != "moves"]

Facts = Mapping[str, Any]  # a message's row of tracking, with its `moves` and `rejections`


class AuditFile:
    """One audit file being written; messages come by subscription and version."""

    def __init__(self, disk: Disk, at: int, token: str) -> None:
        name = f"messages-{EPOCH + timedelta(microseconds=at):%Y%m%d_%H_%M_%S}-{token}.parquet"
        self.path = f"{FOLDER}/{name}"
        self._file = SortedFile(disk, self.path, SCHEMA, KEY, Point.AUDIT_FILE, GROUP)
        self._ranges: list[pa.Table] = []

    def write(self, messages: Sequence[Facts]) -> None:
        """Append messages."""
        rows = pa.Table.from_pylist([_stored(each) for each in messages], SCHEMA)
        self._file.write(rows)
        self._ranges.append(rows.select(["subscription", "from_version", "to_version", "begins", "id"]))

    def close(self) -> list[dict[str, Any]]:
        """Finish the file durably; of each subscription in it the versions and the number of its messages."""
        self._file.close()
        sums = [("from_version", "min"), ("to_version", "max"), ("begins", "max"), ("id", "count")]
        found = pa.concat_tables(self._ranges).group_by("subscription").aggregate(sums)
        names = {"from_version_min": "from_version", "to_version_max": "to_version", "begins_max": "begins",
                 "id_count": "messages"}  # fmt: skip
        listed: list[dict[str, Any]] = found.rename_columns(
            [names.get(name, name) for name in found.column_names]
        ).to_pylist()
        return listed

    def discard(self) -> None:
        """Drop a file that is not wanted after all."""
        self._file.discard()


def kept(
    disk: Disk, path: str, subscription: str, version: int | None, place: str, key: str
) -> tuple[list[Facts], list[Facts]]:
    """What a file knows of a key: messages that name a file, or one below a folder that ends with `/`, and rejections.

    Of messages of that subscription with records of that version; of None, those that it began with. Both have the
    columns of tracking. FileNotFoundError if the file is gone, an Arrow error or OSError if it is damaged.
    """
    messages: list[Facts] = []
    refused: list[Facts] = []
    for rows in _rows(disk, path, subscription, version):
        refused += _refused(rows, key)
        slices = rows.column("slices").combine_chunks()
        paths = pc.struct_field(pc.list_flatten(slices), "path")
        named = pc.starts_with(paths, place) if place.endswith("/") else pc.equal(paths, place)
        places = pc.unique(pc.list_parent_indices(slices).filter(named))
        messages += map(_message, rows.drop_columns(["rejections"]).take(places).to_pylist())
    return messages, refused


def _rows(disk: Disk, path: str, subscription: str, version: int | None) -> Iterator[pa.Table]:
    """The messages that were asked for, a row group at a time."""
    with disk.open(path) as source, pq.ParquetFile(source) as file:
        for number in range(file.num_row_groups):
            if not _may_hold(file.metadata.row_group(number), subscription, version):
                continue
            rows = file.read_row_group(number, _ASKED, use_threads=False)
            mine = pc.equal(rows.column("subscription"), subscription)
            if version is None:
                asked = rows.column("begins")
            else:
                asked = pc.and_(
                    pc.less_equal(rows.column("from_version"), version),
                    pc.greater_equal(rows.column("to_version"), version),
                )
            yield rows.filter(pc.and_(mine, asked))


def _may_hold(group: Any, subscription: str, version: int | None) -> bool:
    """Whether a row group's statistics allow a message that is asked for."""
    found = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.is_stats_set and column.statistics.has_min_max:
            found[column.path_in_schema] = column.statistics
    with suppress(KeyError):
        if not found["subscription"].min <= subscription <= found["subscription"].max:
            return False
        if version is None:
            return bool(found["begins"].max)
        return bool(found["from_version"].min <= version <= found["to_version"].max)
    return True


def _refused(rows: pa.Table, key: str) -> list[Facts]:
    """The rejections of a key, as tracking had them."""
    lists = rows.column("rejections").combine_chunks()
    flat = pc.list_flatten(lists)
    mine = pc.equal(pc.struct_field(flat, "key"), key)
    whose = rows.select(["id", "subscription", "dataset"]).take(pc.list_parent_indices(lists).filter(mine))
    return [
        _rejection(message, refused)
        for message, refused in zip(whose.to_pylist(), flat.filter(mine).to_pylist(), strict=True)
    ]


def _stored(facts: Facts) -> dict[str, Any]:
    """A message as a row of the file."""
    slices = [dict(zip(("path", "first", "rows", "size", "told"), (*each, False), strict=False))
              for each in facts["slices"]]  # fmt: skip
    begins = any(each["path"].startswith(TABLES) for each in slices)
    return {**facts, "slices": slices, "begins": begins}


def _message(row: dict[str, Any]) -> Facts:
    slices = [[*list(each.values())[:4], *([True] if each["told"] else [])] for each in row["slices"]]
    return {**_in_microseconds(row), "slices": slices}


def _rejection(message: Facts, refused: dict[str, Any]) -> Facts:
    connection, _, entity = (message["dataset"] or "").partition(".")
    origin = {"connection": connection, "entity": entity, "stage": "deliver", "payload": message["id"], "walk": None}
    told = {"subscription": message["subscription"], "run": message["subscription"], "file": None}
    return {**_in_microseconds(refused), **origin, **told}


def _in_microseconds(row: dict[str, Any]) -> dict[str, Any]:
    """Times as tracking has them."""
    return {
        name: (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value
        for name, value in row.items()
    }
