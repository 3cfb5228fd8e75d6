"""The rows that exist now: the generated company, the rows that were changed since, and the logs of changes.

Only changed rows are held as objects; all others are computed when a page asks for them. Not thread safe: the
simulator holds one lock around every use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from postroad.connectors.xledger.simulator.declare import Column
from postroad.connectors.xledger.simulator.deltas import DeltaLog
from postroad.connectors.xledger.simulator.generate import BLOCK, Company, Generated, Row
from postroad.connectors.xledger.simulator.tables import REFERRED

KEPT_TEXTS = 200_000

Indices = list[int]
Condition = Callable[["Rows", int, Indices], Indices]
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
    """The state of one tenant: all tables, and two counters.

    `version` counts every change of what can be seen. An `era` ends when a row changes that others may refer to, so
    that a delta can show what its row referred to at its time.
    """

    def __init__(self, company: Company, generation: int = 0) -> None:
        self.company = company
        self.generation = generation
        self.version = 0
        self.era = 0
        self.rows = {name: Rows(self, generated) for name, generated in company.tables.items()}
        self._texts: dict[object, dict[int, str]] = {}
        self._kept = 0

    def touch(self, table: str) -> None:
        """Something of a table changed."""
        self.version += 1
        if table in REFERRED:
            self.era += 1
            self._texts.clear()
            self._kept = 0

    def texts(self, key: object, places: Iterable[int], render: Callable[[list[int]], list[str]]) -> dict[int, str]:
        """What `render` makes of the rows at these places, by place; kept until such a row changes."""
        found = self._texts.setdefault(key, {})
        missing = sorted(set(places).difference(found))
        if missing:
            if self._kept + len(missing) > KEPT_TEXTS:
                self._texts.clear()
                self._kept = 0
                return dict(zip(missing, render(missing), strict=True)) | found
            found |= zip(missing, render(missing), strict=True)
            self._kept += len(missing)
        return found

    def logged(self) -> int:
        """How many deltas are retained."""
        return sum(len(rows.log) for rows in self.rows.values())

    def drop_before(self, at: float) -> None:
        """Drop the deltas that are older."""
        for rows in self.rows.values():
            if len(rows.log) and rows.log.drop_before(at):
                self.version += 1


class Rows:
    """The rows of one table as they are now."""

    def __init__(self, store: Store, generated: Generated) -> None:
        self.store = store
        self.generated = generated
        self.table = generated.table
        seed = store.company.seed
        tenant = f"{seed} {store.generation}"
        name = self.table.name
        self.log = DeltaLog(tenant if name == "timesheets" else f"{tenant} {name}", self.table.place.get("owner", 0))
        self.end = generated.size  # the number of the next new row
        self.unreadable: set[int] = set()
        self._changed: dict[int, dict[int, Row]] = {}
        self._gone: dict[int, dict[int, Row]] = {}
        self._past: dict[int, list[tuple[int, Row]]] = {}  # of rows that others may refer to: since which era

    def column(self, name: str, block: int) -> Column:
        """One column of a block as it is now; to be read only where a row exists."""
        values = self.store.company.block(self.table.name, name, block)
        changed = self._changed.get(block)
        if changed or len(values) < min(self.end - block * BLOCK, BLOCK):
            # Rows that were added are all in `changed`, or gone: the padding is never seen.
            values = values + [None] * (BLOCK - len(values))
            place = self.table.place[name]
            for index, row in (changed or {}).items():
                values[index] = row[place]
        return values

    def gather(self, name: str, parts: list[Part]) -> Column:
        """One column of these rows."""
        gathered: Column = []
        for part in parts:
            values = self.column(name, part.block)
            whole = len(part.places) == BLOCK
            gathered += values if whole else [values[index] for index in part.places]
        return gathered

    def referred(self, name: str, places: Sequence[int], era: int | None) -> Column:
        """One column of the rows at these places, as it is now or was in an era; deleted ones as they last were."""
        numbers = [place - 1 for place in places]
        values = self.generated.gather(name, numbers)
        if self._past:
            at = self.table.place[name]
            for index, number in enumerate(numbers):
                row = self._as_of(number, era)
                if row is not None:
                    values[index] = row[at]
        return values

    def ids(self, places: Iterable[int]) -> dict[int, int]:
        """The dbIds of the rows at these places, by place."""
        return {place: self.generated.db_id(place - 1) for place in set(places) if place}

    def row(self, number: int) -> Row | None:
        """One row as it is now; None if there is none."""
        block, index = divmod(number, BLOCK)
        if not 0 <= number < self.end or index in self._gone.get(block, ()):
            return None
        return self._changed.get(block, {}).get(index) or self.generated.row(number)

    def lost_row(self, number: int) -> Row | None:
        """A deleted row as it was; None if it was not deleted."""
        block, index = divmod(number, BLOCK)
        return self._gone.get(block, {}).get(index)

    def number(self, db_id: int) -> int | None:
        """The number of the row with that dbId, whether it exists or existed."""
        number = self.generated.number_at(db_id)
        return number if number < self.end and self.generated.db_id(number) == db_id else None

    def put(self, number: int, row: Row) -> None:
        """Let a row exist with these values."""
        block, index = divmod(number, BLOCK)
        self._changed.setdefault(block, {})[index] = row
        self._gone.get(block, {}).pop(index, None)
        self.store.touch(self.table.name)
        if self.table.name in REFERRED:
            self._past.setdefault(number, []).append((self.store.era, row))

    def remove(self, number: int, row: Row) -> None:
        """Let a row no longer exist."""
        block, index = divmod(number, BLOCK)
        self._changed.get(block, {}).pop(index, None)
        self._gone.setdefault(block, {})[index] = row
        self.store.touch(self.table.name)

    def count(self) -> int:
        """How many rows exist."""
        return self.end - sum(map(len, self._gone.values()))

    def touched(self) -> Iterator[Row]:
        """The rows that are not as they were generated, deleted ones included: they can come back."""
        for rows in (*self._changed.values(), *self._gone.values()):
            yield from rows.values()

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

    def _as_of(self, number: int, era: int | None) -> Row | None:
        """A changed row as it was in an era; None while it was as generated."""
        past = self._past.get(number, ())
        known = [row for since, row in past if era is None or since <= era]
        return known[-1] if known else None
