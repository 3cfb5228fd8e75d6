"""What the simulator answers, seen through the connector with the shipped example's settings, over real sockets."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.excel_link import connector
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT, SUBSIDIARIES, TABLES
from postroad.connectors.excel_link.source import ExcelLinkSource
from postroad.errors import RemoteError, TransientError
from postroad.project import init_project, load_project
from postroad.records import Json
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools
from tests.unit.excel_link.workbooks import NOW, fetched, parsed

Row = dict[str, Any]


@pytest.fixture
def server() -> Iterator[ExcelLinkSimulator]:
    with ExcelLinkSimulator(seed=1) as server:
        server.clock.set(NOW)
        server.refresh(1)
        yield server


@pytest.fixture
def source(server: ExcelLinkSimulator, tmp_path: Path) -> ExcelLinkSource:
    return opened(server, tmp_path)


def opened(server: ExcelLinkSimulator, folder: Path) -> ExcelLinkSource:
    """The example's source on that server."""
    init_project(folder, connector.name)
    links = {f"{table.replace('.', '_').upper()}_LINK": url for table, url in server.links().items()}
    (folder / ".env").write_text("".join(f"{name}='{url}'\n" for name, url in links.items()))
    settings = load_project(folder).settings("links")
    return ExcelLinkSource(settings, Tools(MemoryBudget(lambda: NOW), lambda: NOW, lambda _: None))


def rows(source: ExcelLinkSource, name: str, cursor: Json = None) -> list[Row]:
    """The rows of one feed, of which none may be refused."""
    (payload,) = fetched(source, cursor, name)
    accepted, refused = parsed(source, payload, name)
    assert not refused
    return accepted


def test_every_table_arrives_as_it_is(server: ExcelLinkSimulator, source: ExcelLinkSource) -> None:
    feeds = [feed.name for feed in source.discover()]
    assert feeds == [
        "employee_groups",
        "employment_types",
        "cost_categories",
        "project_cost_setups",
        "cost_element_per_time_type",
        *(f"part_time_employees.{name}" for name in SUBSIDIARIES),
        "financial_results.2026-01",
        "financial_results.2026-02",
        "financial_results.2026-03",
    ]
    for name in feeds[:5]:
        truth = [tuple(row.values()) for row in server.rows(name)]
        found = [tuple(row.values()) for row in rows(source, name)]
        assert [row[0] for row in found] == [row[0] for row in truth]
        assert len(set(found)) == len(truth) > 20
    setups = {row["Object_Value"]: row for row in rows(source, "project_cost_setups")}
    truth_setups = {row["Object Value"]: row for row in server.rows("project_cost_setups")}
    assert {key: row["Rate"] for key, row in setups.items()} == {key: row["Rate"] for key, row in truth_setups.items()}
    assert rows(source, "cost_categories")[0]["Code"] == "0010"


def test_the_links_filters_leave_out_the_dummy_row_and_other_periods(
    server: ExcelLinkSimulator, source: ExcelLinkSource
) -> None:
    assert len(server.rows("part_time_employees.holding")) == 1
    assert rows(source, "part_time_employees.holding") == []
    assert len(rows(source, "part_time_employees.inc")) == len(server.rows("part_time_employees.inc")) - 1
    found = rows(source, "financial_results.2026-02")
    assert {row["period_name"] for row in found} == {row["period"] for row in found} == {"2026-02"}


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_the_other_endings_hold_the_same_rows(
    server: ExcelLinkSimulator, source: ExcelLinkSource, tmp_path: Path, ending: str
) -> None:
    wanted = rows(source, "cost_element_per_time_type")
    env = tmp_path / ".env"
    env.write_text(env.read_text().replace(".xlsx", f".{ending}"))
    assert rows(source, "cost_element_per_time_type") == wanted


def test_an_export_differs_in_bytes_and_is_unchanged_all_the_same(
    server: ExcelLinkSimulator, source: ExcelLinkSource
) -> None:
    server.switch(etag=False)
    (first,) = fetched(source, name="employee_groups")
    assert first.cursor["etag"] is None
    server.advance(days=1)
    assert fetched(source, first.cursor, "employee_groups") == []
    assert server.log()[-1]["status"] == 200
    server.change("employee_groups")
    assert len(fetched(source, first.cursor, "employee_groups")) == 1


@pytest.mark.parametrize("tags", [(True, False), (False, True)])
def test_a_tag_saves_the_file(server: ExcelLinkSimulator, source: ExcelLinkSource, tags: tuple[bool, bool]) -> None:
    server.switch(etag=tags[0], last_modified=tags[1])
    (first,) = fetched(source, name="employee_groups")
    assert fetched(source, first.cursor, "employee_groups") == []
    assert (server.log()[-1]["status"], server.log()[-1]["bytes"]) == (304, 0)


def test_rows_come_and_go(server: ExcelLinkSimulator, source: ExcelLinkSource) -> None:
    for table in TABLES:
        before = len(server.rows(table))
        assert server.add(table, 3) == before + 3
        assert server.delete(table, 2) == before + 1
        assert server.change(table, 2) == min(2, before + 1)
    name = "part_time_employees.north"
    assert len(rows(source, name)) in (len(server.rows(name)), len(server.rows(name)) - 1)


