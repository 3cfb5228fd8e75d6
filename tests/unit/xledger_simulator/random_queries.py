"""Random valid documents over the simulator's schema, and a plain reference answer by graphql-core's own executor."""

from __future__ import annotations

import json
import operator
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from graphql import DocumentNode, GraphQLObjectType, GraphQLSchema, execute_sync, get_named_type

from postroad.connectors.xledger.simulator.declare import Table
from postroad.connectors.xledger.simulator.documents import valid
from postroad.connectors.xledger.simulator.filters import OWNER_SETS
from postroad.connectors.xledger.simulator.generate import Row
from postroad.connectors.xledger.simulator.pages import local_time
from postroad.connectors.xledger.simulator.schema import Known, terms
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.tables import CONNECTIONS, DELTAS, TABLES, TYPES

COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


class Writer:
    """Writes one random document with its variables."""

    def __init__(self, draw: random.Random, schema: GraphQLSchema, store: Store) -> None:
        self.draw, self.schema, self.store = draw, schema, store
        self.fragments: list[str] = []
        self.declared: list[str] = []
        self.variables: dict[str, Any] = {}

    def document(self) -> str:
        roots = [self._root(number) for number in range(self.draw.randint(1, 2))]
        head = f"query Q({', '.join(self.declared)})" if self.declared else "query Q"
        return f"{head} {{ {' '.join(roots)} }} {' '.join(self.fragments)}"

    def _root(self, number: int) -> str:
        name = self.draw.choice([*["timesheets"] * 4, *CONNECTIONS, *DELTAS, *DELTAS, "__typename"])
        if name == "__typename":
            return f"r{number}: __typename"
        root = self.schema.query_type
        assert root is not None
        kind = get_named_type(root.fields[name].type)
        assert isinstance(kind, GraphQLObjectType)
        return f"r{number}: {name}{self._arguments(name)} {self._selection(kind, 4)}"

    def _arguments(self, name: str) -> str:
        draw, given = self.draw, []
        for argument in draw.sample(
            ["size", "after", "before", "ownerSet", "objectStatus", "filter"], draw.randint(0, 5)
        ):
            if argument == "size":
                given.append(self._given(draw.choice(["first", "last"]), "Int", draw.choice([0, 1, 3, 17, 400])))
            elif argument in {"after", "before"} and (cursor := self._cursor(name)) is not None:
                given.append(self._given(argument, "String", cursor))
            elif argument == "ownerSet":
                given.append(self._given(argument, "OwnerSet", draw.choice([*OWNER_SETS]), quote=False))
            elif name in CONNECTIONS and argument == "objectStatus":
                given.append(self._given(argument, "ObjectStatus", draw.choice(["ALL", "OPEN", "CLOSED"]), quote=False))
            elif name in CONNECTIONS and argument == "filter":
                given.append(self._given("filter", CONNECTIONS[name].filter, self._filter(CONNECTIONS[name], 2)))
        return f"({', '.join(given)})" if given else ""

    def _cursor(self, name: str) -> str | None:
        rows = self.store.rows[DELTAS[name].name if name in DELTAS else name]
        if name in CONNECTIONS:
            return str(rows.generated.db_id(self.draw.randrange(rows.end)) + self.draw.choice([-1, 0, 0, 1]))
        deltas = rows.log.between(0, None, OWNER_SETS["ALL"])
        return rows.log.sync_version(self.draw.choice(deltas)) if deltas else None

    def _filter(self, table: Table, depth: int) -> dict[str, Any]:
        """Terms of any kind, whose operands are the values of a random row or of none."""
        draw, made = self.draw, dict[str, Any]()
        rows = self.store.rows[table.name]
        node = Node(self.store, table.name, rows.generated.row(draw.randrange(rows.generated.size)), table.type)
        for term, kind in draw.sample([*terms(table).items()], draw.randint(0, 2)):
            value = node[term.partition("_")[0]]
            if "Int64String" in kind:
                value = draw.choice([int(value), str(value)])
            if value is not None:
                made[term] = [value] if term.endswith("_in") else value
        if depth and draw.random() < 0.3:
            made[draw.choice(["AND", "OR"])] = [self._filter(table, depth - 1) for _ in range(draw.randint(1, 3))]
        return made

    def _given(self, name: str, kind: str, value: Any, *, quote: bool = True) -> str:
        if self.draw.random() < 0.5:
            return f"{name}: {literal(value) if quote else value}"
        variable = f"v{len(self.declared)}"
        if self.draw.random() < 0.2:
            self.declared.append(f"${variable}: {kind} = {literal(value) if quote else value}")
        else:
            self.declared.append(f"${variable}: {kind}")
            self.variables[variable] = value
        return f"{name}: ${variable}"

    def _selection(self, kind: GraphQLObjectType, depth: int) -> str:
        draw = self.draw
        names = [*kind.fields, "__typename"]
        parts = [self._field(kind, name, depth) for name in draw.sample(names, draw.randint(1, min(len(names), 6)))]
        if draw.random() < 0.15:
            parts.append(f"... on {kind.name}{self._directive()} {self._selection(kind, depth - 1)}")
        if draw.random() < 0.1:
            name = f"F{len(self.fragments)}"
            self.fragments.append("")
            self.fragments[int(name[1:])] = f"fragment {name} on {kind.name} {self._selection(kind, depth - 1)}"
            parts.append(f"...{name}{self._directive()}")
        return "{ " + " ".join(parts) + " }"

    def _field(self, kind: GraphQLObjectType, name: str, depth: int) -> str:
        alias = f"a{self.draw.randrange(10**6)}: " if self.draw.random() < 0.3 else ""
        target = None if name == "__typename" else get_named_type(kind.fields[name].type)
        nested = f" {self._selection(target, depth - 1)}" if isinstance(target, GraphQLObjectType) else ""
        return f"{alias}{name}{self._directive()}{nested}"

    def _directive(self) -> str:
        if self.draw.random() > 0.1:
            return ""
        variable = f"v{len(self.declared)}"
        self.declared.append(f"${variable}: Boolean!")
        self.variables[variable] = self.draw.random() < 0.7
        return f" @{self.draw.choice(['include', 'skip'])}(if: ${variable})"


def literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


def random_document(seed: int, schema: GraphQLSchema, store: Store) -> tuple[str, dict[str, Any]]:
    """A valid document: two fields of one name with different arguments cannot merge, and such a draw is repeated."""
    draw = random.Random(seed)
    while True:
        writer = Writer(draw, schema, store)
        document = writer.document()
        if isinstance(valid(document, Known()), DocumentNode):
            return document, writer.variables


class Reference:
    """The same data as plain mappings, filtered and paged row by row."""

    def __init__(self, schema: GraphQLSchema, store: Store) -> None:
        self.schema, self.store = schema, store
        self.nodes: dict[str, dict[int, Node]] = {}

    def answer(self, document: str, variables: dict[str, Any]) -> str:
        root: dict[str, Any] = {name: partial(self._walk, name) for name in CONNECTIONS}
        root |= {name: partial(self._deltas, table.name) for name, table in DELTAS.items()}
        parsed = valid(document, Known())
        assert isinstance(parsed, DocumentNode)
        result = execute_sync(self.schema, parsed, root, variable_values=variables)
        assert result.errors is None, result.errors
        return json.dumps(result.data, ensure_ascii=False)

    def _rows(self, table: str) -> dict[int, Node]:
        if table not in self.nodes:
            rows, kind = self.store.rows[table], TABLES[table].type
            stored = {number: row for number in range(rows.end) if (row := rows.row(number)) is not None}
            self.nodes[table] = {number: Node(self.store, table, row, kind) for number, row in stored.items()}
        return self.nodes[table]

    def _walk(self, table: str, _info: Any, **asked: Any) -> dict[str, Any]:
        owners, status = OWNER_SETS[asked.get("ownerSet") or "CURRENT"], asked.get("objectStatus") or "OPEN"
        nodes = [node for node in self._rows(table).values() if node.stored("owner") in {None, *owners}]
        nodes = [node for node in nodes if status == "ALL" or node.stored("closed") in {None, status == "CLOSED"}]
        nodes = [node for node in nodes if passes(node, asked.get("filter") or {})]
        return page([(node.db_id, str(node.db_id), {"node": node}) for node in nodes], asked, int)

    def _deltas(self, table: str, _info: Any, **asked: Any) -> dict[str, Any]:
        log, edges = self.store.rows[table].log, []
        for delta in log.between(0, None, OWNER_SETS[asked.get("ownerSet") or "CURRENT"]):
            own: dict[str, Any] = {
                "mutationType": delta.kind,
                "mutatedAt": local_time(delta.at),
                "syncVersion": log.sync_version(delta),
                "_current": self._rows(table).get(delta.number),
            }
            node = Node(self.store, table, delta.row, TABLES[table].type, delta.era, own)
            edges.append((delta.version, own["syncVersion"], {"node": node, "mutationType": delta.kind}))
        return page(edges, asked, log.version_of)


