"""The history of a dataset: what is pending for its table, and commits on it.

A member of `changes` is written durably before the commit that names it. A crash before the commit leaves a file that
no log entry names; the stage that wrote it does its work again from its unmoved position, under a new version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from postroad.lake.delta import Member
from postroad.lake.lake import FEED, Dataset, Hand, in_key_order
from postroad.lake.names import SYNC_CHANGES
from postroad.lake.parquet import ROWS_A_FILE, read_files, write_files
from postroad.lake.streams import Stream, latest
from postroad.telemetry import Point

Version = tuple[int, list[Member]]


def append(dataset: Dataset, rows: pa.Table, version: int, hand: Hand, feeds: Mapping[str, int]) -> None:
    """Commit rows (sorted, one per key; maybe none) and the payloads that were applied with them."""
    stream = iter([dataset.stamped(rows, version, hand.run)] if rows.num_rows else [])
    members = write_changes(dataset, dataset.changes.folder, stream, version, hand)
    commit(dataset, members, version, hand, feeds)


def write_changes(dataset: Dataset, folder: str, rows: Stream, version: int, hand: Hand) -> list[Member]:
    """Write stamped rows as `sync_changes` files into a folder, durably and not yet committed."""

    def name(part: int) -> str:
        return dataset.name_changes(SYNC_CHANGES, version, hand, part)

    schema, key = dataset.changes_schema, dataset.entity.key
    return write_files(dataset.disk, folder, rows, schema, key, name, Point.CHANGES_FILE, ROWS_A_FILE)


def commit(dataset: Dataset, members: Sequence[Member], version: int, hand: Hand, feeds: Mapping[str, int]) -> None:
    """Commit members, which may be none, with the last payload of each feed that they hold."""
    positions = {FEED + feed: number for feed, number in feeds.items()}
    stamped = [with_version(member, version) for member in members]
    dataset.changes.commit(
        dataset.changes_schema, version, stamped, positions=positions, point=Point.CHANGES_COMMIT, check=hand.check
    )
    dataset.changes.tidy()


def with_version(member: Member, version: int) -> Member:
    """The member with its rows' version in its statistics, by which readers and we ourselves skip files."""
    low, high = {**member.minimum, "_version": version}, {**member.maximum, "_version": version}
    return Member(member.path, member.rows, member.size, low, high)


def versions_after(dataset: Dataset, position: int | None) -> list[Version]:
    """The members above a version, grouped by version, oldest first."""
    members = sorted(dataset.changes.members(), key=lambda member: (member.maximum["_version"], member.path))
    later = [member for member in members if position is None or member.maximum["_version"] > position]
    return [(version, list(group)) for version, group in groupby(later, lambda member: member.maximum["_version"])]


def chained(dataset: Dataset, versions: Sequence[Version]) -> list[list[Version]]:
    """Versions in a row that share no key, such as those of one sorted file, together: they are read one by one."""
    key = dataset.entity.key
    chains: list[list[Version]] = []
    taken: list[tuple[Any, Any]] = []  # the keys of the last chain: first and last of each version
    for version in versions:
        low = min((tuple(member.minimum[name] for name in key) for member in version[1]), default=())
        high = max((tuple(member.maximum[name] for name in key) for member in version[1]), default=())
        if not chains or any(low <= last and first <= high for first, last in taken):
            chains.append([])
            taken = []
        chains[-1].append(version)
        taken += [(low, high)] if version[1] else []
    return chains


def resolved(dataset: Dataset, versions: Sequence[Version]) -> Stream:
    """The last row of each key in these versions, in key order."""
    streams = []
    for chain in chained(dataset, versions):
        members = in_key_order([member for _, members in chain for member in members], dataset.entity)
        paths = [f"{dataset.changes.folder}/{member.path}" for member in members]
        streams.append(read_files(dataset.disk, paths, dataset.changes_schema))
    return latest(streams, dataset.entity.key)
