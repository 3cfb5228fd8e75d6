"""Names of files in `changes` and `tables` (design section 6; sequence 10).

`<kind>-<time>-<entity>.<version>-<run>-<token>-<part>.parquet`: the time is the version to the second in UTC, so sorted
names are commit order; run, token and part keep a continuation from colliding with what a dead attempt left.
"""

from __future__ import annotations

from datetime import UTC, datetime

FULL_SYNC = "full_sync"
SYNC_CHANGES = "sync_changes"
TABLE = "table"
STAGED = "_staged"


def twin(path: str) -> str:
    """The file beside a staged part of a full sync that holds the same rows ready for the table."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.replace(FULL_SYNC, TABLE, 1)}".lstrip("/")


def file_name(kind: str, entity: str, version: int, run: str, token: str, part: int) -> str:
    """The name of one Parquet file."""
    stamp = datetime.fromtimestamp(version / 1e6, UTC)
    # The version is padded so that names within one second sort as versions do.
    return f"{kind}-{stamp:%Y%m%d_%H_%M_%S}-{entity}.{version:019d}-{run}-{token[:8]}-{part:05d}.parquet"
