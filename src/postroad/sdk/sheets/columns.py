"""Declared columns as readers know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from postroad.records import MONEY
from postroad.sdk.sheets.shapes import Kind

TYPES: Mapping[Kind, pa.DataType] = {
    "text": pa.string(),
    "int": pa.int64(),
    "decimal": MONEY,
    "date": pa.date32(),
    "datetime": pa.timestamp("us", "UTC"),
    "bool": pa.bool_(),
}


@dataclass(frozen=True)
class Column:
    """One declared column: its caption in the file, its name in the lake, what its cells hold.

    `format` says how dates or times are written in a text file, where not as yyyy-mm-dd.
    """

    caption: str
    name: str
    kind: Kind
    round: int | None = None
    format: str | None = None

    @property
    def type(self) -> pa.DataType:
        """Its Arrow type."""
        return TYPES[self.kind]


@dataclass(frozen=True)
class Layout:
    """What is wanted of a file: columns, which of their captions it must have (`key`), and where its table stands."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sheet: str | None = None
    header_row: int = 1