def test_a_renamed_or_dropped_column_is_refused_whole(server: ExcelLinkSimulator, source: ExcelLinkSource) -> None:
    server.rename_column("employee_groups", "Code", "Kode")
    with pytest.raises(RemoteError, match=r"has no column 'Code'.*did you mean 'Kode'"):
        fetched(source, name="employee_groups")
    server.drop_column("cost_categories", "Modified")
    with pytest.raises(RemoteError, match="has no column 'Modified'"):
        fetched(source, name="cost_categories")


def test_a_type_clash_is_one_refused_row(server: ExcelLinkSimulator, source: ExcelLinkSource) -> None:
    server.set_cell("project_cost_setups", 3, "Rate", "dear")
    server.set_cell("project_cost_setups", 4, "Rate", "=#REF!")
    (payload,) = fetched(source, name="project_cost_setups")
    accepted, refused = parsed(source, payload, "project_cost_setups")
    assert len(accepted) == len(server.rows("project_cost_setups")) - 2
    assert [(each.row, each.cause, each.sentence.split()[0]) for each in refused] == [
        (5, "bad_decimal", "Sheet1!F5"),
        (6, "error_cell", "Sheet1!F6"),
    ]


FAULTS: list[tuple[str, dict[str, Any], type[RemoteError], str]] = [
    ("html", {}, RemoteError, "a web page came instead of xlsx"),
    ("expired", {}, RemoteError, "the link has expired or was deleted; make a new export link"),
    ("status", {"status": 500}, TransientError, "answered 500"),
    ("truncated", {}, TransientError, "dropped half-way"),
    ("truncated", {"unnoticed": True}, RemoteError, "damaged, was cut short"),
    ("malformed", {}, RemoteError, "damaged"),
    ("redirect", {"to": "https://elsewhere.test/"}, RemoteError, "redirects to another host, elsewhere.test"),
]


@pytest.mark.parametrize(("kind", "options", "error", "words"), FAULTS)
def test_a_fault_ends_in_a_named_refusal_and_the_next_try_is_good(
    server: ExcelLinkSimulator,
    source: ExcelLinkSource,
    kind: str,
    options: dict[str, Any],
    error: type[RemoteError],
    words: str,
) -> None:
    number = server.fault(kind, count=None, table="employee_groups", **options)
    with pytest.raises(error, match=words) as raised:
        fetched(source, name="employee_groups")
    assert server.url("employee_groups").partition("t=")[2] not in str(raised.value)
    assert len(rows(source, "employment_types")) == 25
    server.clear_faults(number)
    assert len(rows(source, "employee_groups")) == 30


def test_harmless_oddities_are_taken(server: ExcelLinkSimulator, source: ExcelLinkSource) -> None:
    server.fault("content_type", value="text/html")
    server.fault("slow", seconds=0.05)
    assert len(rows(source, "employee_groups")) == 30
    server.fault("empty")
    assert rows(source, "employee_groups") == []
    server.fault("redirect", to=server.url("employment_types").removeprefix(server.base_url))
    assert len(rows(source, "employee_groups")) == 25


def test_a_demo_refresh_kills_every_link_until_the_new_ones_are_put_in_place(
    server: ExcelLinkSimulator, source: ExcelLinkSource, tmp_path: Path
) -> None:
    (old,) = fetched(source, name="project_cost_setups")
    new = server.refresh()
    with pytest.raises(RemoteError, match="make a new export link"):
        fetched(source, old.cursor, "project_cost_setups")
    env = tmp_path / ".env"
    env.write_text(f"{env.read_text()}\nPROJECT_COST_SETUPS_LINK='{new['project_cost_setups']}'\n")
    (payload,) = fetched(source, old.cursor, "project_cost_setups")
    assert payload.cursor["fingerprint"] != old.cursor["fingerprint"]


def test_the_control_api_answers_over_http(server: ExcelLinkSimulator) -> None:
    def control(name: str, **arguments: Any) -> Any:
        request = urllib.request.Request(f"{server.base_url}/_simulator/{name}", json.dumps(arguments).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    assert control("links") == server.links()
    assert control("add", table="employee_groups") == 31
    assert len(control("rows", table="employee_groups")) == 31
    assert control("switch", etag=False)["etag"] is False
    control("fault", kind="hostile", file="bomb")
    for wrong in ({"kind": "fire"}, {"kind": "hostile", "file": "mild"}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            control("fault", **wrong)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control("change", table="employees")


def test_the_example_is_the_story_and_names_its_simulator(tmp_path: Path) -> None:
    init_project(tmp_path, connector.name)
    project = load_project(tmp_path)
    assert not project.warnings
    assert set(project.syncs[0].entities) == {table.partition(".")[0] for table in TABLES}
    assert project.syncs[0].entities == connector.entities(project.settings("links"))
    assert f":{DEFAULT_PORT}/Flex/" in connector.example[".env"]
    assert "postroad simulate excel_link" in connector.example["README.md"]
