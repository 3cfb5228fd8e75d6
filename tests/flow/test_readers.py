"""Readers that we did not write see the same tables: pandas, DuckDB, Polars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from postroad import App, Connection, Project, Sync
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.sdk.secrets import Secret
from tests.flow.expected import FIELDS
from tests.flow.lake_reader import Row
from tests.flow.shown import entity_shown

COLUMNS = [path.replace(".", "_") for path in FIELDS]


def by_pandas(table: Path) -> pa.Table:
    """The files of the newest version, read by pandas and shown by column."""
    frames = [pd.read_parquet(uri, dtype_backend="pyarrow") for uri in DeltaTable(str(table)).file_uris()]
    return pa.Table.from_pandas(pd.concat(frames), preserve_index=False)


def by_duckdb(table: Path) -> pa.Table:
    """The same files, read by DuckDB's Parquet reader."""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        return database.read_parquet(DeltaTable(str(table)).file_uris()).to_arrow_table()


def by_polars(table: Path) -> pa.Table:
    """The folder as a Delta table, scanned by Polars."""
    return pl.read_delta(str(table)).to_arrow()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[int, Row]]]:
    """A lake after a first load and changes, and what its table must show."""
    folder = tmp_path_factory.mktemp("readers")
    with XledgerSimulator(seed=11, timesheets=600, burst=None, concurrency=None) as company:
        settings = XledgerSettings.model_validate(
            {"url": company.url, "token": Secret.literal(company.token), "page_size": 100}
        )
        connections = {"xledger": Connection("xledger", "xledger", settings)}
        project = Project("p", folder, connections=connections, syncs=(Sync("xledger", ("timesheets",)),))
        with App(project) as app:
            assert app.runs.start().exit_code == 0
            company.mutate(20)
            company.delete(5)
            company.add(10)
            assert app.runs.start().exit_code == 0
        yield folder / "lake", {key: row for (key,), row in entity_shown(company, "timesheets").readable().items()}


@pytest.mark.parametrize("read", [by_pandas, by_duckdb, by_polars])
def test_tables_show_what_the_remote_system_shows(
    world: tuple[Path, dict[int, Row]], read: Callable[[Path], pa.Table]
) -> None:
    """Keys, texts, decimals, dates and instants, row by row."""
    lake, truth = world
    assert plain(read(lake / "tables/xledger/timesheets")) == {key: simple(row) for key, row in truth.items()}


@pytest.mark.parametrize("read", [by_pandas, by_duckdb, by_polars])
def test_changes_in_version_order_come_to_the_same(
    world: tuple[Path, dict[int, Row]], read: Callable[[Path], pa.Table]
) -> None:
    """The last change of each key, deletes left out."""
    lake, truth = world
    history = read(lake / "changes/xledger/timesheets").sort_by([("_version", "ascending"), ("dbId", "ascending")])
    rows = history.to_pylist()
    last = {row["dbId"]: row for row in rows}
    kept = {key: simple(row) for key, row in last.items() if row["_op"] == "upsert"}
    assert kept == {key: simple(row) for key, row in truth.items()}


def plain(table: pa.Table) -> dict[int, dict[str, Any]]:
    """Business columns by key."""
    return {row["dbId"]: simple(row) for row in table.to_pylist()}


def simple(row: dict[str, Any]) -> dict[str, Any]:
    """The business columns of a row as Python values that compare, whatever Arrow type a reader chose for them."""
    return {name: row[name] for name in COLUMNS}
