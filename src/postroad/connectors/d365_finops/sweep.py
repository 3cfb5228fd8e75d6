"""The key sweep: all keys of an entity over OData, because no package ever tells of a deletion (fact sheet 4).

Pages of a set that changes meanwhile may miss rows, so a key that they lack is asked for by itself before anybody
takes it for deleted: the engine asks, `rows_of_keys` answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.declaration import COMPANY, Declaration
from postroad.connectors.d365_finops.odata import MARK, address, literal, of_company, pages
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import CursorExpiredError
from postroad.records import CHANGED_AT, OP, UPSERT, Payload, Rows, Want

KEYS_A_CALL = 20
KIND = "keys"


def sweep(api: Api, settings: FinopsSettings, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """The pages of keys after the cursor; RemoteError where the pages go round in circles."""
    cursor: Mapping[str, Any] = want.cursor or {}
    if cursor and cursor["scope"] != settings.scope:
        raise CursorExpiredError(f"the keys of {declaration.name} are those of other settings", [declaration.name])
    company = want.scope.equals
    path = cursor.get("next") or address(declaration, declaration.key, of_company(company))
    number = int(cursor.get("page", 0))
    for page in pages(api, settings.base, declaration.name, path):
        number += 1
        yield Payload(
            page.body,
            {"scope": settings.scope, "next": page.following, "page": number},
            f"keys,{declaration.name},{company or ''},{number}",
            (declaration.name,),
            {"kind": KIND},
            want.scope.name,
            closes=page.following is None,
        )


def rows_of_keys(api: Api, base: str, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """Those of some keys that still exist, as pages that close nothing and leave the cursor alone."""
    assert want.keys is not None
    for start in range(0, want.keys.num_rows, KEYS_A_CALL):
        part = want.keys.slice(start, KEYS_A_CALL).to_pylist()
        chosen = " or ".join(f"({_condition(declaration, key)})" for key in part)
        asked = pages(api, base, declaration.name, address(declaration, declaration.key, chosen))
        for number, page in enumerate(asked, 1):
            identifier = f"asked,{declaration.name},{start},{number}"
            yield Payload(page.body, want.cursor, identifier, (declaration.name,), {"kind": KIND}, want.scope.name)


def parse_keys(payload: Payload, declaration: Declaration) -> Iterator[Rows]:
    """The keys of a page as rows that lack everything else. Pure."""
    fields = [declaration.entity.schema.field(name) for name in declaration.key]
    body = (payload.body or b"").removeprefix(MARK)
    shape = pa.schema([("value", pa.list_(pa.struct([(each.name, each.type) for each in fields])))])
    found = arrow_json.read_json(
        pa.BufferReader(body),
        arrow_json.ReadOptions(use_threads=False, block_size=len(body) + 1),
        arrow_json.ParseOptions(explicit_schema=shape, unexpected_field_behavior="ignore", newlines_in_values=True),
    )
    nodes = pc.list_flatten(found.column("value").combine_chunks())
    arrays = [_key(pc.struct_field(nodes, each.name), each.name) for each in fields]
    size = len(nodes)
    arrays += [pa.repeat(pa.scalar(UPSERT), size), pa.nulls(size, CHANGED_AT.type)]
    absent = tuple(name for name in declaration.entity.schema.names if name not in declaration.key)
    yield Rows(
        declaration.name, pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*fields, OP, CHANGED_AT])), (), absent
    )


def _key(values: pa.Array, name: str) -> pa.Array:
    """A legal entity's code has one spelling with us; what it has in OData no source tells."""
    return pc.utf8_lower(values) if name == COMPANY else values


def _condition(declaration: Declaration, key: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} eq {literal(key[name])}" for name in declaration.key)
