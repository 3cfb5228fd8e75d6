"""The guard on the deletes of a comparison: which are withheld, and whether the whole close is parked.

Nothing is stored here: the close parks, and lists what was withheld, by the books of tracking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.engine.bench import Bench
from postroad.engine.scope import inside
from postroad.lake.lake import Dataset
from postroad.records import Scope, key_texts

Pairs = Iterator[tuple[pa.Table, pa.Table]]


class Guard:
    """Watches the differences of one close go by.

    Keys that were rejected on the snapshot's own pages keep their rows; with an unreadable key no delete is emitted
    (sequence 9). More deletes than the scope allows, or an empty snapshot, park the close whole (sequence 6).
    """

    def __init__(self, bench: Bench, dataset: Dataset, walk: Mapping[str, Any], scope: Scope, page_rows: int) -> None:
        self._key = dataset.entity.key
        self._walk = walk
        self._empty = not page_rows and not scope.adds
        self._rows = _rows_inside(dataset, scope)
        rule = bench.rule(dataset.entity.name)
        self._most = rule.max_deletes.of(self._rows)
        self._most_changes = None if rule.max_changes is None else rule.max_changes.of(self._rows)
        rejected = bench.tracking.rejections.open(walk["connection"], walk["entity"], walk["id"])
        self._rejected = {each["key"] for each in rejected}
        self.deletes = 0
        self.changes = 0
        self.carried: list[pa.Table] = []
        self.withheld: list[str] = []

    def emitted(self, pairs: Pairs) -> Pairs:
        """The differences without the deletes that must not be emitted."""
        for upserts, deletes in pairs:
            self.changes += upserts.num_rows
            yield upserts, self._filtered(deletes) if deletes.num_rows else deletes

    def objection(self) -> str | None:
        """Why the close has to be parked, if it has to."""
        if self._walk["allowed"]:
            return None
        if self._rows and self._empty:
            return f"the snapshot is empty while the table has {self._rows:,} rows"
        if self.deletes > self._most:
            return f"it would delete {self.deletes:,} of {self._rows:,} rows; max_deletes allows {self._most:,}"
        if self._most_changes is not None and self.deletes + self.changes > self._most_changes:
            touched, most = self.deletes + self.changes, self._most_changes
            return f"it would change {touched:,} rows, of {self._rows:,}; max_changes allows {most:,}"
        return None

    def _filtered(self, deletes: pa.Table) -> pa.Table:
        if not self._rejected:
            self.deletes += deletes.num_rows
            return deletes
        texts = key_texts(deletes, self._key)
        stays = pa.array([text in self._rejected for text in texts])
        self.deletes += deletes.num_rows - (pc.sum(stays).as_py() or 0)
        if None not in self._rejected:
            self._carry(deletes.filter(stays))
            return deletes.filter(pc.invert(stays))
        self._carry(deletes)
        if not self.objection():
            self.withheld += [text for text in texts if text not in self._rejected]
        return deletes.slice(0, 0)

    def _carry(self, rows: pa.Table) -> None:
        """Keep rows for the complete file; not where the close will be parked anyway, which bounds the memory."""
        if rows.num_rows and not self.objection():
            self.carried.append(rows)


def _rows_inside(dataset: Dataset, scope: Scope) -> int:
    if scope.column is None:
        return dataset.rows()
    return sum(int(pc.sum(inside(scope, rows)).as_py() or 0) for rows in dataset.current([scope.column]))
