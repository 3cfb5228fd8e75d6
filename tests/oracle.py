"""The law for a project on disk, whoever worked on it: what its lake and its books must say of a company.

Nothing of the product takes part: values are converted by `tests.flow.expected`, the lake is read by
`tests.flow.lake_reader`, the books by SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.flow.expected import CHANGES_TYPES, COLUMNS, TABLE_TYPES, UnreadableError, converted
from tests.flow.lake_reader import Table, read_table

KEY = "dbId"
TIMESHEETS = COLUMNS
FINAL = {"succeeded", "partly_succeeded", "failed", "cancelled", "lost"}

Row = dict[str, Any]
Rows = dict[int, Row]


@dataclass(frozen=True)
class Books:
    """What the tracking database says: runs, listed files, payloads, the keys of open rejections."""

    runs: list[Row]
    files: list[Row]
    payloads: list[Row]
    refused: frozenset[int]


def expected(nodes: Mapping[int, Any]) -> Rows:
    """The rows that a table must show for the timesheets that the simulator shows."""
    return {key: converted(node) for key, node in nodes.items()}


def unreadable(nodes: Mapping[int, Any]) -> set[int]:
    """The timesheets with a value that no column can hold."""
    found = set()
    for key, node in nodes.items():
        try:
            converted(node)
        except UnreadableError:
            found.add(key)
    return found


def table(lake: Path, dataset: str) -> Rows:
    """The current state by key; asserts the types of its columns and that no key is there twice."""
    rows = _rows(read_table(lake / "tables" / dataset), TABLE_TYPES)
    found = {row[KEY]: row for row in rows}
    assert len(found) == len(rows), f"tables/{dataset} holds a key twice"
    return found


def replayed(lake: Path, dataset: str) -> Rows:
    """What `changes` comes to when it is read in the order of `_version`."""
    rows = _rows(read_table(lake / "changes" / dataset), CHANGES_TYPES)
    assert len({(row["_version"], row[KEY]) for row in rows}) == len(rows), (
        f"changes/{dataset}: a key twice in a commit"
    )
    found: Rows = {}
    for row in sorted(rows, key=lambda row: row["_version"]):
        if row["_op"] == "delete":
            found.pop(row[KEY], None)  # Added and deleted between two polls, it was never there.
        else:
            found[row[KEY]] = {name: value for name, value in row.items() if name != "_op"}
    return found


def books(database: Path) -> Books:
    """The tracking database, read without our code."""
    with closing(sqlite3.connect(database, timeout=30)) as db:
        db.row_factory = sqlite3.Row

        def read(query: str) -> list[Row]:
            return [dict(row) for row in db.execute(query)]

        open_ones = read("select key from rejections where status = 'rejected' and key is not null")
        return Books(
            runs=read("select * from runs order by started_at, id"),
            files=read("select * from files"),
            payloads=read("select * from payloads order by landing"),
            refused=frozenset(json.loads(row["key"])[0] for row in open_ones),
        )


def assert_law(
    folder: Path, nodes: Mapping[int, Any], *, dataset: str = "xledger/timesheets", dead: Collection[int] = ()
) -> None:
    """`tables` and `changes` equal what the simulator shows, rows aside that cannot be read and are listed as rejected;
    every run ended, or its process is dead (one of `dead`), which shows it as lost; every listed file exists.
    """
    lake, told = folder / "lake", books(folder / "postroad.db")
    bad = unreadable(nodes)
    assert told.refused == bad, f"rejected are {sorted(told.refused)} and not {sorted(bad)}"
    current = table(lake, dataset)
    truth = expected({key: node for key, node in nodes.items() if key not in bad})
    assert_same(truth, current, bad, f"tables/{dataset}")
    assert_same(current, replayed(lake, dataset), (), f"changes/{dataset}")
    assert_runs(told.runs, dead)
    assert_files(lake, told)


def assert_same(truth: Rows, found: Rows, aside: Collection[int], where: str) -> None:
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
