"""The key sweep: all keys of an entity over OData, because no package ever tells of a deletion (fact sheet 4).

Pages of a set that changes meanwhile may miss rows, so a key that they lack is asked for by itself before anybody
takes it for deleted: the engine asks, `rows_of_keys` answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.declaration import COMPANY, Declaration
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import CursorExpiredError, RemoteError, TransientError
from postroad.records import CHANGED_AT, OP, UPSERT, Payload, Rows, Want

KEYS_A_CALL = 20
KIND = "keys"


def sweep(api: Api, settings: FinopsSettings, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """The pages of keys after the cursor; RemoteError where the pages go round in circles."""
    cursor: Mapping[str, Any] = want.cursor or {}
    if cursor and cursor["scope"] != settings.scope:
        raise CursorExpiredError(f"the keys of {declaration.name} are those of other settings", [declaration.name])
    company = want.scope.equals
    path = cursor.get("next") or _address(declaration, f"{COMPANY} eq '{company}'" if company else "")
    number = int(cursor.get("page", 0))
    seen = {path}
    following: str | None = path
    while following is not None:
        body = api.read(following)
        number += 1
        following = _next(body, settings.base)
        if following in seen:
            raise RemoteError(f"the pages of {declaration.name} go round in circles: a link was repeated; try again")
        seen.add(following or "")
        yield Payload(
            body,
            {"scope": settings.scope, "next": following, "page": number},
            f"keys,{declaration.name},{company or ''},{number}",
            (declaration.name,),
            {"kind": KIND},
            want.scope.name,
            closes=following is None,
        )


def rows_of_keys(api: Api, base: str, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """Those of some keys that still exist, as pages that close nothing and leave the cursor alone."""
    assert want.keys is not None
    for start in range(0, want.keys.num_rows, KEYS_A_CALL):
        part = want.keys.slice(start, KEYS_A_CALL).to_pylist()
        chosen = " or ".join(f"({_condition(declaration, key)})" for key in part)
        path: str | None = _address(declaration, chosen)
        seen: set[str] = set()
        while path is not None:
            seen.add(path)
            body = api.read(path)
            path = _next(body, base)
            if path in seen:
                raise RemoteError(
                    f"the pages of {declaration.name} go round in circles: a link was repeated; try again"
                )
            identifier = f"asked,{declaration.name},{start},{len(seen)}"
            yield Payload(body, want.cursor, identifier, (declaration.name,), {"kind": KIND}, want.scope.name)


def parse_keys(payload: Payload, declaration: Declaration) -> Iterator[Rows]:
    """The keys of a page as rows that lack everything else. Pure."""
    fields = [declaration.entity.schema.field(name) for name in declaration.key]
    body = (payload.body or b"").removeprefix(b"\xef\xbb\xbf")
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


def _address(declaration: Declaration, chosen: str) -> str:
    options = {"cross-company": "true", "$select": ",".join(declaration.key)}
    if chosen:
        options["$filter"] = chosen
    return f"/data/{declaration.name}?{urlencode(options, quote_via=quote, safe='$,')}"


def _condition(declaration: Declaration, key: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} eq {_literal(key[name])}" for name in declaration.key)


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _next(body: bytes, base: str) -> str | None:
    """The path of the link to the next page; its scheme and host are often the server's inner ones (fact sheet 5)."""
    link = _member(body)
    if link is None:
        return None
    parts = urlsplit(link)
    prefix = urlsplit(base).path
    path = parts.path.removeprefix(prefix) if prefix else parts.path
    if not path.startswith("/data/"):
        raise RemoteError("the link to the next page leads elsewhere than to /data")
    return f"{path}?{parts.query}"


def _member(body: bytes) -> str | None:
    try:
        whole = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise TransientError("a page of keys cannot be read: it broke off") from None
    if not isinstance(whole, dict) or not isinstance(whole.get("value"), list):
        raise RemoteError("Finance & Operations answered without a page of keys")
    link = whole.get("@odata.nextLink")
    return link if isinstance(link, str) and link else None
