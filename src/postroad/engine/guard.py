"""The guard on the deletes of a comparison: which are withheld, and whether the whole close is parked.

Nothing is stored here: the close parks, and lists what was withheld, by the books of tracking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.engine.bench import Bench
from postroad.lake.lake import Dataset
from postroad.project import MaxDeletes
from postroad.records import key_texts

Pairs = Iterator[tuple[pa.Table, pa.Table]]


class Guard:
    """Watches the differences of one close go by.

    Keys that were rejected on the snapshot's own pages keep their rows; with an unreadable key no delete is emitted
    (sequence 9). More deletes than the scope allows, or an empty snapshot, park the close whole (sequence 6).
    """

    def __init__(self, bench: Bench, dataset: Dataset, walk: Mapping[str, Any], page_rows: int) -> None:
        self._key = dataset.entity.key
        self._walk = walk
        self._page_rows = page_rows
        self._rows = dataset.rows()
        self._most = bench.max_deletes.get(dataset.entity.name, MaxDeletes()).of(self._rows)
        rejected = bench.tracking.rejections.open(walk["connection"], walk["entity"], walk["id"])
        self._rejected = {each["key"] for each in rejected}
        self.deletes = 0
        self.carried: list[pa.Table] = []
        self.withheld: list[str] = []

    def emitted(self, pairs: Pairs) -> Pairs:
        """The differences without the deletes that must not be emitted."""
        for upserts, deletes in pairs:
            yield upserts, self._filtered(deletes) if deletes.num_rows else deletes

    def objection(self) -> str | None:
        """Why the close has to be parked, if it has to."""
        if self._walk["allowed"]:
            return None
        if self._rows and not self._page_rows:
            return f"the snapshot is empty while the table has {self._rows:,} rows"
        if self.deletes > self._most:
            return f"it would delete {self.deletes:,} of {self._rows:,} rows; max_deletes allows {self._most:,}"
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
