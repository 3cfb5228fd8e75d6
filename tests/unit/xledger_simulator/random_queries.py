"""Random valid documents over the simulator's schema, and a plain reference answer by graphql-core's own executor."""

from __future__ import annotations

import json
import operator
import random
from typing import Any

from graphql import DocumentNode, GraphQLObjectType, GraphQLSchema, execute_sync, get_named_type

from postroad.connectors.xledger.simulator.company import DERIVED, REFERENCES, STORED
from postroad.connectors.xledger.simulator.documents import valid
from postroad.connectors.xledger.simulator.filters import OWNER_SETS
from postroad.connectors.xledger.simulator.pages import local_time
from postroad.connectors.xledger.simulator.store import Store

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
        name = self.draw.choice(["timesheets"] * 4 + ["timesheet_deltas"] * 2 + ["entities", "__typename"])
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
            elif argument in {"after", "before"}:
                given.append(self._given(argument, "String", self._cursor(name)))
            elif argument == "ownerSet":
                given.append(self._given(argument, "OwnerSet", draw.choice([*OWNER_SETS]), quote=False))
            elif name == "timesheets" and argument == "objectStatus":
                given.append(self._given(argument, "ObjectStatus", draw.choice(["ALL", "OPEN", "CLOSED"]), quote=False))
            elif name == "timesheets":
                given.append(self._given("filter", "Timesheet_Filter", self._filter(2)))
        return f"({', '.join(given)})" if given else ""

    def _cursor(self, name: str) -> str:
        if name == "timesheet_deltas":
            return self.store.log.sync_version(self.draw.choice(self.store.log.between(0, None, OWNER_SETS["ALL"])))
        if name == "entities":
            return str(self.draw.choice(self.store.catalog["owner"][1:])["dbId"])
        return str(self.store.company.db_id(self.draw.randrange(self.store.end)) + self.draw.choice([-1, 0, 0, 1]))

    def _filter(self, depth: int) -> dict[str, Any]:
        draw, made = self.draw, {}
        number = draw.randrange(self.store.end)
        row: dict[str, Any] = dict(zip(STORED, self.store.company.row(number), strict=True))
        ids = {name: self.store.catalog[kind][row[kind]]["dbId"] for name, kind in DERIVED.items()}
        for name in draw.sample(["dbId", "assignmentDate", "modifiedAt", "approved", *DERIVED], draw.randint(0, 2)):
            value = ids.get(name, row.get(name))
            if name == "dbId":
                value = draw.choice([value, str(value)])
            if name in {"dbId", "assignmentDate", "modifiedAt"}:
                suffix = draw.choice(["", "_in", "_gt", "_gte", "_lt", "_lte"])
            else:
                suffix = draw.choice(["", "_in"]) if name in DERIVED else ""
            made[name + suffix] = [value] if suffix == "_in" else value
        if depth and draw.random() < 0.3:
            made[draw.choice(["AND", "OR"])] = [self._filter(depth - 1) for _ in range(draw.randint(1, 3))]
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
        if isinstance(valid(document, current=True), DocumentNode):
            return document, writer.variables


class Reference:
    """The same data as plain dictionaries, filtered and paged row by row."""

    def __init__(self, schema: GraphQLSchema, store: Store) -> None:
        self.schema, self.store = schema, store
        rows = [(number, store.row(number)) for number in range(store.end)]
        self.rows = {number: self._node(row, store.catalog) for number, row in rows if row is not None}

    def answer(self, document: str, variables: dict[str, Any]) -> str:
        root = {"timesheets": self._timesheets, "timesheet_deltas": self._deltas, "entities": self._entities}
        parsed = valid(document, current=True)
        assert isinstance(parsed, DocumentNode)
        result = execute_sync(self.schema, parsed, root, variable_values=variables)
        assert result.errors is None, result.errors
        return json.dumps(result.data, ensure_ascii=False)

    def _node(self, row: Any, catalog: Any) -> dict[str, Any]:
        node = dict(zip(STORED, row, strict=True))
        owner = node["owner"]
        for name, kind in REFERENCES.items():
            node[name] = catalog[kind][node[name]] if node[name] else None
        for name, source in DERIVED.items():
            node[name] = node[source] and node[source]["dbId"]
        return node | {"dbId": str(node["dbId"]), "_owner": owner}

    def _timesheets(self, _info: Any, **asked: Any) -> dict[str, Any]:
        owners, status = OWNER_SETS[asked.get("ownerSet") or "CURRENT"], asked.get("objectStatus") or "OPEN"
        rows = [node for node in self.rows.values() if node["_owner"] in owners]
        rows = [node for node in rows if status == "ALL" or node["closed"] is (status == "CLOSED")]
        rows = [node for node in rows if passes(node, asked.get("filter") or {})]
        return page([(int(node["dbId"]), node["dbId"], {"node": node}) for node in rows], asked, int)

    def _deltas(self, _info: Any, **asked: Any) -> dict[str, Any]:
        log, edges = self.store.log, []
        for delta in log.between(0, None, OWNER_SETS[asked.get("ownerSet") or "CURRENT"]):
            own = {
                "mutationType": delta.kind,
                "mutatedAt": local_time(delta.at),
                "syncVersion": log.sync_version(delta),
            }
            node = self._node(delta.row, delta.catalog) | own | {"_current": self.rows.get(delta.number)}
            edges.append((delta.version, own["syncVersion"], {"node": node, "mutationType": delta.kind}))
        return page(edges, asked, log.version_of)

    def _entities(self, _info: Any, **asked: Any) -> dict[str, Any]:
        found = [self.store.catalog["owner"][place] for place in sorted(OWNER_SETS[asked.get("ownerSet") or "CURRENT"])]
        return page([(entity["dbId"], str(entity["dbId"]), {"node": entity}) for entity in found], asked, int)


def passes(node: dict[str, Any], asked: dict[str, Any]) -> bool:
    return all(_term(node, name, operand) for name, operand in asked.items() if operand is not None)


def _term(node: dict[str, Any], name: str, operand: Any) -> bool:
    if name in {"AND", "OR"}:
        return (all if name == "AND" else any)(passes(node, each) for each in operand)
    field, _, suffix = name.partition("_")
    value = int(node["dbId"]) if field == "dbId" else node[field]
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
