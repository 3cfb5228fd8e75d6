"""The part of the links in `postroad demo`."""

from __future__ import annotations

from collections.abc import Mapping

from postroad.connectors.excel_link.example import SEED, variable
from postroad.connectors.excel_link.simulator.addresses import SUBSIDIARIES, TABLES, path
from postroad.sdk.demo import Deed, Demo


def _introduction(_rows: int) -> str:
    return f"{len(TABLES)} links to Excel workbooks: one for each table, for part-time employees {len(SUBSIDIARIES)}"


def _options(_rows: int) -> list[str]:
    return ["--seed", str(SEED)]


def _variables(address: str) -> Mapping[str, str]:
    return {variable(table): address + path(SEED, 0, table) for table in TABLES}


def _changed(table: str, rows: int) -> Deed:
    return Deed(table.partition(".")[0], "changed", rows, "change", {"table": table, "n": rows})


# Tables that nobody touches show that a file which did not change costs nothing.
DEEDS = (
    Deed("part_time_employees", "deleted", 2, "delete", {"table": "part_time_employees.coast", "n": 2}),
    _changed("part_time_employees.north", 3),
    _changed("project_cost_setups", 12),
    _changed("cost_element_per_time_type", 2),
    Deed("part_time_employees", "new", 2, "add", {"table": "part_time_employees.south", "n": 2}),
    Deed("employee_groups", "new", 1, "add", {"table": "employee_groups", "n": 1}),
)
DEMO = Demo(2, _introduction, _options, _variables, DEEDS)
