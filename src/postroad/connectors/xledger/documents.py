"""GraphQL documents, built from declarations. Values that change from call to call are variables, so that a server
may keep what it made of the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from postroad.connectors.xledger.declaration import Declaration, Field

TENANT = "tenant"
TENANT_ROOT = "tenant: entities(ownerSet: CURRENT, first: 1) { edges { node { dbId } } }"
PAGE_INFO = "pageInfo { hasNextPage }"
PROBE = "query { __typename }"


@dataclass(frozen=True)
class Scope:
    """Which records are asked for; the same in every document, or a row would vanish between two of them."""

    owner_set: str
    object_status: str
    page_size: int


@dataclass(frozen=True)
class Document:
    """A query and its variables."""

    text: str
    variables: Mapping[str, Any]

    def body(self) -> bytes:
        """The request's body."""
        return msgspec.json.encode({"query": self.text, "variables": dict(self.variables)})


@dataclass(frozen=True)
class Ask:
    """What a document of changes asks of one entity: what follows `after`, unless it has no position yet."""

    declaration: Declaration
    after: str | None
    positioned: bool
    current: bool


def newest_alias(name: str) -> str:
    """The alias under which an entity's newest change is asked for."""
    return f"{name}_newest"


def selection(fields: Sequence[Field]) -> str:
    """The fields of a node as a selection set: `dbId employee { code }`."""
    tree: dict[str, Any] = {}
    for field in fields:
        branch = tree
        for step in field.path[:-1]:
            branch = branch.setdefault(step, {})
        branch[field.path[-1]] = None
    return _selected(tree)


def _selected(tree: Mapping[str, Any]) -> str:
    return " ".join(name if inner is None else f"{name} {{ {_selected(inner)} }}" for name, inner in tree.items())


def walk_document(declaration: Declaration, scope: Scope, after: str | None, *, tenant: bool) -> Document:
    """One page of all rows of an entity."""
    arguments = f"first: {scope.page_size}{_after('$after', after)}{_scoped(declaration, scope)}"
    root = f"{declaration.name}: {declaration.root}({arguments}) {_page(selection(declaration.fields))}"
    return _document([root], {"after": ("String", after)}, tenant=tenant)


def changes_document(asks: Sequence[Ask], scope: Scope, *, tenant: bool) -> Document:
    """One page of changes of each entity, and the newest change of each: positions age, and calls are money."""
    roots: list[str] = []
    variables: dict[str, tuple[str, Any]] = {}
    for ask in asks:
        name, deltas = ask.declaration.name, ask.declaration.deltas
        newest = f"last: 1, ownerSet: {scope.owner_set}"
        roots.append(
            f"{newest_alias(name)}: {deltas}({newest}) {{ edges {{ cursor node {{ syncVersion mutatedAt }} }} }}"
        )
        if ask.positioned:
            variables[f"{name}_after"] = ("String", ask.after)
            arguments = f"first: {scope.page_size}{_after(f'${name}_after', ask.after)}, ownerSet: {scope.owner_set}"
            roots.append(f"{name}: {deltas}({arguments}) {_page(_delta_fields(ask))}")
    return _document(roots, variables, tenant=tenant)


def rows_document(wanted: Mapping[Declaration, tuple[Sequence[str], str | None]], scope: Scope) -> Document:
    """Rows by their ids, of several entities at once: {entity: (ids, after)}."""
    roots: list[str] = []
    variables: dict[str, tuple[str, Any]] = {}
    for declaration, (ids, after) in wanted.items():
        name = declaration.name
        values = list(ids) if declaration.key_kind == "id64" else [int(each) for each in ids]
        variables[f"{name}_ids"] = (f"[{declaration.id_type}!]", values)
        variables[f"{name}_after"] = ("String", after)
        found = f"filter: {{ dbId_in: ${name}_ids }}, first: {scope.page_size}{_after(f'${name}_after', after)}"
        roots.append(
            f"{name}: {declaration.root}({found}{_scoped(declaration, scope)}) {_page(selection(declaration.fields))}"
        )
    return _document(roots, variables, tenant=False)


def edge_rows_document(declaration: Declaration, scope: Scope) -> Document:
    """The first and the last row of an entity, for a check or a forecast."""
    roots = []
    for alias, which in (("oldest", "first"), ("newest", "last")):
        arguments = f"{which}: 1{_scoped(declaration, scope)}"
        roots.append(f"{alias}: {declaration.root}({arguments}) {{ edges {{ cursor node {{ dbId }} }} }}")
    return _document(roots, {}, tenant=False)


def tenant_document() -> Document:
    """Whose token it is."""
    return _document([], {}, tenant=True)


def _delta_fields(ask: Ask) -> str:
    current = f" _current {{ {selection(ask.declaration.fields)} }}" if ask.current else ""
    return f"dbId mutationType mutatedAt syncVersion{current}"


def _page(content: str) -> str:
    return f"{{ {PAGE_INFO} edges {{ cursor node {{ {content} }} }} }}"


def _after(variable: str, after: str | None) -> str:
    return f", after: {variable}" if after is not None else ""


def _scoped(declaration: Declaration, scope: Scope) -> str:
    status = f", objectStatus: {scope.object_status}" if declaration.has_object_status else ""
    return f", ownerSet: {scope.owner_set}{status}"


def _document(roots: Sequence[str], variables: Mapping[str, tuple[str, Any]], *, tenant: bool) -> Document:
    """A variable without a value is left out altogether: an unused one makes the document invalid (weakness 27)."""
    used = {name: pair for name, pair in variables.items() if pair[1] is not None}
    declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in used.items())
    head = f"query ({declared})" if declared else "query"
    # The tenant comes first: if the token is refused, nothing else is worth reading.
    text = f"{head} {{ {' '.join([TENANT_ROOT] * tenant + list(roots))} }}"
    return Document(text, {name: value for name, (_, value) in used.items()})
