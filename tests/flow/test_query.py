"""What a query opens of a lake, and what it can tell of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postroad.catalog import query
from postroad.errors import ConfigError
from tests.flow.harness import World

ALL = {"timesheets", "timesheets_changes", "projects", "projects_changes"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The views that were made."""
    found: list[str] = []
    view = query._view

    def noted(*given: Any) -> None:
        found.append(given[-1])
        view(*given)

    monkeypatch.setattr(query, "_view", noted)
    return found


@pytest.fixture
def two(folder: Path) -> Iterator[World]:
    """A lake of two datasets."""
    with World(folder, entities=("timesheets", "projects"), timesheets=5) as world:
        world.sync()
        yield world


def ask(world: World, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ask(lambda app: app.datasets.query(sql).to_pylist())
    return found


def test_only_what_a_query_names_is_opened(two: World, opened: list[str]) -> None:
    """In any case of letters: DuckDB's names have none."""
    assert ask(two, "select count(*) as n from xledger.TimeSheets") == [{"n": 5}]
    assert set(opened) == {"timesheets", "timesheets_changes"}


def test_what_there_is_is_told_whole(two: World) -> None:
    """By every way to ask for it, and where several statements stand in one query."""
    for sql in (
        "SHOW ALL TABLES",
        "select table_name as name from information_schema.tables where table_name <> 'timesheets_'",
        "select view_name as name from duckdb_views() where view_name <> 'timesheets_' and not internal",
        "create table timesheets as select 1; SHOW ALL TABLES",
    ):
        assert {row["name"] for row in ask(two, sql)} == ALL, sql


def test_a_mistake_is_told_with_what_is_near_in_the_whole_lake(two: World, opened: list[str]) -> None:
    """Also of a dataset that the query does not name."""
    with pytest.raises(ConfigError, match='Did you mean "projects"'):
        ask(two, "select * from xledger.timesheets, xledger.projets")
    assert (len(opened), set(opened)) == (4, ALL), "each once"
