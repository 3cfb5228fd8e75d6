"""The files of the lake that no Delta log lists: staged pages and the complete file of the latest full sync.

Written only here: the table `files`. A row is written after its file is durable: a crash before it leaves litter, and
the pages are staged again from landing by the next run. Rows of dropped files go after the files themselves: a crash
between leaves rows whose files are gone, which the next close or publish of the dataset drops again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select

from postroad.records import key_text
from postroad.store.database import Database
from postroad.store.rows import Row, many
from postroad.store.schema import files, walks
from postroad.telemetry import Point

STAGED = "staged"
FULL_SYNC = "full_sync"
kept = files.alias("kept")


def _superseded() -> Select[tuple[str]]:
    newest = select(func.max(kept.c.walk)).where(kept.c.kind == FULL_SYNC, kept.c.dataset == files.c.dataset)
    ended = select(walks.c.id).where(walks.c.status.in_(("abandoned", "discarded", "closed")))
    full = (files.c.kind == FULL_SYNC) & (files.c.walk < newest.scalar_subquery())
    return select(files.c.path).where(full | ((files.c.kind == STAGED) & files.c.walk.in_(ended)))


# Made once: each publish of a dataset asks.
_SUPERSEDED = _superseded()
_SUPERSEDED_OF = _SUPERSEDED.where(files.c.dataset == bindparam("of_dataset"))


@dataclass(frozen=True)
class Part:
    """One sorted Parquet file of a walk, holding whole pages: payload numbers `first` to `last`.

    Listed, its keys are JSON: what is no text, number or truth value is the text that `key_text` gives it.
    """

    path: str
    rows: int
    size: int
    min_key: tuple[Any, ...] | None
    max_key: tuple[Any, ...] | None
    first: int = 0
    last: int = 0


class Files:
    """Staged and kept files by walk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, dataset: str, walk: int, part: Part, fence: Callable[[Connection], None]) -> None:
        """List a staged part that is durable, if the writer's claim is still good."""
        row = {
            "path": part.path,
            "dataset": dataset,
            "kind": STAGED,
            "walk": walk,
            "first_number": part.first,
            "last_number": part.last,
            "rows": part.rows,
            "size": part.size,
            "min_key": _json(part.min_key),
            "max_key": _json(part.max_key),
        }
        with self._database.write(Point.STAGED_ROW) as db:
            fence(db)
            db.execute(insert(files).values(**row))

    def parts(self, walk: int) -> list[Part]:
        """The staged parts of a walk in landing order."""
        with self._database.read() as db:
            wanted = (files.c.walk == walk) & (files.c.kind == STAGED)
            found = db.execute(select(files).where(wanted).order_by(files.c.first_number))
            return [_part(row) for row in many(found)]

    def forget(self, db: Connection, walk: int) -> None:
        """Within a closing transaction: the parts became members of the Delta table, which lists them from now on."""
        db.execute(delete(files).where(files.c.walk == walk))

    def keep(self, db: Connection, dataset: str, walk: int, parts: Sequence[Part]) -> None:
        """Within a closing transaction: these are the complete files of a full sync beside the table."""
        db.execute(delete(files).where(files.c.walk == walk))
        for part in parts:
            row = {"rows": part.rows, "size": part.size, "first_number": part.first, "last_number": part.last}
            db.execute(insert(files).values(path=part.path, dataset=dataset, kind=FULL_SYNC, walk=walk, **row))

    def superseded(self, dataset: str | None = None) -> list[str]:
        """The paths that are needed no more, of a dataset or all: of ended walks, and of full syncs but the newest."""
        with self._database.read() as db:
            if dataset is None:
                return list(db.execute(_SUPERSEDED).scalars())
            return list(db.execute(_SUPERSEDED_OF, {"of_dataset": dataset}).scalars())

    def drop(self, paths: Sequence[str]) -> None:
        """Forget files that were deleted."""
        with self._database.write(Point.FILES_DROPPED) as db:
            db.execute(delete(files).where(files.c.path.in_(paths)))

    def listed(self) -> list[Row]:
        """Every listed file, for `check`."""
        with self._database.read() as db:
            return many(db.execute(select(files).order_by(files.c.path)))


def _json(key: tuple[Any, ...] | None) -> Any:
    return None if key is None else json.loads(key_text(key))


def _part(row: Row) -> Part:
    low, high = row["min_key"], row["max_key"]
    return Part(
        row["path"],
        row["rows"],
        row["size"],
        tuple(low) if low is not None else None,
        tuple(high) if high is not None else None,
        row["first_number"],
        row["last_number"],
    )
