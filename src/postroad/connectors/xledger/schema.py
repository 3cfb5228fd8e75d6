"""The server's own schema: which of our declared queries, fields and arguments it has (fact sheet 1.1, introspection).

Asked for only after an error that names an unknown field, never per run (weakness 23).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from postroad.connectors.xledger.declaration import KEY, Declaration
from postroad.connectors.xledger.faults import UnusableError

LEAVES = ("SCALAR", "ENUM")
CURRENT = "_current"
MUTATION = "mutationType"


class _Kind(msgspec.Struct, rename="camel"):
    name: str | None = None
    kind: str = ""
    of_type: _Kind | None = None

    @property
    def bare(self) -> _Kind:
        """The type itself, without lists and non-null around it."""
        return self.of_type.bare if self.of_type is not None and self.name is None else self


class _Argument(msgspec.Struct):
    name: str


class _Field(msgspec.Struct):
    name: str
    type: _Kind
    args: list[_Argument] = []


class _Type(msgspec.Struct):
    name: str
    fields: list[_Field] | None = None


class _Root(msgspec.Struct):
    name: str


class _Schema(msgspec.Struct, rename="camel"):
    query_type: _Root
    types: list[_Type]


class _Data(msgspec.Struct):
    schema: _Schema = msgspec.field(name="__schema")


class _Body(msgspec.Struct):
    data: _Data


_BODY = msgspec.json.Decoder(_Body)


@dataclass(frozen=True)
class Lack:
    """What the schema lacks of one entity: fields, what a change tells beside its record, arguments of its queries.

    `whole` is the sentence for an entity that cannot be read at all by these `queries`. `since` is when it was found,
    in seconds.
    """

    fields: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    whole: str = ""
    queries: tuple[str, ...] = ()
    since: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.fields or self.extras or self.arguments or self.whole)

    def applied(self, declaration: Declaration) -> Declaration:
        """The declaration without what is lacking."""
        if not self:
            return declaration
        return replace(
            declaration.only([each.name for each in declaration.fields if each.name not in self.fields]),
            extras=tuple(each for each in declaration.extras if each not in self.extras),
            has_object_status=declaration.has_object_status and "objectStatus" not in self.arguments,
            has_owner_set=declaration.has_owner_set and "ownerSet" not in self.arguments,
            deltas_have_owner_set=declaration.deltas_have_owner_set and "deltas.ownerSet" not in self.arguments,
        )

    def value(self) -> dict[str, Any]:
        """As a cursor keeps it: what there is of it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items() if value}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Lack:
        """From its stored form."""
        fields, extras, arguments, queries = (
            tuple(value.get(name, ())) for name in ("fields", "extras", "arguments", "queries")
        )
        return cls(fields, extras, arguments, value.get("whole", ""), queries, value.get("since", 0.0))


class Schema:
    """What the server's schema knows."""

    def __init__(self, body: bytes) -> None:
        try:
            schema = _BODY.decode(body).data.schema
        except msgspec.MsgspecError as error:
            raise UnusableError(f"the schema has an unknown shape: {error}") from None
        self._query = schema.query_type.name
        self._types = {each.name: {field.name: field for field in each.fields or ()} for each in schema.types}

    def lack(self, declaration: Declaration) -> Lack:
        """What it lacks of a declaration."""
        rows = self._node(declaration.root)
        if rows is None:
            return Lack(whole=lost(declaration.root), queries=declaration.queries)
        fields = self._missing(rows, declaration)
        extras: tuple[str, ...] = ()
        if declaration.deltas is not None:
            change = self._node(declaration.deltas)
            if change is None:
                return Lack(whole=lost(declaration.deltas), queries=declaration.queries)
            if needed := [name for name in (*KEY, MUTATION) if name not in self._types[change]]:
                return Lack(whole=_useless(declaration.deltas, needed[0]), queries=declaration.queries)
            extras = tuple(name for name in declaration.extras if name not in self._types[change])
            if CURRENT in self._types[change]:
                now = self._types[change][CURRENT].type.bare.name or ""
                fields += [name for name in self._missing(now, declaration) if name not in fields]
        if ".".join(KEY) in fields:
            return Lack(whole=_useless(declaration.root, *KEY), queries=declaration.queries)
        return Lack(tuple(fields), extras, tuple(self._arguments(declaration)))

    def _arguments(self, declaration: Declaration) -> Iterator[str]:
        known = self._arguments_of(declaration.root)
        yield from (name for name in ("ownerSet", "objectStatus") if name not in known)
        if declaration.deltas is not None and "ownerSet" not in self._arguments_of(declaration.deltas):
            yield "deltas.ownerSet"

    def _arguments_of(self, root: str) -> set[str]:
        return {argument.name for argument in self._types[self._query][root].args}

    def _missing(self, kind: str, declaration: Declaration) -> list[str]:
        return [field.name for field in declaration.fields if not self._leads_to_a_leaf(kind, field.path)]

    def _leads_to_a_leaf(self, kind: str, path: Sequence[str]) -> bool:
        found = self._along(kind, path)
        return found is not None and found.kind in LEAVES

    def _node(self, root: str) -> str | None:
        """The type of a connection's nodes; None if there is no such connection."""
        found = self._along(self._query, (root, "edges", "node"))
        return found.name if found is not None and found.name in self._types else None

    def _along(self, kind: str, path: Sequence[str]) -> _Kind | None:
        """The type at the end of a path."""
        found: _Kind | None = _Kind(kind)
        for name in path:
            field = self._types.get((found and found.name) or "", {}).get(name)
            found = field.type.bare if field is not None else None
        return found


def lost(root: str) -> str:
    """The sentence for a query that is not there."""
    return (
        f"Xledger has no query '{root}' that lists records: correct the name if the project gave it; else ask Xledger "
        "what became of it, and take the entity out of the flows until then"
    )


def _useless(root: str, field: str) -> str:
    return (
        f"Xledger's {root} have no {field}, without which they cannot be kept in step: ask Xledger what became of it, "
        "and take the entity out of the flows until then"
    )
