"""A believable company of any size, computed and not stored: every value follows from (seed, row number, column).

A row's random draws are bytes of one pool made from the seed, read at a place that depends on its block of 10,000
rows and on the column. So a column of a block is a slice, and a single row costs no more than itself.
"""

from __future__ import annotations

import random
import zlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

from postroad.connectors.xledger.simulator.declare import Column, Sizes, Table, Value

BLOCK = 10_000
POOL = 1 << 16
ID_STEP = 3  # ids ascend with gaps of up to 4
CACHED_COLUMNS = 240  # some six blocks whole

Row = tuple[Value, ...]


class Company:
    """The data of one tenant before anybody changed it."""

    def __init__(self, seed: int, tables: Sequence[Table], sizes: Sizes) -> None:
        self.seed = seed
        self.pool = random.Random(f"postroad {seed}").randbytes(POOL + 4 * BLOCK)
        self.sizes: dict[str, int] = dict(sizes)
        self.tables: dict[str, Generated] = {}
        self._blocks: OrderedDict[tuple[str, str, int], Column] = OrderedDict()
        for table in tables:
            size = sizes.get(table.name)
            self.sizes[table.name] = table.size(self.sizes) if size is None else size
            self.tables[table.name] = Generated(self, table, self.sizes[table.name])

    def block(self, table: str, name: str, block: int) -> Column:
        """One column of a block as it was generated; kept for a while, never to be changed."""
        key = (table, name, block)
        found = self._blocks.get(key)
        if found is None:
            rows = self.tables[table]
            start = block * BLOCK
            stop = min(start + BLOCK, rows.size)
            found = self._blocks[key] = rows.values(name, start, stop) if start < stop else []
            if len(self._blocks) > CACHED_COLUMNS:
                self._blocks.popitem(last=False)
        return found


class Generated:
    """The rows of one table as they were generated."""

    def __init__(self, company: Company, table: Table, size: int) -> None:
        self.company = company
        self.table = table
        self.size = size
        self.first_id = table.ids.first(company.seed)
        self._salt = f"{company.seed}/" if table.name == "timesheets" else f"{company.seed}/{table.name}/"

    @property
    def reach(self) -> int:
        """How many rows, from the first on, other rows may refer to."""
        return self.size - self.size // 4 if self.table.spare else self.size

    def values(self, name: str, start: int, stop: int) -> Column:
        """One stored column for the rows `start` to `stop`, which lie in one block."""
        make = self.table.fields[name].make
        if make is None:
            raise LookupError(f"{self.table.name} store no column '{name}'")
        return make(self, name, start, stop)

    def row(self, number: int) -> Row:
        """All stored values of one row, in the order of `Table.stored`."""
        return tuple(self.values(name, number, number + 1)[0] for name in self.table.stored)

    def gather(self, name: str, numbers: Iterable[int]) -> Column:
        """One column of these rows, whose numbers need no order but are quicker in ascending one."""
        gathered: Column = []
        for block, group in groupby(numbers, BLOCK.__rfloordiv__):
            values = self.company.block(self.table.name, name, block)
            first = block * BLOCK
            if (block + 1) * BLOCK <= self.size:
                gathered += [values[number - first] for number in group]
            else:
                gathered += [
                    values[number - first] if number < self.size else self.values(name, number, number + 1)[0]
                    for number in group
                ]
        return gathered

    def target(self, table: str) -> Generated:
        """Another table of the same company."""
        return self.company.tables[table]

    def number_at(self, db_id: int) -> int:
        """The number of the first row whose dbId is not below `db_id`."""
        ids = self.table.ids
        if ids.listed:
            return bisect_left(ids.listed, db_id)
        number = max((db_id - self.first_id) // ids.step, 0)
        return number if self.db_id(number) >= db_id else number + 1

    def db_id(self, number: int) -> int:
        """The dbId of a row."""
        return self.ids(number, number + 1)[0]

    def ids(self, start: int, stop: int) -> list[int]:
        """The dbIds of rows, which lie in one block."""
        ids = self.table.ids
        if ids.listed:
            return list(ids.listed[start:stop])
        if ids.step == 1:
            return list(range(self.first_id + start, self.first_id + stop))
        first = self.first_id + start * ids.step
        return [first + ids.step * place + byte % ids.step for place, byte in enumerate(self.draw("id", start, stop))]

    def draw(self, salt: str, start: int, stop: int) -> bytes:
        """One random byte for each row."""
        block, first = divmod(start, BLOCK)
        offset = _offset(self._salt, block, salt) + first
        return self.company.pool[offset : offset + stop - start]

    def wide(self, salt: str, start: int, stop: int) -> list[int]:
        """One random number of 16 bits for each row."""
        return self._numbers(salt, start, stop, 2, "H")

    def deep(self, salt: str, start: int, stop: int) -> list[int]:
        """One random number of 32 bits for each row."""
        return self._numbers(salt, start, stop, 4, "I")

    def _numbers(self, salt: str, start: int, stop: int, width: int, form: str) -> list[int]:
        block, first = divmod(start, BLOCK)
        offset = _offset(self._salt, block, salt) + width * first
        numbers: list[int] = memoryview(self.company.pool)[offset : offset + width * (stop - start)].cast(form).tolist()  # type: ignore[call-overload]  # the form is one of two
        return numbers


def company(seed: int, tables: Mapping[str, Table], sizes: Sizes) -> Company:
    """A company of that seed; a ValueError for a size that cannot be."""
    for name, size in sizes.items():
        table = tables.get(name)
        if table is None or not table.sized:
            known = ", ".join(sorted(each.name for each in tables.values() if each.sized))
            raise ValueError(f"no size can be given for '{name}', only for: {known}")
        most = 5_000_000 if table.ids.wide else 1_000_000
        if not 0 <= size <= most:
            raise ValueError(f"{name} can be from 0 to {most}, not {size}")
    return Company(seed, tuple(tables.values()), sizes)


@lru_cache(maxsize=16_384)
def _offset(salt: str, block: int, name: str) -> int:
    return zlib.crc32(f"{salt}{block}/{name}".encode()) % POOL
