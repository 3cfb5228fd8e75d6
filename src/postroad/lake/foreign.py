"""The files that another program left of an entity, read and never written: which of them count, and their rows.

`full_sync-<time>-<entity>.parquet` holds all rows of its moment, `sync_changes-<time>-<entity>.parquet` what changed
since the file before. The time is that program's own, to the second and without a zone: it orders the files and means
nothing else. A file may be empty or cut short, where that program wrote it in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from postroad.errors import ConfigError
from postroad.lake.names import FULL_SYNC, SYNC_CHANGES

BATCH = 10_000  # rows that are cast at once; their texts stand in memory several times over
BUFFER = 1_000_000  # bytes of each column; else a whole row group stands in memory, and it may be all rows
NAMED = re.compile(rf"({FULL_SYNC}|{SYNC_CHANGES})-(\d{{8}}_\d\d_\d\d_\d\d)-(\w+)\.parquet")


def files_of(folder: Path, entity: str) -> list[Path]:
    """The newest full sync of the entity and all later changes, in the order of their times; ConfigError without one.

    In the name an entity may be written `ar_transactions` or `arTransactions`.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; name the one that holds the files of {entity}")
    found = []
    for path in folder.iterdir():
        named = NAMED.fullmatch(path.name)
        if named is not None and _plain(named[3]) == _plain(entity):
            found.append((named[2], named[1], path))
    found.sort()
    begins = [at for at, (_, kind, _) in enumerate(found) if kind == FULL_SYNC]
    if not begins:
        raise ConfigError(f"{folder} holds no {FULL_SYNC}-<YYYYMMDD_HH_MM_SS>-{entity}.parquet")
    return [path for _, _, path in found[begins[-1] :]]


def rows_of(path: Path) -> Iterator[pa.RecordBatch]:
    """A file's rows; ConfigError where they cannot be read, or two columns have one name."""
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) as source:
            names = source.schema_arrow.names
            double = next((name for name in names if names.count(name) > 1), None)
            if double is not None:
                raise ConfigError(f"{path.name}: two of its columns are named {double}; leave one of them out")
            for batch in source.iter_batches(batch_size=BATCH, use_threads=False):
                batch.validate(full=True)  # texts of other writers may be no UTF-8
                yield batch
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path.name} cannot be read: {error}; get the file whole, or take it out of the folder and "
            "`postroad run --full-refresh` after adopting the others, which lack its rows"
        ) from error


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
