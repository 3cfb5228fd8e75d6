"""Filters, owner sets and object status as conditions over columns (fact sheet 1.5)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from postroad.connectors.xledger.simulator.declare import Table, Value
from postroad.connectors.xledger.simulator.generate import BLOCK
from postroad.connectors.xledger.simulator.store import Condition, Indices, Rows

OWNER_SETS = {
    "CURRENT": frozenset({2}),
    "UPPER": frozenset({1}),
    "LOWER": frozenset({3, 4, 5}),
    "MINE": frozenset({2, 3, 4, 5}),
    "ALL": frozenset({1, 2, 3, 4, 5}),
}
"""Places in the table of owners: 1 is the group, 2 the token's own company, 3 to 5 its subsidiaries (1.5)."""

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Span:
    """The row numbers that a filter leaves possible: from `low`, below `high`, and of `only` where ids were listed."""

    low: int
    high: int
    only: frozenset[int] | None = None


def scope(table: Table, owner_set: str, status: str) -> Condition:
    """The rows of these owners with that object status; neither is asked of rows that have no owner or never close."""
    owners = OWNER_SETS[owner_set]
    by_owner = owner_set != "ALL" and "owner" in table.place
    by_status = status != "ALL" and "closed" in table.place
    wanted = status == "CLOSED"

    def condition(rows: Rows, block: int, places: Indices) -> Indices:
        if by_owner:
            values = rows.column("owner", block)
            places = [index for index in places if values[index] in owners]
        if by_status:
            closed = rows.column("closed", block)
            places = [index for index in places if closed[index] is wanted]
        return places

    return condition


def filtered(rows: Rows, filter_: Mapping[str, Any], inner: Condition) -> Condition:
    """The rows of `inner` that pass every term of the filter. A term whose operand is null counts as absent."""
    terms = [_term(rows, name, operand) for name, operand in filter_.items() if operand is not None]

    def condition(rows: Rows, block: int, places: Indices) -> Indices:
        places = inner(rows, block, places)
        for term in terms:
            places = term(rows, block, places) if places else places
        return places

    return condition


def span(filter_: Mapping[str, Any], rows: Rows) -> Span:
    """The row numbers that the top-level terms on dbId leave, so that asking by id costs no scan."""
    low, high, only = 0, rows.end, None
    for name, operand in filter_.items():
        if operand is None or name.partition("_")[0] != "dbId":
            continue
        if name in ("dbId", "dbId_in"):
            numbers = _numbers(rows, operand)
            only = numbers if only is None else only & numbers
        elif name in ("dbId_gt", "dbId_gte"):
            low = max(low, rows.generated.number_at(int(operand)))
        else:
            high = min(high, rows.generated.number_at(int(operand) + 1))
    return Span(low, high, only)


def only_numbers(numbers: frozenset[int], inner: Condition) -> Condition:
    """The rows of `inner` with one of these numbers."""

    def condition(rows: Rows, block: int, places: Indices) -> Indices:
        first = block * BLOCK
        listed = [index for index in places if first + index in numbers] if numbers else []
        return inner(rows, block, listed) if listed else []

    return condition


def _numbers(rows: Rows, operand: Any) -> frozenset[int]:
    """The numbers of the rows with this dbId, or one of these."""
    listed = {rows.number(int(db_id)) for db_id in (operand if isinstance(operand, list) else [operand])}
    return frozenset(number for number in listed if number is not None)


def _term(rows: Rows, name: str, operand: Any) -> Condition:
    if name == "AND":
        return _all([filtered(rows, part, everything) for part in operand])
    if name == "OR":
        return _any([filtered(rows, part, everything) for part in operand])
    field, _, suffix = name.partition("_")
    declared = rows.table.shown.fields[field]
    if declared.of:  # The dbId of a reference, whose column holds places.
        return _holds(
            declared.column, _members({number + 1 for number in _numbers(rows.store.rows[declared.of], operand)})
        )
    return _holds(declared.column, _test(suffix, _operand(declared.type, operand)))


def _holds(column: str, test: Callable[[Value], bool]) -> Condition:
    def condition(rows: Rows, block: int, places: Indices) -> Indices:
        values = rows.column(column, block)
        return [index for index in places if values[index] is not None and test(values[index])]

    return condition


def _members(found: set[int]) -> Callable[[Value], bool]:
    return lambda value: value in found


def _test(suffix: str, operand: Any) -> Callable[[Value], bool]:
    if suffix == "in":
        members = frozenset(operand)
        return lambda value: value in members
    if suffix:
        compare = _TESTS[suffix]
        return lambda value: type(value) is type(operand) and compare(value, operand)
    return lambda value: value == operand


def _operand(kind: str, operand: Any) -> Any:
    if kind != "Int64String":
        return operand
    return [int(db_id) for db_id in operand] if isinstance(operand, list) else int(operand)


def everything(_rows: Rows, _block: int, places: Indices) -> Indices:
    """The condition that every row meets."""
    return places


def _all(conditions: list[Condition]) -> Condition:
    def condition(rows: Rows, block: int, places: Indices) -> Indices:
        for part in conditions:
            places = part(rows, block, places)
        return places

    return condition


def _any(conditions: list[Condition]) -> Condition:
    def condition(rows: Rows, block: int, places: Indices) -> Indices:
        found = set[int]().union(*(part(rows, block, places) for part in conditions))
        return sorted(found)

    return condition
