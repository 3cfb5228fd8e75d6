"""The rows of one entity in one company: computed from the seed, and what people did to them since.

A row has a number. Its generated values follow from (seed, entity, company, number, field): the random draws of a block
of rows are a slice of one pool of bytes and indices into a vocabulary, so a column of a block costs next to nothing.
Only changed values are held. Not thread safe; a frozen copy is.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.entities import COMPANY, Entity, Field
from postroad.connectors.d365_finops.simulator.words import BIG, NARROW, vocabulary

BLOCK = 1 << 14
POOL = 1 << 16

Key = tuple[str | int, ...]
"""The key of a row as OData has it: the company first, where rows belong to one."""


@dataclass(frozen=True)
class Change:
    """When a row last changed: in its root table, and in any of its tables; numbers of the environment's count."""

    root: int
    any: int


@dataclass
class Shelf:
    """The rows of `entity` in `company`; `size` of them are there from the beginning."""

    entity: Entity
    company: str
    seed: int
    size: int
    end: int = -1  # the number of the next new row
    values: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # what differs from the generated row
    gone: set[int] = field(default_factory=set)
    changes: dict[int, Change] = field(default_factory=dict)
    renamed: dict[Key, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = self.size if self.end < 0 else self.end

    def frozen(self) -> Shelf:
        """A copy that later changes do not reach."""
        return replace(
            self,
            values=dict(self.values),
            gone=set(self.gone),
            changes=dict(self.changes),
            renamed=dict(self.renamed),
        )

    def __len__(self) -> int:
        return self.end - len(self.gone)

    def exists(self, number: int) -> bool:
        """Whether there is such a row now."""
        return 0 <= number < self.end and number not in self.gone

    def numbers(self, start: int, stop: int) -> pa.Array | None:
        """The rows with start <= number < stop, all in one block; None if that is all of them."""
        if not self.gone:
            return None
        kept = [number for number in range(start, stop) if number not in self.gone]
        return None if len(kept) == stop - start else pa.array(kept, pa.int64())

    def changed_since(self, version: int, root_only: bool) -> list[int]:
        """The rows that exist and changed after that number of the count."""
        changes = self.changes.items()
        found = [number for number, at in changes if (at.root if root_only else at.any) > version]
        return sorted(number for number in found if number not in self.gone)

    def number_of(self, key: Sequence[Any]) -> int | None:
        """The number of the row with that key, whether it exists or existed."""
        wanted = tuple(key)
        if wanted in self.renamed:
            return self.renamed[wanted]
        number = self._number(wanted)
        if number is None or not 0 <= number < self.end:
            return None
        return number if self.key(number) == wanted else None

    def key(self, number: int) -> Key:
        """The key of a row."""
        own = tuple(self.value(self.entity.by_name[name], number) for name in self.entity.key)
        return own if self.entity.shared else (self.company, *own)

    def value(self, of: Field, number: int) -> Any:
        """One value of one row."""
        held = self.values.get(number, {})
        return held[of.name] if of.name in held else self._generated(of, number, number + 1)[0].as_py()

    def column(self, of: Field, block: Block) -> pa.Array:
        """One column of the rows of a block, dictionary-encoded where nothing in it was changed."""
        if of.name == COMPANY:
            return pa.repeat(pa.scalar(self.company), len(block))
        column = self._generated(of, block.start, block.stop)
        column = column if block.only is None else column.take(pc.subtract(block.only, block.start))
        changed = [
            (place, self.values[number][of.name]) for place, number in block.held if of.name in self.values[number]
        ]
        return _replaced(column, changed, of) if changed else column

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """All rows that exist, in the order of their numbers, from number `start`."""
        while start < self.end:
            stop = min((start // BLOCK + 1) * BLOCK, self.end)
            block = self._block(start, stop, self.numbers(start, stop))
            if len(block):
                yield block
            start = stop

    def some(self, numbers: Sequence[int]) -> Iterator[Block]:
        """These rows; the numbers ascend."""
        place = 0
        while place < len(numbers):
            start = numbers[place] // BLOCK * BLOCK
            stop = min(start + BLOCK, self.end)
            end = place
            while end < len(numbers) and numbers[end] < stop:
                end += 1
            yield self._block(start, stop, pa.array(numbers[place:end], pa.int64()))
            place = end

    def find(self, key: Mapping[str, Any]) -> Block | None:
        """The row with that key, if it exists."""
        number = self.number_of([key[name] for name in self.entity.keys])
        return None if number is None or not self.exists(number) else next(self.some([number]))

    def _block(self, start: int, stop: int, only: pa.Array | None) -> Block:
        block = Block(self, start, stop, only)
        if self.changes or self.values:
            for place, number in enumerate(range(start, stop) if only is None else only.to_pylist()):
                if number in self.values:
                    block.held.append((place, number))
                if number in self.changes:
                    block.touched.append((place, number))
        return block

    def _number(self, key: Key) -> int | None:
        for name, value in zip(self.entity.keys, key, strict=False):
            pattern = self.entity.by_name[name].pattern
            if pattern is None:
                continue
            if self.entity.by_name[name].kind == "r":
                return (int(value) - BIG) // 4
            digits = str(value).removeprefix(pattern[0])
            return int(digits) - 1 if digits.isdecimal() and digits.isascii() else None
        return None

    def _generated(self, of: Field, start: int, stop: int) -> pa.Array:
        if of.pattern is not None:
            return _computed(of, start, stop)
        words = vocabulary(of)
        offset, bits = self._offset(of.name, start), pa.uint8() if len(words) == NARROW else pa.uint16()
        size = stop - start
        if bits == pa.uint8():
            draws = pa.Array.from_buffers(bits, size, [None, pool(self.seed)], offset=offset)
        else:
            draws = pc.bit_wise_and(
                pa.Array.from_buffers(bits, size, [None, pool(self.seed)], offset=offset), len(words) - 1
            )
        return pa.DictionaryArray.from_arrays(draws, words, safe=False)

    def _offset(self, salt: str, start: int) -> int:
        block, first = divmod(start, BLOCK)
        return _place(f"{self.seed}/{self.entity.collection}/{self.company}/{block}/{salt}") + first


@dataclass
class Block:
    """Rows of a shelf with start <= number < stop, or `only` those; the columns are computed when asked for.

    `held` and `touched` are places and numbers of the rows with changed values, and of those that changed at all.
    """

    shelf: Shelf
    start: int
    stop: int
    only: pa.Array | None
    held: list[tuple[int, int]] = field(default_factory=list)
    touched: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.stop - self.start if self.only is None else len(self.only)

    @property
    def numbers(self) -> pa.Array:
        """The numbers of the rows."""
        return pa.arange(self.start, self.stop) if self.only is None else self.only

    def column(self, of: Field) -> pa.Array:
        """One column of these rows."""
        return self.shelf.column(of, self)

    def versions(self) -> pa.Array:
        """For each row the number of the count at which it last changed; 0 if never."""
        found = [0] * len(self)
        for place, number in self.touched:
            found[place] = self.shelf.changes[number].any
        return pa.array(found, pa.int64())

    def narrowed(self, mask: pa.Array) -> Block:
        """Those of these rows where the mask says so."""
        return next(self.shelf.some(self.numbers.filter(mask).to_pylist()), Block(self.shelf, 0, 0, None))


@lru_cache(maxsize=4)
def pool(seed: int) -> pa.Buffer:
    """The random bytes of a seed; any place of it can be the beginning of a block's draws, of one or two bytes."""
    return pa.py_buffer(random.Random(f"postroad finops {seed}").randbytes(2 * (POOL + BLOCK)))


@lru_cache(maxsize=1 << 14)
def _place(salt: str) -> int:
    return zlib.crc32(salt.encode()) % POOL


def _computed(of: Field, start: int, stop: int) -> pa.Array:
    """Ids: record ids ascend by four; texts are padded with zeros."""
    numbers = pa.arange(start, stop)
    if of.kind == "r":
        return pc.add(pc.multiply(numbers, 4), BIG + 1)
    prefix, width = of.pattern or ("", 0)
    digits = pc.utf8_lpad(pc.add(numbers, 1).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "") if prefix else digits


def _replaced(column: pa.Array, changed: Sequence[tuple[int, Any]], of: Field) -> pa.Array:
    """The column with other values in some places."""
    plain = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
    source = list(range(len(plain)))
    for order, (place, _) in enumerate(changed):
        source[place] = len(plain) + order
    values = pa.array([value for _, value in changed], of.arrow)
    return pa.concat_arrays([plain, values]).take(pa.array(source, pa.int64()))
