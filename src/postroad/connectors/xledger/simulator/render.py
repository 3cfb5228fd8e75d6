"""Rendering by column: for each selected field the JSON texts of all rows, then one join over the rows.

A reference is rendered once for each row that it points to, not once for each row that points.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from json.encoder import encode_basestring
from typing import Any

from postroad.connectors.xledger.simulator.declare import Column, Field
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.switches import NullReference
from postroad.connectors.xledger.simulator.tables import TYPES

Texts = Iterable[str]
_WRITERS: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}


@dataclass(frozen=True)
class Shown:
    """Some rows of one table that are rendered: how many, their columns, and as of which era they show others.

    `null` says what an empty reference is: null, an object with dbId 0, or now this, now that (`mixed`).
    """

    store: Store
    count: int
    values: Callable[[str], Column]
    null: NullReference
    era: int | None = None


def text(value: Any) -> str:
    """The JSON text of a scalar."""
    if type(value) is str:
        return encode_basestring(value)
    return json.dumps(value)


def json_object(members: Iterable[tuple[str, bytes]]) -> bytes:
    """The JSON of an object whose values are rendered."""
    return b"{" + b",".join([b"%b:%b" % (text(key).encode(), value) for key, value in members]) + b"}"


def object_text(selected: Selected, value: Mapping[str, Any]) -> str:
    """The JSON text of one object of scalars, field by field; for the few that are not rows."""
    members = {
        field.key: selected.kind if field.name == "__typename" else value[field.name] for field in selected.fields
    }
    return "{" + ",".join(f"{encode_basestring(key)}:{text(each)}" for key, each in members.items()) + "}"


def joined(fields: Sequence[Selected], column: Callable[[Selected], Texts], count: int) -> list[str]:
    """The JSON text of each of `count` objects, from the texts of their fields."""
    if not fields:
        return ["{}"] * count
    pieces: list[Texts] = []
    opening = "{"
    for field in fields:
        pieces += [repeat(f"{opening}{encode_basestring(field.key)}:", count), column(field)]
        opening = ","
    return list(map("".join, zip(*pieces, repeat("}", count), strict=True)))


def row_texts(node: Selected, shown: Shown) -> list[str]:
    """The JSON text of each row."""
    return joined(node.fields, lambda field: column_texts(field, node.kind, shown), shown.count)


def column_texts(field: Selected, kind: str, shown: Shown) -> Texts:
    """The texts of one field of rows that are of type `kind`."""
    if field.name == "__typename":
        return [text(kind)] * shown.count
    declared = TYPES[kind].fields[field.name]
    if declared.part:
        return row_texts(field, shown)
    values = shown.values(declared.column)
    if declared.of:
        return _references(field, declared, values, shown)
    if declared.type == "Int64String":
        return [f'"{value}"' for value in values]
    return _scalars(values)


def _references(field: Selected, declared: Field, values: Column, shown: Shown) -> list[str]:
    """The texts of what a column of places points to."""
    places = {int(place) for place in values if place}
    choices: dict[Any, str] = _choices(field, declared, places, shown)
    if shown.null == "mixed" and len(places) < len(values):
        none = "null", _nothing(field)
        ids = shown.values("dbId")
        return [choices[place] if place else none[int(id_ or 0) % 2] for place, id_ in zip(values, ids, strict=True)]
    none_ = _nothing(field) if shown.null == "zero" else "null"
    return [choices[place] if place else none_ for place in values]


def _choices(field: Selected, declared: Field, places: set[int], shown: Shown) -> dict[int, str]:
    rows = shown.store.rows[declared.of]
    if not field.kind:
        return {place: str(id_) for place, id_ in rows.ids(places).items()}

    def render(wanted: list[int]) -> list[str]:
        def values(name: str) -> Column:
            return rows.referred(name, wanted, shown.era)

        return row_texts(field, Shown(shown.store, len(wanted), values, shown.null, shown.era))

    if shown.era is not None and shown.era != shown.store.era:
        wanted = sorted(places)
        return dict(zip(wanted, render(wanted), strict=True))
    return shown.store.texts((declared.of, field.shape, shown.null), places, render)


def _nothing(field: Selected) -> str:
    """A reference to nothing that is an object nevertheless: its dbId is 0, all else is null."""
    if not field.kind:
        return "0"
    values = {"dbId": "0", "__typename": text(field.kind)}
    members = (f"{encode_basestring(each.key)}:{values.get(each.name, 'null')}" for each in field.fields)
    return "{" + ",".join(members) + "}"


def _scalars(values: Column) -> list[str]:
    """The JSON texts of a column, mostly without a call of `json.dumps`."""
    quote = encode_basestring
    return [quote(value) if type(value) is str else _WRITERS.get(type(value), json.dumps)(value) for value in values]
