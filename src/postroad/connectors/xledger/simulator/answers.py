"""From a GraphQL request to the bytes of its answer: rendered by column, kept for when the same page is asked again."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from graphql import OperationDefinitionNode, SelectionSetNode, execute_sync

from postroad.connectors.xledger.simulator.connections import Connections
from postroad.connectors.xledger.simulator.documents import Operation
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.render import json_object
from postroad.connectors.xledger.simulator.schema import Known, schema
from postroad.connectors.xledger.simulator.selection import Selected

CACHE_BYTES = 48 << 20


@dataclass(frozen=True)
class Rendered:
    """A body, how many rows it holds, and whether it reports errors."""

    body: bytes
    rows: int
    failed: bool = False


class PageCache:
    """Rendered answers, the least recently asked dropped first; `limit` in bytes, None for all."""

    def __init__(self, limit: int | None = CACHE_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._pages: OrderedDict[object, Rendered] = OrderedDict()

    def get(self, key: object) -> Rendered | None:
        """The answer under that key."""
        found = self._pages.get(key)
        if found is not None:
            self._pages.move_to_end(key)
        return found

    def put(self, key: object, page: Rendered) -> None:
        """Keep an answer."""
        self._pages[key] = page
        self._held += len(page.body)
        while self._limit is not None and self._held > self._limit:
            self._held -= len(self._pages.popitem(last=False)[1].body)

    def clear(self) -> None:
        """Forget all answers: the data changed."""
        self._pages.clear()
        self._held = 0


class _Edge(msgspec.Struct):
    cursor: str = ""


class _PageInfo(msgspec.Struct):
    hasNextPage: bool = False


class _Connection(msgspec.Struct):
    edges: list[_Edge] | None = None
    pageInfo: _PageInfo = msgspec.field(default_factory=_PageInfo)


class _Body(msgspec.Struct):
    data: dict[str, msgspec.Raw] | None = None


def last_cursor(body: bytes) -> str | None:
    """The last cursor of the first connection that has edges, if more follow; its nodes are passed over unread."""
    for member in (msgspec.json.decode(body, type=_Body).data or {}).values():
        found = msgspec.json.decode(member, type=_Connection) if bytes(member).startswith(b"{") else _Connection()
        if found.edges:
            return found.edges[-1].cursor if found.pageInfo.hasNextPage else None
    return None


def rendered(operation: Operation, connections: Connections, known: Known, partial: bool) -> Rendered:
    """The answer of an operation. `partial` says whether good root fields are answered beside failed ones."""
    members: list[tuple[str, bytes]] = []
    errors: list[dict[str, Any]] = []
    for root in operation.roots:
        try:
            member = _root_json(operation, root, connections, known)
        except RefusedError as refused:
            errors.append(refused.as_json(root.key))
            member = b"null"
        members.append((root.key, member))
    data = json_object(members)
    if not errors:
        return Rendered(b'{"data":' + data + b"}", connections.rows)
    return Rendered(error_body(errors, data if partial else b"null"), connections.rows if partial else 0, failed=True)


def error_body(errors: Sequence[dict[str, Any]], data: bytes | None = None) -> bytes:
    """The body of an answer with errors; without `data` if the request was refused whole."""
    members = {"errors": json.dumps(errors, ensure_ascii=False).encode()}
    return json_object((members if data is None else members | {"data": data}).items())


def _root_json(operation: Operation, root: Selected, connections: Connections, known: Known) -> bytes:
    if root.name == "__typename":
        return b'"Query"'
    if root.name.startswith("__"):
        return _introspected(operation, root, known)
    return connections.json(root)


def _introspected(operation: Operation, root: Selected, known: Known) -> bytes:
    """Introspection is small and rare: graphql-core's own executor answers a document with this root field only."""
    alone = OperationDefinitionNode(
        operation=operation.node.operation,
        variable_definitions=operation.node.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(selections=root.nodes),
        name=None,
    )
    definitions = tuple(alone if part is operation.node else part for part in operation.document.definitions)
    kept = [part for part in definitions if part is alone or not isinstance(part, OperationDefinitionNode)]
    document = type(operation.document)(definitions=tuple(kept))
    result = execute_sync(schema(known), document, variable_values=operation.variables)
    return json.dumps((result.data or {})[root.key], ensure_ascii=False).encode()
