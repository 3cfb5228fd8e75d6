"""The GraphQL schema, derived from the tables; names and types from the fact sheet, sections 1 and 2.

What the remote system does not know any more (`Known.vanished`) is left out of every type and filter.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, NamedTuple

from graphql import GraphQLError, GraphQLScalarType, GraphQLSchema, build_schema

from postroad.connectors.xledger.simulator.declare import Table
from postroad.connectors.xledger.simulator.tables import CONNECTIONS, ENTITIES, TYPES

RANGE = ("", "_in", "_gt", "_gte", "_lt", "_lte")
OPERATORS = {
    "Int64String": RANGE, "Int": RANGE, "DateString": RANGE, "DateTimeString": RANGE, "String": ("", "_in"),
    "Boolean": ("",),
}  # fmt: skip
"""The suffixes of a filter's terms by the type of the field (1.5); amounts and objects have none."""

PAGE = "first: Int, last: Int, after: String, before: String"
FIXED = '''
enum OwnerSet { CURRENT UPPER LOWER MINE ALL }
enum ObjectStatus { ALL OPEN CLOSED }
enum MutationType { ADDED UPDATED DELETED }
"""A 64-bit whole number, written as a string of digits; a number is accepted as input."""
scalar Int64String
"""A decimal number, written as a string."""
scalar DecimalString
"""An amount of money, written as a decimal string."""
scalar MoneyString
"""A day, yyyy-MM-dd."""
scalar DateString
"""A local time without zone, yyyy-MM-ddTHH:mm:ss."""
scalar DateTimeString
type PageInfo { hasNextPage: Boolean! hasPreviousPage: Boolean! }
'''
OWN = {"mutationType": "MutationType", "mutatedAt": "DateTimeString", "syncVersion": "String"}
"""The fields of a delta's node that belong to the mutation itself."""

Members = dict[str, str]


class Known(NamedTuple):
    """What the server knows: `_current` on deltas or not, and the fields that it forgot, as `Type.field`."""

    current: bool = True
    vanished: frozenset[str] = frozenset()


@lru_cache(maxsize=16)
def schema(known: Known) -> GraphQLSchema:
    """The schema as far as it is known; a ValueError if that cannot be."""
    built = build_schema(sdl(known))
    for name, parser in {"Int64String": _whole_number, "DateTimeString": _string}.items():
        scalar = built.type_map[name]
        if isinstance(scalar, GraphQLScalarType):
            scalar.parse_value = parser  # type: ignore[method-assign]  # how graphql-core sets it itself
    return built


def sdl(known: Known) -> str:
    """The schema as text."""
    objects = {name: dict(members) for name, members in _objects().items()}
    filters = {name: dict(members) for name, members in _filters().items()}
    for name in sorted(known.vanished):
        _forget(name, objects, filters)
    if not known.current:
        for table in ENTITIES:
            objects[f"{table.type}Delta"].pop("_current", None)
    kinds = (("type", objects), ("input", filters))
    return FIXED + "\n".join(_text(kind, name, each[name]) for kind, each in kinds for name in each)


def terms(table: Table) -> Members:
    """The terms of a table's filter with their types."""
    found: Members = {}
    for name, field in table.shown.fields.items():
        if name in table.unfiltered or field.type not in OPERATORS:
            continue
        suffixes = ("", "_in") if field.of else OPERATORS[field.type]
        # A day was accepted as a variable declared `String` (2.2).
        kind = "String" if field.type == "DateString" else field.type
        found |= {f"{name}{suffix}": f"[{kind}!]" if suffix == "_in" else kind for suffix in suffixes}
    return found


@cache
def _objects() -> dict[str, Members]:
    """All object types: their fields, with arguments where there are any, and types."""
    found = {name: {key: field.type for key, field in each.fields.items()} for name, each in TYPES.items()}
    roots: Members = {}
    for name, table in CONNECTIONS.items():
        arguments = f"{PAGE}, filter: {table.filter}, ownerSet: OwnerSet, objectStatus: ObjectStatus"
        roots[f"{name}({arguments})"] = f"{table.type}Connection"
        found |= _connection(table.type, {})
    for table in ENTITIES:
        roots[f"{table.deltas_root}({PAGE}, ownerSet: OwnerSet)"] = f"{table.type}DeltaConnection"
        found |= _connection(f"{table.type}Delta", {"mutationType": "MutationType"})
        found[f"{table.type}Delta"] = OWN | {"_current": table.type} | found[f"{table.type}Delta"]
    return {"Query": roots} | found


def _connection(kind: str, extra: Members) -> dict[str, Members]:
    return {
        f"{kind}Connection": {"edges": f"[{kind}Edge]", "pageInfo": "PageInfo!"},
        f"{kind}Edge": {"cursor": "String!", **extra, "node": kind},
    }


@cache
def _filters() -> dict[str, Members]:
    return {
        table.filter: {"AND": f"[{table.filter}!]", "OR": f"[{table.filter}!]", **terms(table)}
        for table in CONNECTIONS.values()
    }


def _forget(name: str, objects: dict[str, Members], filters: dict[str, Members]) -> None:
    """Leave out a field, of `Timesheet` also that of `TimesheetDelta` and the terms of `Timesheet_Filter`."""
    kind, _, field = name.partition(".")
    known = {key.partition("(")[0]: key for key in _objects().get(kind, ())}
    if field not in known:
        near = get_close_matches(field, known) or get_close_matches(kind, objects)
        raise ValueError(f"no field '{name}' can vanish; near it: {', '.join(near) or 'nothing'}")
    objects[kind].pop(known[field], None)
    if not objects[kind]:
        raise ValueError(f"'{name}' is the last field of its type and cannot vanish")
    objects.get(f"{kind}Delta", {}).pop(field, None)
    terms_ = filters.get(f"{kind}_Filter", {})
    for term in [term for term in terms_ if term.partition("_")[0] == field]:
        del terms_[term]


def _text(kind: str, name: str, members: Members) -> str:
    return f"{kind} {name} {{ " + " ".join(f"{key}: {value}" for key, value in members.items()) + " }"


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).lstrip("-").isdecimal():
        raise GraphQLError(f"Int64String cannot represent value: {value!r}")
    return int(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"DateTimeString cannot represent value: {value!r}")
    return value
