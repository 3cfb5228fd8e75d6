"""Rendering by column: for each selected field the JSON texts of all rows, then one join over the rows.

A reference is rendered once for each object of the catalogue that it can point to, not once for each row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from json.encoder import encode_basestring
from typing import Any

from postroad.connectors.xledger.simulator.company import DERIVED, REFERENCES, Catalog, Column, Reference, References
from postroad.connectors.xledger.simulator.selection import Selected

Texts = Iterable[str]
_FEW: dict[type, dict[Any, str]] = {type(None): {None: "null"}, bool: {True: "true", False: "false"}}


def text(value: Any) -> str:
    """The JSON text of a scalar."""
    if type(value) is str:
        return encode_basestring(value)
    return json.dumps(value)


def json_object(members: Iterable[tuple[str, bytes]]) -> bytes:
    """The JSON of an object whose values are rendered."""
    return b"{" + b",".join([b"%b:%b" % (text(key).encode(), value) for key, value in members]) + b"}"


def object_text(selected: Selected, value: Mapping[str, Any] | None) -> str:
    """The JSON text of one object, field by field; for the few that are not rows."""
    if value is None:
        return "null"
    members = (f"{encode_basestring(field.key)}:{_member(selected.kind, field, value)}" for field in selected.fields)
    return "{" + ",".join(members) + "}"


def _member(kind: str, field: Selected, value: Mapping[str, Any]) -> str:
    if field.name == "__typename":
        return text(kind)
    return object_text(field, value[field.name]) if field.kind else text(value[field.name])


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


def row_column(field: Selected, kind: str, values: Callable[[str], Column], catalog: Catalog, zero: bool) -> Texts:
    """The texts of one field of rows of type `kind`, whose stored columns `values` gives.

    `zero` says that an empty reference is an object with dbId 0 instead of null.
    """
    if field.name == "__typename":
        return [text(kind)] * len(values("dbId"))
    if field.name == "dbId":
        return [f'"{value}"' for value in values("dbId")]
    target = DERIVED.get(field.name, field.name)
    if target not in REFERENCES:
        return _scalars(values(target))
    choices = _choices(field, catalog[REFERENCES[target]], zero)
    return [choices[key] for key in values(target)]  # type: ignore[index]  # a stored reference is its place


def _choices(field: Selected, entries: References, zero: bool) -> list[str]:
    """The texts of a reference field for each object that it can point to."""
    key = field.shape, zero
    found = entries.rendered.get(key)
    if found is None:
        found = [_reference(field, entry if place or zero else None) for place, entry in enumerate(entries)]
        entries.rendered[key] = found
    return found


def _reference(field: Selected, entry: Reference | None) -> str:
    return object_text(field, entry) if field.kind else text(entry and entry["dbId"])


def _scalars(values: Column) -> list[str]:
    """The JSON texts of a column; strings, null and truth values without a call of `json.dumps`."""
    quote = encode_basestring
    return [
        quote(value) if type(value) is str else few[value] if (few := _FEW.get(type(value))) else json.dumps(value)
        for value in values
    ]
