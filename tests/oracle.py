"""The law for a project on disk, whoever worked on it: what its lake and its books must say of a company.

Nothing of the product takes part: what must be there is said by `tests.flow.shown`, the lake is read by
`tests.flow.lake_reader`, the books by SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from tests.flow.lake_reader import Table, read_table
from tests.flow.shown import Key, Shown

FINAL = {"succeeded", "partly_succeeded", "failed", "cancelled", "lost"}

Row = dict[str, Any]
Rows = dict[Key, Row]


@dataclass(frozen=True)
class Books:
    """What the tracking database says: runs, listed files, payloads, the keys of open rejections by dataset."""

    runs: list[Row]
    files: list[Row]
    payloads: list[Row]
    refused: Mapping[str, set[Key]]


def table(lake: Path, shown: Shown) -> Rows:
    """The current state by key; asserts the types of its columns and that no key is there twice."""
    rows = _rows(read_table(lake / "tables" / shown.path), shown.table_types)
    found = {shown.key_of(row): row for row in rows}
    assert len(found) == len(rows), f"tables/{shown.path} holds a key twice"
    return found


def replayed(lake: Path, shown: Shown) -> Rows:
    """What `changes` comes to when it is read in the order of `_version`."""
    rows = _rows(read_table(lake / "changes" / shown.path), shown.changes_types)
    assert len({(row["_version"], shown.key_of(row)) for row in rows}) == len(rows), (
        f"changes/{shown.path}: a key twice in a commit"
    )
    found: Rows = {}
    for row in sorted(rows, key=lambda row: row["_version"]):
        if row["_op"] == "delete":
            found.pop(shown.key_of(row), None)  # Added and deleted between two polls, it was never there.
        else:
            found[shown.key_of(row)] = {name: value for name, value in row.items() if name != "_op"}
    return found


@contextmanager
def asking(database: Path | str) -> Iterator[Callable[[str], list[Row]]]:
    """Questions to a tracking database, a file of SQLite or an address of PostgreSQL; JSON comes as text from both."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(database, timeout=30)) as file:
            file.row_factory = sqlite3.Row
            yield lambda query: [dict(row) for row in file.execute(query)]
        return
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as server:
        server.adapters.register_loader("json", TextLoader)
        yield lambda query: server.execute(query).fetchall()


def books(database: Path | str) -> Books:
    """The tracking database, read without our code."""
    with asking(database) as read:
        refused: dict[str, set[Key]] = {}
        for row in read("select connection, entity, key from rejections where status = 'rejected' and key is not null"):
            refused.setdefault(f"{row['connection']}.{row['entity']}", set()).add(tuple(json.loads(row["key"])))
        return Books(
            runs=read("select * from runs order by started_at, id"),
            files=read("select * from files"),
            payloads=read("select * from payloads order by landing"),
            refused=refused,
        )


def assert_law(
    folder: Path, datasets: Sequence[Shown], *, dead: Collection[int] = (), server: str | None = None
) -> None:
    """`tables` and `changes` equal what the sources show, rows aside that cannot be read and are listed as rejected;
    every run ended, or its process is dead (one of `dead`), which shows it as lost; every listed file exists.
    The books are in the project's folder, or at an address of PostgreSQL.
    """
    lake, told = folder / "lake", books(server or folder / "postroad.db")
    for shown in datasets:
        bad = {key for key, row in shown.source().items() if row is None}
        refused = told.refused.get(shown.name, set())
        assert refused == bad, f"{shown.name}: rejected are {sorted(refused)} and not {sorted(bad)}"
        current = table(lake, shown)
        assert_same(shown.readable(), current, bad, f"tables/{shown.path}")
        assert_same(current, replayed(lake, shown), (), f"changes/{shown.path}")
    assert_runs(told.runs, dead)
    assert_files(lake, told)


def assert_received(folder: Path, datasets: Sequence[Shown], receiver: str) -> None:
    """The tables of a receiver on SQLite show what the lake's tables do, each row in the same version."""
    with closing(sqlite3.connect(folder / f"{receiver}.db")) as db:
        db.row_factory = sqlite3.Row
        for shown in datasets:
            types = {**shown.columns, "_version": pa.int64()}
            current = {key: {name: row[name] for name in types} for key, row in table(folder / "lake", shown).items()}
            rows = [_stored(row, types) for row in db.execute(f'select * from "{shown.entity}" where not _deleted')]
            received = {shown.key_of(row): row for row in rows}
            assert len(received) == len(rows), f"{receiver}.{shown.entity} holds a key twice"
            assert_same(current, received, (), f"{receiver}.{shown.entity}")


def _stored(row: sqlite3.Row, types: Mapping[str, pa.DataType]) -> Row:
    """A row with the values that SQLite keeps as texts."""
    return {name: row[name] if row[name] is None else _value(row[name], kind) for name, kind in types.items()}


def _value(stored: Any, kind: pa.DataType) -> Any:
    if pa.types.is_decimal(kind):
        return Decimal(stored)
    if pa.types.is_date(kind):
        return date.fromisoformat(stored)
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(stored)
    return bool(stored) if pa.types.is_boolean(kind) else stored


def assert_same(truth: Rows, found: Rows, aside: Collection[Key], where: str) -> None:
    """Equal by key and value; says the first differences."""
    said = [f"{key} is missing" for key in truth if key not in found and key not in aside]
    said += [f"{key} should not be there" for key in found if key not in truth and key not in aside]
    for key in truth.keys() & found.keys() - set(aside):
        said += [
            f"{key}.{name}: {found[key].get(name)!r} instead of {value!r}"
            for name, value in truth[key].items()
            if found[key].get(name) != value
        ]
    assert not said, f"{where}: {len(said)} differences: " + "; ".join(said[:8])


def assert_runs(runs: Sequence[Row], dead: Collection[int]) -> None:
    """Every run has a final status. One that still says `running` was held by a process that is dead."""
    for run in runs:
        if run["status"] == "running":
            assert json.loads(run["holder"])["pid"] in dead, f"nobody runs {run['id']}, which says it is running"
        else:
            assert run["status"] in FINAL, f"{run['id']} is {run['status']}"
            assert run["ended_at"] is not None, f"{run['id']} is {run['status']} and never ended"
        if run["status"] == "lost":
            assert run["successor"] in {each["id"] for each in runs}, f"{run['id']} was lost to nobody"


def assert_files(lake: Path, told: Books) -> None:
    """Every file that the books list is there."""
    gone = [row["path"] for row in [*told.files, *told.payloads] if not (lake / row["path"]).is_file()]
    assert not gone, f"{len(gone)} listed files are gone: {gone[:3]}"
    for row in told.files:
        assert (lake / row["path"]).stat().st_size == row["size"], f"{row['path']} is not of its size"


def _rows(found: Table, types: Mapping[str, Any]) -> list[Row]:
    for file in found.files():
        assert {each.name: each.type for each in file.schema} == types, f"{found.folder}: {file.schema}"
    return found.rows()
