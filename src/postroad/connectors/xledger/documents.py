"""GraphQL documents, built from declarations. Values that change from call to call are variables, so that a server
may keep what it made of the text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from postroad.connectors.xledger.declaration import Declaration, Field

TENANT = "tenant"
TENANT_ROOT = "tenant: entities(ownerSet: CURRENT, first: 1) { edges { node { dbId } } }"
PAGE_INFO = "pageInfo { hasNextPage }"
PROBE = "query { __typename }"
SCHEMA = (
    "query { __schema { queryType { name } types { name kind fields { name args { name } type { ...T } } } } } "
    "fragment T on __Type { name kind ofType { name kind ofType { name kind ofType { name kind } } } }"
)
NEWEST = "_newest"
ANCHOR = "_anchor"


@dataclass(frozen=True)
class Reach:
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
    """What a document of changes asks of one entity, besides its newest change.

    With `page` what follows `after`; with `prior`, the cursor before `after` or nothing at the beginning, whether our
    last change still stands there; with `two` also the change before the newest.
    """

    declaration: Declaration
    after: str | None = None
    page: bool = False
    prior: str | None = None
    two: bool = False
    current: bool = True


def newest_alias(name: str) -> str:
    """The alias under which an entity's newest change is asked for."""
    return name + NEWEST


def anchor_alias(name: str) -> str:
    """The alias under which the change at our position is asked for again."""
    return name + ANCHOR


def names_in(aliases: Collection[str], names: Sequence[str]) -> list[str]:
    """The entities that any of these aliases belongs to."""
    return [name for name in names if not {name, newest_alias(name), anchor_alias(name)}.isdisjoint(aliases)]


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


def walk_document(
    declaration: Declaration, reach: Reach, after: str | None, *, tenant: bool, since: str | None = None
) -> Document:
    """One page of all rows of an entity, or of those whose window begins at `since`.

    That is written into the text: a literal fits whatever the schema calls the type, and stays for the whole walk.
    """
    part = f"filter: {{ {declaration.window}_gte: {msgspec.json.encode(since).decode()} }}, " if since else ""
    arguments = f"{part}first: {reach.page_size}{_after('$after', after)}{_reached(declaration, reach)}"
    root = f"{declaration.name}: {declaration.root}({arguments}) {_page(selection(declaration.fields))}"
    return _document([root], {"after": ("String", after)}, tenant=tenant)


def changes_document(asks: Sequence[Ask], reach: Reach, *, tenant: bool) -> Document:
    """One page of changes of each entity, and the newest change of each: positions age, and calls are money."""
    roots: list[str] = []
    variables: dict[str, tuple[str, Any]] = {}
    for ask in asks:
        declaration = ask.declaration
        name, owner = declaration.name, _owner(declaration.deltas_have_owner_set, reach)
        seen = " ".join(["dbId mutationType", *(each for each in declaration.extras if each == "mutatedAt")])
        edges = f"{{ edges {{ cursor node {{ {seen} }} }} }}"
        roots.append(f"{newest_alias(name)}: {declaration.deltas}(last: {2 if ask.two else 1}{owner}) {edges}")
        if ask.prior is not None:
            prior = ask.prior or None
            variables[f"{name}_prior"] = ("String", prior)
            arguments = f"first: 2{_after(f'${name}_prior', prior)}{owner}"
            roots.append(f"{anchor_alias(name)}: {declaration.deltas}({arguments}) {edges}")
        if ask.page:
            variables[f"{name}_after"] = ("String", ask.after)
            arguments = f"first: {reach.page_size}{_after(f'${name}_after', ask.after)}{owner}"
            roots.append(f"{name}: {declaration.deltas}({arguments}) {_page(_delta_fields(ask))}")
    return _document(roots, variables, tenant=tenant)


def rows_document(
    wanted: Mapping[Declaration, tuple[Sequence[str], str | None]], reach: Reach, *, tenant: bool = False
) -> Document:
    """Rows by their ids, of several entities at once: {entity: (ids, after)}."""
    roots: list[str] = []
    variables: dict[str, tuple[str, Any]] = {}
    for declaration, (ids, after) in wanted.items():
        name = declaration.name
        values = list(ids) if declaration.key_kind == "id64" else [int(each) for each in ids]
        variables[f"{name}_ids"] = (f"[{declaration.id_type}!]", values)
        variables[f"{name}_after"] = ("String", after)
        found = f"filter: {{ dbId_in: ${name}_ids }}, first: {reach.page_size}{_after(f'${name}_after', after)}"
        roots.append(
            f"{name}: {declaration.root}({found}{_reached(declaration, reach)}) {_page(selection(declaration.fields))}"
        )
    return _document(roots, variables, tenant=tenant)


def edge_rows_document(declaration: Declaration, reach: Reach) -> Document:
    """The first and the last row of an entity, for a forecast."""
    roots = []
    for alias, which in (("oldest", "first"), ("newest", "last")):
        arguments = f"{which}: 1{_reached(declaration, reach)}"
        roots.append(f"{alias}: {declaration.root}({arguments}) {{ edges {{ cursor node {{ dbId }} }} }}")
    return _document(roots, {}, tenant=False)


def trial_document(declarations: Sequence[Declaration], reach: Reach) -> Document:
    """The newest row and change of each entity, the row with every field: whether all of it may be read."""
    roots = []
    for each in declarations:
        arguments = f"last: 1{_reached(each, reach)}"
        roots.append(f"{each.name}: {each.root}({arguments}) {_page(selection(each.fields))}")
        if each.deltas is not None:
            arguments = f"last: 1{_owner(each.deltas_have_owner_set, reach)}"
            roots.append(f"{newest_alias(each.name)}: {each.deltas}({arguments}) {{ edges {{ node {{ dbId }} }} }}")
    return _document(roots, {}, tenant=False)


def tenant_document() -> Document:
    """Whose token it is."""
    return _document([], {}, tenant=True)


def _delta_fields(ask: Ask) -> str:
    current = f" _current {{ {selection(ask.declaration.fields)} }}" if ask.current else ""
    return " ".join(["dbId mutationType", *ask.declaration.extras]) + current


def _page(content: str) -> str:
    return f"{{ {PAGE_INFO} edges {{ cursor node {{ {content} }} }} }}"


def _after(variable: str, after: str | None) -> str:
    return f", after: {variable}" if after is not None else ""


def _reached(declaration: Declaration, reach: Reach) -> str:
    status = f", objectStatus: {reach.object_status}" if declaration.has_object_status else ""
    return f"{_owner(declaration.has_owner_set, reach)}{status}"


def _owner(known: bool, reach: Reach) -> str:
    return f", ownerSet: {reach.owner_set}" if known else ""


def _document(roots: Sequence[str], variables: Mapping[str, tuple[str, Any]], *, tenant: bool) -> Document:
    """A variable without a value is left out altogether: an unused one makes the document invalid (weakness 27)."""
    used = {name: pair for name, pair in variables.items() if pair[1] is not None}
    declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in used.items())
    head = f"query ({declared})" if declared else "query"
    # The tenant comes first: if the token is refused, nothing else is worth reading.
    text = f"{head} {{ {' '.join([TENANT_ROOT] * tenant + list(roots))} }}"
    return Document(text, {name: value for name, (_, value) in used.items()})
