"""Landed payloads to rows: pure, and without Python work per row unless a row is bad.

One bad value costs one refusal, never the page: a page that Arrow cannot read whole is first sifted edge by edge, and
a column that cannot be cast whole is halved until the bad values stand alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from postroad.connectors.xledger.answers import key_of
from postroad.connectors.xledger.columns import Bad, Columns, convert, node_type
from postroad.connectors.xledger.entities import Declaration
from postroad.connectors.xledger.sieve import sift
from postroad.records import AMBIGUOUS, CHANGED_AT, OP, UPSERT, Refusal, Rows, key_text

NULL = msgspec.Raw(b"null")
UNREADABLE = Bad("unreadable_key", "the row has no readable dbId, so nobody can say which record it is")


class Connection(msgspec.Struct):
    """The edges of one root field, undecoded."""

    edges: msgspec.Raw = NULL


class Body(msgspec.Struct):
    """An answer as it landed."""

    data: dict[str, Connection | None]


_BODY = msgspec.json.Decoder(Body)
_EDGES = msgspec.json.Decoder(list[msgspec.Raw] | None)


@dataclass
class Edges:
    """The edges of one entity as Arrow read them, and those that Arrow could not read.

    `nodes` holds only the readable ones; `rows` are their numbers in the answer. `texts` is filled when it is needed.
    """

    source: bytes
    nodes: pa.StructArray
    rows: Sequence[int]
    bad: Mapping[int, Bad]

    def text(self, row: int) -> bytes:
        """The raw JSON of one edge."""
        return bytes(self.texts()[row])

    def texts(self) -> list[msgspec.Raw]:
        """The raw JSON of every edge."""
        return _EDGES.decode(self.source) or []


def edges_of(body: bytes, alias: str) -> bytes:
    """The bytes of the edges under an alias; `null` where there are none."""
    connection = _BODY.decode(body).data.get(alias)
    return bytes(connection.edges) if connection is not None else b"null"


def read_edges(source: bytes, node: pa.DataType) -> Edges:
    """All edges of an answer. The fast path is one call of Arrow; only when that fails is each edge looked at."""
    try:
        nodes = arrow_nodes(source, node)
        return Edges(source, nodes, range(len(nodes)), {})
    except (pa.ArrowInvalid, UnicodeDecodeError):
        texts = _EDGES.decode(source) or []
        bad = sift(texts, node, lambda text: arrow_nodes(b"[" + text + b"]", node))
        good = [row for row in range(len(texts)) if row not in bad]
        return Edges(source, arrow_nodes(b"[" + b",".join(texts[row] for row in good) + b"]", node), good, bad)


def arrow_nodes(source: bytes, node: pa.DataType) -> pa.StructArray:
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
    edges = table.column("edges").chunk(0).flatten()
    return pc.struct_field(edges, ["node"])


def walked(body: bytes, declaration: Declaration, zone: str) -> Rows:
    """The rows of one page of a walk: all of them upserts."""
    edges = read_edges(edges_of(body, declaration.name), node_type(declaration))
    columns = convert(edges.nodes, declaration, zone)
    refuse_without_key(columns)
    batch = business_batch(columns, declaration)
    changed_at = batch.column(".".join(declaration.changed_at)) if declaration.changed_at else None
    return finished(edges, columns, batch, declaration, pa.repeat(UPSERT, len(batch)), changed_at)


def refuse_without_key(columns: Columns) -> None:
    """A row without an id that can be read is refused, whatever else is wrong with it."""
    keys = columns.arrays[0]
    if keys.null_count:
        for row in pc.indices_nonzero(keys.is_null()).to_pylist():
            columns.bad[row] = UNREADABLE


def business_batch(columns: Columns, declaration: Declaration) -> pa.RecordBatch:
    """The business columns, bad rows included, under nullable types."""
    return pa.RecordBatch.from_arrays(columns.arrays, names=declaration.schema.names)


def finished(
    edges: Edges,
    columns: Columns,
    batch: pa.RecordBatch,
    declaration: Declaration,
    ops: pa.Array,
    changed_at: pa.Array | None,
) -> Rows:
    """Accepted rows with our own columns, and a refusal for every other edge, by its number in the answer."""
    size = len(batch)
    changed = changed_at if changed_at is not None else pa.nulls(size, CHANGED_AT.type)
    arrays = [*batch.columns, ops, changed, ambiguous_column(columns, size)]
    schema = pa.schema([*declaration.schema, OP, CHANGED_AT, AMBIGUOUS])
    if columns.bad:
        keep = pa.array([row not in columns.bad for row in range(size)], pa.bool_())
        arrays = [array.filter(keep) for array in arrays]
    records = pa.RecordBatch.from_arrays(arrays, schema=schema)
    bad = {**edges.bad, **{edges.rows[row]: why for row, why in columns.bad.items()}}
    return Rows(declaration.name, records, list(refusals(edges, bad)))


def ambiguous_column(columns: Columns, size: int) -> pa.Array:
    """The texts of local times that named two instants."""
    if not columns.ambiguous:
        return pa.nulls(size, AMBIGUOUS.type)
    texts = columns.ambiguous
    return pa.array([list(texts[row].items()) if row in texts else None for row in range(size)], AMBIGUOUS.type)


def refusals(edges: Edges, bad: Mapping[int, Bad]) -> Iterator[Refusal]:
    """A refusal for each bad row, in the order of the answer."""
    texts = edges.texts() if bad else []
    for row in sorted(bad):
        why = bad[row]
        key = None if why is UNREADABLE else edge_key(texts[row])
        yield Refusal(row, key, why.cause, why.sentence, bytes(texts[row]).decode(errors="replace"))


class _Keyed(msgspec.Struct):
    node: msgspec.Raw = NULL


_KEYED = msgspec.json.Decoder(_Keyed)


def edge_key(text: bytes) -> str | None:
    """The key of an undecoded edge as text, None if it cannot be read."""
    try:
        key = key_of(_KEYED.decode(text).node)
    except msgspec.MsgspecError:
        return None
    digits = (key or "").removeprefix("-")
    return key_text([int(key)]) if key and digits.isascii() and digits.isdigit() else None
