"""Accepted rows and refusals of one entity, from its converted columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.xledger.columns import Columns
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.edges import Edges, edge_key
from postroad.connectors.xledger.halves import unmarked
from postroad.records import AMBIGUOUS, CHANGED_AT, OP, Refusal, Rows
from postroad.sdk.casting import Bad

UNREADABLE = Bad("unreadable_key", "the row has no readable dbId, so nobody can say which record it is")


@dataclass
class Draft:
    """All readable edges of one entity with their columns; who is refused is decided, but not yet left out.

    `dropped` rows are neither accepted nor refused. `raw` holds a refused row's text where that is not its edge.
    """

    declaration: Declaration
    edges: Edges
    columns: Columns
    ops: pa.Array
    changed_at: pa.Array
    dropped: set[int] = field(default_factory=set)
    raw: Mapping[int, bytes] = field(default_factory=dict)

    def finished(self) -> Rows:
        """The rows with our own columns, and a refusal for every other edge, by its number in the answer."""
        self._refuse_without_key()
        size = len(self.ops)
        arrays = [*self.columns.arrays, self.ops, self.changed_at, self._ambiguous(size)]
        left_out = self.columns.bad.keys() | self.dropped
        if left_out:
            keep = pa.array([row not in left_out for row in range(size)], pa.bool_())
            arrays = [array.filter(keep) for array in arrays]
        schema = pa.schema([*self.declaration.schema, OP, CHANGED_AT, AMBIGUOUS])
        return Rows(self.declaration.name, pa.RecordBatch.from_arrays(arrays, schema=schema), list(self._refusals()))

    def _refuse_without_key(self) -> None:
        """A row without an id that can be read is refused for that, whatever else is wrong with it."""
        keys = self.columns.arrays[0]
        if keys.null_count:
            self.columns.bad |= dict.fromkeys(pc.indices_nonzero(keys.is_null()).to_pylist(), UNREADABLE)

    def _ambiguous(self, size: int) -> pa.Array:
        """The texts of local times that named two instants."""
        texts = self.columns.ambiguous
        if not texts:
            return pa.nulls(size, AMBIGUOUS.type)
        few = pa.array([list(each.items()) for each in texts.values()], AMBIGUOUS.type)
        return few.take(pc.index_in(_numbers(size), pa.array(texts, pa.int64())))

    def _refusals(self) -> Iterator[Refusal]:
        bad = {**self.edges.bad, **{self.edges.rows[row]: why for row, why in self.columns.bad.items()}}
        raw = {self.edges.rows[row]: text for row, text in self.raw.items()}
        texts = self.edges.texts() if bad else []
        for row, why in sorted(bad.items()):
            key = None if why is UNREADABLE else edge_key(texts[row])
            text = unmarked(bytes(raw.get(row, texts[row]))).decode(errors="replace")
            yield Refusal(row, key, why.cause, why.sentence, text)


@lru_cache(maxsize=4)
def _numbers(size: int) -> pa.Array:
    """0, 1, 2, …: nearly all pages have the same size."""
    return pa.array(range(size), pa.int64())
