"""What one file of a package holds: the rows and columns of an entity, as they were when the export began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from postroad.connectors.d365_finops.simulator.entities import Entity, Field
from postroad.connectors.d365_finops.simulator.formats import SourceFormat
from postroad.connectors.d365_finops.simulator.rows import Block, Shelf
from postroad.connectors.d365_finops.simulator.texts import FileText, plain
from postroad.connectors.d365_finops.simulator.wounds import Wound

Columns = tuple[tuple[str, Field], ...]
"""The columns of a file: name in the header, and the field that its values are of."""


class ExportError(Exception):
    """The export of an entity fails with one of the product's error codes (fact sheet 3 and 6)."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Part:
    """Rows of one shelf, which is frozen: all, or those with these ascending numbers."""

    shelf: Shelf
    numbers: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.shelf) if self.numbers is None else len(self.numbers)


@dataclass(frozen=True)
class EntityFile:
    """One file; `limit` cuts it off, as a preview does."""

    entity: Entity
    format: SourceFormat
    parts: tuple[Part, ...]
    columns: Columns
    wounds: tuple[Wound, ...] = ()
    limit: int | None = None

    @property
    def name(self) -> str:
        """Its name in the package: the entity's label."""
        return f"{self.entity.file_stem}.{self.format.extension}"

    @property
    def header(self) -> list[str]:
        """The names of its columns."""
        return [name for name, _ in self.columns]

    def __len__(self) -> int:
        rows = sum(map(len, self.parts))
        return rows if self.limit is None else min(rows, self.limit)

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """The rows, each block with the place of its first row in the file."""
        place, total = 0, len(self)
        for part in self.parts:
            for block in part.shelf.blocks() if part.numbers is None else part.shelf.some(part.numbers):
                if place < total:
                    yield place, _first(block, total - place)
                place += len(block)

    def cells(self, block: Block, place: int, texts: FileText) -> list[str]:
        """The texts of one row."""
        row = block.narrowed(pa.array([each == place for each in range(len(block))]))
        return [texts.of(field, plain(row.column(field)))[0].as_py() for _, field in self.columns]


def _first(block: Block, count: int) -> Block:
    if len(block) <= count:
        return block
    return block.narrowed(pa.array([place < count for place in range(len(block))]))


def drifted(columns: Columns, add: list[str], drop: list[str], rename: dict[str, str], rotate: int) -> Columns:
    """The columns after a change of the entity or of its mapping; added ones hold made-up texts."""
    left = [(name, field) for name, field in columns if name not in _upper(drop)]
    named = {old.upper(): new.upper() for old, new in rename.items()}
    renamed = [(named.get(name, name), field) for name, field in left]
    added = [(name.upper(), Field(name, "s", "text")) for name in add]
    whole = [*renamed, *added]
    turn = rotate % len(whole) if whole else 0
    return tuple(whole[turn:] + whole[:turn])


def _upper(names: list[str]) -> set[str]:
    return {name.upper() for name in names}