@dataclass
class Node(Mapping[str, Any]):
    """One row as a GraphQL type shows it; what it refers to is looked up when it is asked for."""

    store: Store
    table: str
    row: Row
    kind: str
    era: int | None = None
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def db_id(self) -> int:
        return int(self.stored("dbId"))

    def stored(self, column: str, otherwise: Any = None) -> Any:
        place = TABLES[self.table].place.get(column)
        return otherwise if place is None else self.row[place]

    def __getitem__(self, name: str) -> Any:
        if name in self.own:
            return self.own[name]
        shown = TYPES[self.kind].fields[name]
        if shown.part:
            return replace(self, kind=shown.type)
        value = self.stored(shown.column)
        if shown.of:
            other = self._other(shown.of, value - 1, shown.type) if value else None
            return other if other is None or shown.type in TYPES else other.db_id
        return str(value) if shown.type == "Int64String" else value

    def _other(self, table: str, number: int, kind: str) -> Node:
        rows = self.store.rows[table]
        past = [row for era, row in rows._past.get(number, ()) if self.era is None or era <= self.era]
        return Node(self.store, table, past[-1] if past else rows.generated.row(number), kind, self.era)

    def __iter__(self) -> Iterator[str]:
        return iter(TYPES[self.kind].fields)

    def __len__(self) -> int:
        return len(TYPES[self.kind].fields)


def passes(node: Node, asked: dict[str, Any]) -> bool:
    return all(_term(node, name, operand) for name, operand in asked.items() if operand is not None)


def _term(node: Node, name: str, operand: Any) -> bool:
    if name in {"AND", "OR"}:
        return (all if name == "AND" else any)(passes(node, each) for each in operand)
    name, _, suffix = name.partition("_")
    value = node.db_id if name == "dbId" else node[name]
    if name == "dbId":
        operand = [int(each) for each in operand] if suffix == "in" else int(operand)
    if suffix == "in":
        return value in operand
    if suffix:
        return value is not None and COMPARE[suffix](value, operand)
    return bool(value == operand)


def page(rows: list[tuple[int, str, dict[str, Any]]], asked: dict[str, Any], position: Any) -> dict[str, Any]:
    low = position(asked["after"]) if asked.get("after") is not None else -1
    high = position(asked["before"]) if asked.get("before") is not None else 1 << 62
    taken = [row for row in rows if low < row[0] < high]
    if asked.get("last") is not None:
        taken = taken[-asked["last"] :] if asked["last"] else []
    elif asked.get("first") is not None:
        taken = taken[: asked["first"]]
    info = {
        "hasNextPage": bool(taken) and rows[-1][0] > taken[-1][0],
        "hasPreviousPage": bool(taken) and rows[0][0] < taken[0][0],
    }
    return {"edges": [{"cursor": cursor, **edge} for _, cursor, edge in taken] or None, "pageInfo": info}
