"""The current state of a dataset: one row per key, in files sorted by key.

Written by the `materialise` stage: files first, then one commit that exchanges only the files whose keys changed and
moves the position `changes` with them. The files of a first load lie ready when it closes: the `stage` stage has
written them beside those of `changes`, and they are moved in. A crash before the commit leaves files that no log entry
names, and the next materialise starts from the unmoved position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import pyarrow as pa

from postroad.lake import names
from postroad.lake.changes import Version, chained, resolved, versions_after
from postroad.lake.delta import Member
from postroad.lake.lake import CHANGES, Dataset, Hand, in_key_order
from postroad.lake.parquet import ROW_GROUP, ROWS_A_FILE, read_file, write_files
from postroad.lake.streams import Stream, Tally, applied, below, with_keys
from postroad.telemetry import Point

VERSIONS_AT_ONCE = 32
ROWS_AT_ONCE = 8 * ROW_GROUP  # of versions that share keys, which are open beside each other, a row group of each
ROOM = ROWS_A_FILE // 2  # by so much a file in the middle may grow before it is split


def materialise(dataset: Dataset, hand: Hand) -> Tally:
    """Bring the table to the head of `changes`; what that did to its rows."""
    position = dataset.table.action(CHANGES)
    versions = versions_after(dataset, None)
    # A table that is older than all of its history belongs to a history that somebody removed: it starts again.
    anew = bool(versions) and position is not None and position < versions[0][0]
    later = [group for group in versions if position is None or group[0] > position]
    tally = Tally()
    if position is None and later and _adopt(dataset, *later[0], hand):
        tally.new += sum(member.rows for member in later.pop(0)[1])
    for group in _groups(chained(dataset, later)):
        _commit(dataset, group, hand, tally, anew=anew)
        anew = False
    return tally


def _groups(chains: Sequence[Sequence[Version]]) -> Iterator[list[Version]]:
    """As many versions at a time as one commit takes, and memory has room for."""
    group: list[Version] = []
    rows = 0
    for chain_ in chains:
        its = min(ROW_GROUP, sum(member.rows for _, members in chain_ for member in members))
        if group and rows + its > ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        rows += its
        for version in chain_:
            if len(group) == VERSIONS_AT_ONCE:
                yield group
                group, rows = [], its
            group.append(version)
    if group:
        yield group


def rows_of(dataset: Dataset, wanted: pa.Table) -> pa.Table:
    """The current rows of a few sorted keys; only the files that may hold them are read."""
    key = dataset.entity.key
    found = [dataset.table_schema.empty_table()]
    members = in_key_order(dataset.table.members(), dataset.entity)
    bounds = [tuple(member.minimum[name] for name in key) for member in members[1:]]
    pieces = below(iter([wanted] if wanted.num_rows else []), key, [*bounds, None])
    for member, piece in zip(members, pieces, strict=True):
        slices = list(piece)
        if slices:
            looked_up = pa.concat_tables(slices)
            rows = read_file(dataset.disk, f"{dataset.table.folder}/{member.path}", dataset.table_schema)
            found += [with_keys(each, looked_up, key) for each in rows]
    return pa.concat_tables(found)


def _adopt(dataset: Dataset, version: int, members: Sequence[Member], hand: Hand) -> bool:
    """Take in the files that a first load has laid ready beside its own; False if they are not all there.

    Each was durable before its twin was listed; a kill while they are moved finds them under either name.
    """
    staged, folder, disk = f"{dataset.changes.folder}/{names.STAGED}", dataset.table.folder, dataset.disk
    ready = [names.twin(member.path) for member in members]
    if not all(disk.exists(f"{staged}/{name}") or disk.exists(f"{folder}/{name}") for name in ready):
        return False
    adds = []
    for name, member in zip(ready, members, strict=True):
        disk.move(f"{staged}/{name}", f"{folder}/{name}")
        low, high = ({key: bound[key] for key in dataset.entity.key} for bound in (member.minimum, member.maximum))
        adds.append(Member(name, member.rows, disk.size(f"{folder}/{name}"), low, high))
    disk.watcher(Point.CLOSE_MOVED)
    positions = {CHANGES: version}
    dataset.table.commit(dataset.table_schema, version, adds, (), positions, point=Point.TABLE_COMMIT, check=hand.check)
    return True


def _commit(dataset: Dataset, versions: Sequence[Version], hand: Hand, tally: Tally, *, anew: bool) -> None:
    version = versions[-1][0]
    members = in_key_order(dataset.table.members(), dataset.entity)
    pending = resolved(dataset, versions)
    if anew or not members:
        rows = applied(iter(()), pending, dataset.entity.key, tally)
        adds, removes = _write(dataset, rows, version, hand, 0, ROWS_A_FILE), members
    else:
        adds, removes = _rewrite(dataset, members, pending, version, hand, tally)
    dataset.table.commit(
        dataset.table_schema,
        version,
        adds,
        removes,
        {CHANGES: version},
        point=Point.TABLE_COMMIT,
        check=hand.check,
    )
    dataset.table.tidy()


def _rewrite(
    dataset: Dataset, members: Sequence[Member], pending: Stream, version: int, hand: Hand, tally: Tally
) -> tuple[list[Member], list[Member]]:
    """Write the files whose keys changed anew; (files in, files out)."""
    key = dataset.entity.key
    adds: list[Member] = []
    removes: list[Member] = []
    bounds = [tuple(member.minimum[name] for name in key) for member in members[1:]]
    for member, slice_, bound in zip(members, below(pending, key, [*bounds, None]), [*bounds, None], strict=True):
        first: pa.Table | None = next(slice_, None)
        if first is None:
            continue
        old = read_file(dataset.disk, f"{dataset.table.folder}/{member.path}", dataset.table_schema)
        rows = applied(old, chain([first], slice_), key, tally)
        most = ROWS_A_FILE + (ROOM if bound is not None else 0)
        adds += _write(dataset, rows, version, hand, len(adds), most)
        removes.append(member)
    return adds, removes


def _write(dataset: Dataset, rows: Stream, version: int, hand: Hand, parts: int, most: int) -> list[Member]:
    def name(part: int) -> str:
        return names.file_name(names.TABLE, dataset.entity.name, version, hand.run, hand.token, parts + part)

    schema, key = dataset.table_schema, dataset.entity.key
    return write_files(dataset.disk, dataset.table.folder, rows, schema, key, name, Point.TABLE_FILE, most)
