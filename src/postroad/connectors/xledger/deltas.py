"""Changes to rows: what each edge did to its record, in the order of the feed (fact sheet 2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.xledger.columns import Columns, cast_ids, convert, node_type
from postroad.connectors.xledger.declaration import JSON_TYPES, Declaration
from postroad.connectors.xledger.edges import Edges, edge_key, read_edges
from postroad.connectors.xledger.lookup import DELETED, UPSERTS
from postroad.connectors.xledger.rows import Draft
from postroad.records import DELETE, UPSERT, Rows, key_text
from postroad.sdk.casting import Bad, cast_or_find
from postroad.sdk.times import to_utc

LOCAL = pa.timestamp("us")
GONE = Bad(
    "gone_or_unreadable",
    "Xledger reports a change of this record and does not show it: it is gone, or the token may not read it",
)
MISMATCH = Bad("key_mismatch", "the change names another dbId than the row that came with it")
UNKNOWN = Bad("unknown_mutation", "the change is none of ADDED, UPDATED and DELETED")


def with_current(source: bytes, declaration: Declaration, zone: str) -> Rows:
    """Changes that carry their record's row as it is now."""
    return current_rows(
        read_edges(source, _delta_type(declaration, [("_current", node_type(declaration))])), declaration, zone
    )


def current_rows(edges: Edges, declaration: Declaration, zone: str, bad: Mapping[int, Bad] | None = None) -> Rows:
    """The rows of such changes once Arrow has them; `bad` are those already known to hold something unreadable."""
    current = pc.struct_field(edges.nodes, ["_current"])
    change = _Change(edges, declaration)
    columns = convert(current, declaration, zone)
    columns.bad |= bad or {}
    strange = pc.fill_null(pc.not_equal(columns.arrays[0], change.keys), True)
    change.keep_upserts_only(columns)
    _refuse(columns, pc.and_(change.upsert, pc.and_(current.is_valid(), strange)), MISMATCH)
    return change.rows(columns, zone, gone=pc.and_(change.upsert, current.is_null()))


def with_rows(source: bytes, row_source: bytes, declaration: Declaration, zone: str) -> Rows:
    """Changes whose rows were looked up: each takes the row with its id."""
    edges = read_edges(source, _delta_type(declaration, []))
    change = _Change(edges, declaration)
    row_edges = read_edges(row_source, node_type(declaration))
    found = convert(row_edges.nodes, declaration, zone)
    place = pc.index_in(change.keys, value_set=found.arrays[0], skip_nulls=True)
    columns = Columns([array.take(place) for array in found.arrays])
    raw = _carry(place.to_pylist(), found, row_edges, columns) if found.bad or found.ambiguous else {}
    gone = pc.and_(change.upsert, place.is_null())
    if row_edges.bad:
        raw |= _carry_unread(pc.indices_nonzero(gone).to_pylist(), change.keys, row_edges, columns)
    change.keep_upserts_only(columns)
    return change.rows(columns, zone, gone=gone, raw=raw)


class _Change:
    """Key and kind of each edge."""

    def __init__(self, edges: Edges, declaration: Declaration) -> None:
        self.edges = edges
        self.declaration = declaration
        self.keys, _ = cast_ids(pc.struct_field(edges.nodes, ["dbId"]))
        kind = pc.struct_field(edges.nodes, ["mutationType"])
        self.delete = pc.fill_null(pc.equal(kind, DELETED), False)
        self.upsert = pc.is_in(kind, value_set=pa.array(UPSERTS))

    def keep_upserts_only(self, columns: Columns) -> None:
        """A deletion has a key and nothing else; what its row still says is neither shown nor held against it."""
        if not pc.all(self.upsert).as_py():
            columns.arrays = [pc.if_else(self.upsert, array, pa.scalar(None, array.type)) for array in columns.arrays]
            upserts = set(pc.indices_nonzero(self.upsert).to_pylist())
            columns.bad = {row: why for row, why in columns.bad.items() if row in upserts}
            columns.ambiguous = {row: texts for row, texts in columns.ambiguous.items() if row in upserts}
        columns.arrays[0] = self.keys

    def rows(self, columns: Columns, zone: str, *, gone: pa.Array, raw: dict[int, bytes] | None = None) -> Rows:
        """The finished rows; `gone` upserts came without a row."""
        _refuse(columns, pc.invert(pc.or_(self.upsert, self.delete)), UNKNOWN)
        missing = pc.indices_nonzero(gone).to_pylist()
        dropped = self._superseded(missing, columns) if missing else set()
        columns.refuse([row for row in missing if row not in dropped], GONE.cause, GONE.sentence)
        ops = pc.if_else(self.delete, DELETE, UPSERT)
        return Draft(self.declaration, self.edges, columns, ops, self._changed_at(zone), dropped, raw or {}).finished()

    def _superseded(self, missing: Iterable[int], columns: Columns) -> set[int]:
        """A record that was added and deleted since the last poll has no row, and its deletion tells all.

        Only a later change of the same record in this page makes its missing row harmless.
        """
        missing = set(missing)
        keys = self.keys.to_pylist()
        last = {key: row for row, key in enumerate(keys) if row not in missing and row not in columns.bad}
        return {row for row in missing if row not in columns.bad and last.get(keys[row], -1) > row}

    def _changed_at(self, zone: str) -> pa.Array:
        """When it happened, for people only: never a reason to refuse a row, so unreadable means null."""
        local, _ = cast_or_find(pc.struct_field(self.edges.nodes, ["mutatedAt"]), LOCAL)
        instants = to_utc(local, zone)
        if not instants.missing:
            return instants.values
        skipped = set(instants.missing)
        keep = pa.array([row not in skipped for row in range(len(local))])
        return pc.if_else(keep, instants.values, pa.scalar(None, instants.values.type))


def _delta_type(declaration: Declaration, more: list[tuple[str, pa.DataType]]) -> pa.DataType:
    text = pa.string()
    return pa.struct([("dbId", JSON_TYPES[declaration.key_kind]), ("mutationType", text), ("mutatedAt", text), *more])


def _refuse(columns: Columns, mask: pa.Array, why: Bad) -> None:
    columns.refuse(pc.indices_nonzero(mask).to_pylist(), why.cause, why.sentence)


def _carry(places: list[int | None], found: Columns, row_edges: Edges, columns: Columns) -> dict[int, bytes]:
    """What is wrong with a looked-up row is wrong with each change that takes it; the row's texts, by change."""
    texts = row_edges.texts()
    raw = {}
    for row, place in enumerate(places):
        if place is not None and place in found.bad:
            columns.bad[row] = found.bad[place]
            raw[row] = texts[row_edges.rows[place]]
        if place is not None and place in found.ambiguous:
            columns.ambiguous[row] = found.ambiguous[place]
    return raw


def _carry_unread(gone: list[int], keys: pa.Array, row_edges: Edges, columns: Columns) -> dict[int, bytes]:
    """A looked-up row that Arrow could not read at all is not gone: it is refused for what it is."""
    texts = row_edges.texts()
    unread = {edge_key(texts[row]): (why, texts[row]) for row, why in row_edges.bad.items()}
    raw = {}
    for row in gone:
        why, text = unread.get(key_text([keys[row].as_py()]), (None, b""))
        if why is not None:
            columns.bad[row] = why
            raw[row] = text
    return raw
