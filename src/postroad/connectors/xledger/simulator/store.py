"""The rows that exist now: the generated company, the rows that were changed since, and the log of changes.

Only changed rows are held as objects; all others are computed when a page asks for them. Not thread safe: the
simulator holds one lock around every use.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from postroad.connectors.xledger.simulator.company import BLOCK, PLACE, Catalog, Column, Company, Value
from postroad.connectors.xledger.simulator.deltas import DeltaLog

CACHED_COLUMNS = 160  # some four blocks whole

Row = tuple[Value, ...]
Indices = list[int]
Condition = Callable[["Store", int, Indices], Indices]
"""Of these places in a block, those whose rows match."""


@dataclass(frozen=True)
class Part:
    """Some rows of one block: their places in it, ascending."""

    block: int
    places: Indices

    @property
    def first(self) -> int:
        """The lowest row number."""
        return self.block * BLOCK + self.places[0]

    @property
    def last(self) -> int:
        """The highest row number."""
        return self.block * BLOCK + self.places[-1]


class Store:
    """The state of one tenant."""

    def __init__(self, company: Company, generation: int = 0) -> None:
        self.company = company
        self.catalog: Catalog = company.catalog
        self.log = DeltaLog(f"{company.seed} {generation}")
        self.version = 0  # counts every change of what can be seen
        self.end = company.size  # the number of the next new row
        self.unreadable: set[int] = set()
        self._changed: dict[int, dict[int, Row]] = {}
        self._gone: dict[int, dict[int, Row]] = {}
        self._columns: OrderedDict[tuple[int, str], Column] = OrderedDict()

    def column(self, name: str, block: int) -> Column:
        """One column of a block as it is now; to be read only where a row exists."""
        values = self._generated(name, block)
        changed = self._changed.get(block)
        if changed or len(values) < min(self.end - block * BLOCK, BLOCK):
            # Rows that were added are all in `changed`, or gone: the padding is never seen.
            values = values + [None] * (BLOCK - len(values))
            place = PLACE[name]
            for index, row in (changed or {}).items():
                values[index] = row[place]
        return values

    def _generated(self, name: str, block: int) -> Column:
        key = (block, name)
        values = self._columns.get(key)
        if values is None:
            start = block * BLOCK
            stop = min(start + BLOCK, self.company.size)
            values = self._columns[key] = self.company.values(name, start, stop) if start < stop else []
            if len(self._columns) > CACHED_COLUMNS:
                self._columns.popitem(last=False)
        return values

    def gather(self, name: str, parts: list[Part]) -> Column:
        """One column of these rows."""
        gathered: Column = []
        for part in parts:
            values = self.column(name, part.block)
            whole = len(part.places) == BLOCK
            gathered += values if whole else [values[index] for index in part.places]
        return gathered

    def row(self, number: int) -> Row | None:
        """One row as it is now; None if there is none."""
        block, index = divmod(number, BLOCK)
        if not 0 <= number < self.end or index in self._gone.get(block, ()):
            return None
        return self._changed.get(block, {}).get(index) or self.company.row(number)

    def lost_row(self, number: int) -> Row | None:
        """A deleted row as it was; None if it was not deleted."""
        block, index = divmod(number, BLOCK)
        return self._gone.get(block, {}).get(index)

    def number(self, db_id: int) -> int | None:
        """The number of the row with that dbId, whether it exists or existed."""
        number = self.company.number_at(db_id)
        return number if number < self.end and self.company.db_id(number) == db_id else None

    def put(self, number: int, row: Row) -> None:
        """Let a row exist with these values."""
        block, index = divmod(number, BLOCK)
        self._changed.setdefault(block, {})[index] = row
        self._gone.get(block, {}).pop(index, None)
        self.version += 1

    def remove(self, number: int, row: Row) -> None:
        """Let a row no longer exist."""
        block, index = divmod(number, BLOCK)
        self._changed.get(block, {}).pop(index, None)
        self._gone.setdefault(block, {})[index] = row
        self.version += 1

    def count(self) -> int:
        """How many rows exist."""
        return self.end - sum(map(len, self._gone.values()))

    def parts(self, condition: Condition, low: int, high: int, backward: bool = False) -> Iterator[Part]:
        """The matching rows with low <= number < high, block by block; from the last block if `backward`."""
        high = min(high, self.end)
        blocks = range(max(low, 0) // BLOCK, -(-high // BLOCK))
        for block in reversed(blocks) if backward else blocks:
            yield self._part(condition, block, low, high)

    def _part(self, condition: Condition, block: int, low: int, high: int) -> Part:
        first = block * BLOCK
        places = list(range(max(low - first, 0), min(high - first, BLOCK)))
        gone = self._gone.get(block)
        if gone:
            places = [index for index in places if index not in gone]
        return Part(block, condition(self, block, places) if places else [])
