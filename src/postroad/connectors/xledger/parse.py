"""Landed payloads to rows: pure, and without Python work per row unless a row is bad.

One bad value costs one refusal, never the page: a page that Arrow cannot read whole is sifted edge by edge, and a
column that cannot be cast whole is halved until the bad values stand alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import msgspec
import pyarrow as pa

from postroad.connectors.xledger import changes, walk
from postroad.connectors.xledger.columns import convert, node_type
from postroad.connectors.xledger.declaration import Declaration, find
from postroad.connectors.xledger.deltas import with_current, with_rows
from postroad.connectors.xledger.edges import edges_of, joined, read_page, texts_of
from postroad.connectors.xledger.halves import decoded
from postroad.connectors.xledger.rows import Draft
from postroad.errors import StateError
from postroad.records import CHANGED_AT, UPSERT, Payload, Rows


class _Envelope(msgspec.Struct):
    """What `lookup.envelope` joined."""

    deltas: msgspec.Raw
    rows: list[msgspec.Raw]


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def parse(payload: Payload, declarations: Sequence[Declaration], zone: str) -> Iterator[Rows]:
    """The rows of a payload, entity by entity; columns that were not asked for are absent (sequence 16)."""
    fields = payload.meta.get("fields", {})
    for name in payload.entities:
        whole = find(declarations, name)
        asked = _asked(whole, fields[name]) if name in fields else whole
        rows = _rows(payload, asked, zone)
        yield rows if asked is whole else replace(rows, absent=_absent(whole, asked))


def _rows(payload: Payload, declaration: Declaration, zone: str) -> Rows:
    body = payload.body or b""
    kind = payload.meta["kind"]
    if kind == walk.KIND:
        return _walked(body, declaration, zone)
    if kind == changes.KIND and payload.meta["current"]:
        return with_current(edges_of(body, declaration.name), declaration, zone)
    if kind == changes.KIND:
        return _looked_up(body, declaration, zone)
    raise StateError(f"a payload of an unknown kind {kind!r}: it was landed by a newer version; upgrade")


@lru_cache(maxsize=64)
def _asked(declaration: Declaration, fields: str) -> Declaration:
    """The declaration as far as it was asked for; itself if that is all of it."""
    names = {*fields.split()}
    return declaration if names.issuperset(each.name for each in declaration.fields) else declaration.only(names)


def _absent(whole: Declaration, asked: Declaration) -> tuple[str, ...]:
    return tuple(name for name in whole.schema.names if name not in asked.schema.names)


def _walked(body: bytes, declaration: Declaration, zone: str) -> Rows:
    """One page of a walk: all of its rows are upserts."""
    edges = read_page(body, declaration.name, node_type(declaration))
    columns = convert(edges.nodes, declaration, zone)
    size = len(edges.nodes)
    changed_at = pa.nulls(size, CHANGED_AT.type)
    if declaration.changed_at in declaration.schema.names:
        changed_at = columns.arrays[declaration.schema.names.index(declaration.changed_at)]
    return Draft(declaration, edges, columns, pa.repeat(UPSERT, size), changed_at).finished()


def _looked_up(body: bytes, declaration: Declaration, zone: str) -> Rows:
    """A page of changes and, beside it, the rows that were looked up by id."""
    envelope = decoded(_ENVELOPE, body)
    name = declaration.name
    rows = joined(text for raw in envelope.rows for text in texts_of(edges_of(bytes(raw), name)))
    return with_rows(edges_of(bytes(envelope.deltas), name), rows, declaration, zone)
