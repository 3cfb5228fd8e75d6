"""Landed payloads to rows: pure, and without Python work per row unless a row is bad.

One bad value costs one refusal, never the page: a page that Arrow cannot read whole is sifted edge by edge, and a
column that cannot be cast whole is halved until the bad values stand alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    """The rows of a payload, entity by entity."""
    body = payload.body or b""
    kind = payload.meta["kind"]
    for declaration in (find(declarations, name) for name in payload.entities):
        if kind == walk.KIND:
            yield _walked(body, declaration, zone)
        elif kind == changes.KIND and payload.meta["current"]:
            yield with_current(edges_of(body, declaration.name), declaration, zone)
        elif kind == changes.KIND:
            yield _looked_up(body, declaration, zone)
        else:
            raise StateError(f"a payload of an unknown kind {kind!r}: it was landed by a newer version; upgrade")


def _walked(body: bytes, declaration: Declaration, zone: str) -> Rows:
    """One page of a walk: all of its rows are upserts."""
    edges = read_page(body, declaration.name, node_type(declaration))
    columns = convert(edges.nodes, declaration, zone)
    size = len(edges.nodes)
    changed_at = pa.nulls(size, CHANGED_AT.type)
    if declaration.changed_at is not None:
        changed_at = columns.arrays[declaration.schema.names.index(declaration.changed_at)]
    return Draft(declaration, edges, columns, pa.repeat(UPSERT, size), changed_at).finished()


def _looked_up(body: bytes, declaration: Declaration, zone: str) -> Rows:
    """A page of changes and, beside it, the rows that were looked up by id."""
    envelope = decoded(_ENVELOPE, body)
    name = declaration.name
    rows = joined(text for raw in envelope.rows for text in texts_of(edges_of(bytes(raw), name)))
    return with_rows(edges_of(bytes(envelope.deltas), name), rows, declaration, zone)
