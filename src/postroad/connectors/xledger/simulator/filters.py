"""Filters, owner sets and object status as conditions over columns (fact sheet 1.5)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from postroad.connectors.xledger.simulator.company import BLOCK, DERIVED, Column, Value
from postroad.connectors.xledger.simulator.store import Condition, Indices, Store

OWNER_SETS = {
    "CURRENT": frozenset({2}),
    "UPPER": frozenset({1}),
    "LOWER": frozenset({3, 4, 5}),
    "MINE": frozenset({2, 3, 4, 5}),
    "ALL": frozenset({1, 2, 3, 4, 5}),
}
"""Places in the catalogue of owners: 1 is the group, 2 the token's own company, 3 to 5 its subsidiaries (1.5)."""

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


def scope(owner_set: str, status: str) -> Condition:
    """The rows of these owners with that object status."""
    owners = OWNER_SETS[owner_set]

    def condition(store: Store, block: int, places: Indices) -> Indices:
        if owner_set != "ALL":
            values = store.column("owner", block)
            places = [index for index in places if values[index] in owners]
        if status != "ALL":
            closed = store.column("closed", block)
            wanted = status == "CLOSED"
            places = [index for index in places if closed[index] is wanted]
        return places

    return condition


def filtered(filter_: Mapping[str, Any], inner: Condition) -> Condition:
    """The rows of `inner` that pass every term of the filter. A term whose operand is null counts as absent."""
    terms = [_term(name, operand) for name, operand in filter_.items() if operand is not None]

    def condition(store: Store, block: int, places: Indices) -> Indices:
        places = inner(store, block, places)
        for term in terms:
            places = term(store, block, places) if places else places
        return places

    return condition


def span(filter_: Mapping[str, Any], store: Store) -> Span:
    """The row numbers that the top-level terms on dbId leave, so that asking by id costs no scan."""
    low, high, only = 0, store.end, None
    for name, operand in filter_.items():
        if operand is None or not name.startswith("dbId"):
            continue
        if name in ("dbId", "dbId_in"):
            listed = {store.number(int(db_id)) for db_id in (operand if name == "dbId_in" else [operand])}
            numbers = frozenset(number for number in listed if number is not None)
            only = numbers if only is None else only & numbers
        elif name in ("dbId_gt", "dbId_gte"):
            low = max(low, store.company.number_at(int(operand)))
        else:
            high = min(high, store.company.number_at(int(operand) + 1))
    return Span(low, high, only)


def only_numbers(numbers: frozenset[int], inner: Condition) -> Condition:
    """The rows of `inner` with one of these numbers."""

    def condition(store: Store, block: int, places: Indices) -> Indices:
        first = block * BLOCK
        listed = [index for index in places if first + index in numbers] if numbers else []
        return inner(store, block, listed) if listed else []

    return condition


def _term(name: str, operand: Any) -> Condition:
    if name == "AND":
        return _all([filtered(part, everything) for part in operand])
    if name == "OR":
        return _any([filtered(part, everything) for part in operand])
    field, _, suffix = name.partition("_")
    test = _test(suffix, _operand(field, operand))

    def condition(store: Store, block: int, places: Indices) -> Indices:
        values = _values(store, field, block)
        return [index for index in places if values[index] is not None and test(values[index])]

    return condition


def _test(suffix: str, operand: Any) -> Callable[[Value], bool]:
    if suffix == "in":
        members = frozenset(operand)
        return lambda value: value in members
    if suffix:
        compare = _TESTS[suffix]
        return lambda value: type(value) is type(operand) and compare(value, operand)
    return lambda value: value == operand


def _operand(field: str, operand: Any) -> Any:
    if field != "dbId":
        return operand
    return [int(db_id) for db_id in operand] if isinstance(operand, list) else int(operand)


def _values(store: Store, field: str, block: int) -> Column:
    kind = DERIVED.get(field)
    if kind is None:
        return store.column(field, block)
    ids = [entry["dbId"] or None for entry in store.catalog[kind]]
    return [ids[int(key or 0)] for key in store.column(kind, block)]


def everything(_store: Store, _block: int, places: Indices) -> Indices:
    """The condition that every row meets."""
    return places


def _all(conditions: list[Condition]) -> Condition:
    def condition(store: Store, block: int, places: Indices) -> Indices:
        for part in conditions:
            places = part(store, block, places)
        return places

    return condition


def _any(conditions: list[Condition]) -> Condition:
    def condition(store: Store, block: int, places: Indices) -> Indices:
        found = set[int]().union(*(part(store, block, places) for part in conditions))
        return sorted(found)

    return condition
