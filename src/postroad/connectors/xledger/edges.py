"""The edges of an answer as Arrow reads them, and those that it cannot read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from postroad.connectors.xledger.answers import key_of
from postroad.connectors.xledger.columns import Bad
from postroad.connectors.xledger.halves import decoded
from postroad.connectors.xledger.sieve import sift
from postroad.records import key_text

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

    source: bytes
    nodes: pa.StructArray
    rows: Sequence[int]
    bad: dict[int, Bad]

    def texts(self) -> Sequence[bytes]:
        """The raw JSON of every edge, decoded only when somebody is refused."""
        return texts_of(self.source)


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


def read_edges(source: bytes, node: pa.DataType) -> Edges:
    """All edges of a list. The fast path is one call of Arrow; only when that fails is each edge looked at alone."""
    try:
        nodes = _nodes(source, node)
        return Edges(source, nodes, range(len(nodes)), {})
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return _sifted(source, node, lambda text: _nodes(b"[" + text + b"]", node))


def _sifted(source: bytes, node: pa.DataType, read: Callable[[bytes], object]) -> Edges:
    texts = texts_of(source)
    bad = sift(texts, node, read)
    good = [row for row in range(len(texts)) if row not in bad]
    return Edges(source, _nodes(joined(texts[row] for row in good), node), good, bad)


def _nodes(source: bytes, node: pa.DataType) -> pa.StructArray:
    """The nodes of a JSON list of edges; ArrowInvalid if one value is of another type than declared."""
    source.decode()  # Arrow takes invalid UTF-8 for text, and fails much later.
    body = b'{"edges":' + source + b"}"
    table = pj.read_json(
        io.BytesIO(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=pa.schema([("edges", pa.list_(pa.struct([("node", node)])))]),
            unexpected_field_behavior="ignore",
        ),
    )
    return pc.struct_field(table.column("edges").chunk(0).flatten(), ["node"])


def edge_key(text: bytes) -> str | None:
    """The key of an undecoded edge as canonical text, None if it cannot be read."""
    try:
        key = key_of(_KEYED.decode(text).node)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    digits = (key or "").removeprefix("-")
    return key_text([int(digits) * (-1 if key != digits else 1)]) if digits.isascii() and digits.isdigit() else None
