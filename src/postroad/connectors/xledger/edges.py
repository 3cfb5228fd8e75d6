"""The edges of an answer as Arrow reads them, and those that it cannot read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from postroad.connectors.xledger.answers import key_of
from postroad.connectors.xledger.halves import decoded
from postroad.connectors.xledger.sieve import sift
from postroad.records import key_text
from postroad.sdk.casting import Bad

NULL = msgspec.Raw(b"null")


class _Connection(msgspec.Struct):
    edges: msgspec.Raw = NULL


class _Body(msgspec.Struct):
    data: dict[str, _Connection | None]


class _Keyed(msgspec.Struct):
    node: msgspec.Raw = NULL


_BODY = msgspec.json.Decoder(_Body)
_EDGES = msgspec.json.Decoder(list[msgspec.Raw] | None)
_KEYED = msgspec.json.Decoder(_Keyed)


@dataclass(frozen=True)
class Edges:
    """One entity's edges. `nodes` holds those that Arrow could read, `rows` their numbers, `bad` why not the others."""

    source: Callable[[], bytes]
    nodes: pa.StructArray
    rows: Sequence[int]
    bad: dict[int, Bad]

    def texts(self) -> Sequence[bytes]:
        """The raw JSON of every edge, decoded only when somebody is refused."""
        return texts_of(self.source())


def edges_of(body: bytes, alias: str) -> bytes:
    """The bytes of the edges under an alias; `null` where there are none."""
    connection = decoded(_BODY, body).data.get(alias)
    return bytes(connection.edges) if connection is not None else b"null"


def texts_of(source: bytes) -> Sequence[bytes]:
    """The raw JSON of each edge of a list."""
    return _EDGES.decode(source) or []


def joined(texts: Iterable[bytes]) -> bytes:
    """A list of edges from their raw JSON."""
    return b"[" + b",".join(texts) + b"]"


def read_page(body: bytes, alias: str, node: pa.DataType) -> Edges:
    """All edges under an alias of an answer: one call of Arrow on the bytes as they came, unless one of them is bad."""
    try:
        nodes = _nodes(body, ["data", alias, "edges"], node)
    except pa.ArrowInvalid:
        return read_edges(edges_of(body, alias), node)
    return Edges(partial(edges_of, body, alias), nodes, range(len(nodes)), {})


def read_edges(source: bytes, node: pa.DataType) -> Edges:
    """All edges of a list. The fast path is one call of Arrow; only when that fails is each edge looked at alone."""
    try:
        nodes = _listed(source, node)
    except pa.ArrowInvalid:
        return _sifted(source, node, lambda text: _listed(b"[" + text + b"]", node))
    return Edges(lambda: source, nodes, range(len(nodes)), {})


def _sifted(source: bytes, node: pa.DataType, read: Callable[[bytes], object]) -> Edges:
    texts = texts_of(source)
    bad = sift(texts, node, read)
    good = [row for row in range(len(texts)) if row not in bad]
    return Edges(lambda: source, _listed(joined(texts[row] for row in good), node), good, bad)


def _listed(source: bytes, node: pa.DataType) -> pa.StructArray:
    return _nodes(b'{"edges":' + source + b"}", ["edges"], node)


def _nodes(body: bytes, path: Sequence[str], node: pa.DataType) -> pa.StructArray:
    """The nodes of the edges at a path; ArrowInvalid if one value is of another type than declared."""
    _require_utf8(body)
    kind = pa.list_(pa.struct([("node", node)]))
    for name in reversed(path[1:]):
        kind = pa.struct([(name, kind)])
    table = pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=pj.ParseOptions(explicit_schema=pa.schema([(path[0], kind)]), unexpected_field_behavior="ignore"),
    )
    found = table.column(path[0]).chunk(0)
    edges = pc.struct_field(found, list(path[1:])) if path[1:] else found
    return pc.struct_field(edges.flatten(), ["node"])


def _require_utf8(body: bytes) -> None:
    """Arrow's JSON reader takes invalid UTF-8 for text, and its user fails much later; ArrowInvalid instead."""
    offsets = pa.array([0, len(body)], pa.int32()).buffers()[1]
    pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(body)]).validate(full=True)


def edge_key(text: bytes) -> str | None:
    """The key of an undecoded edge as canonical text, None if it cannot be read."""
    try:
        key = key_of(_KEYED.decode(text).node)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    digits = (key or "").removeprefix("-")
    return key_text([int(digits) * (-1 if key != digits else 1)]) if digits.isascii() and digits.isdigit() else None
