"""The delimited file of one entity: written a block at a time, by column (fact sheet 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.entities import Field
from postroad.connectors.d365_finops.simulator.files import EntityFile, ExportError
from postroad.connectors.d365_finops.simulator.formats import CODECS
from postroad.connectors.d365_finops.simulator.rows import Block
from postroad.connectors.d365_finops.simulator.texts import FileText, each
from postroad.connectors.d365_finops.simulator.wounds import struck

Quoting = Literal["needed", "all", "none", "unescaped"]


class CsvWriter:
    """Writes an entity's rows as text.

    `quoting` says which fields get the text qualifier, and whether it is doubled inside: nobody knows (fact sheet 12).
    """

    def __init__(self, file: EntityFile, texts: FileText, quoting: Quoting, utf8_bom: bool) -> None:
        self._file, self._texts, self._quoting, self._form = file, texts, quoting, file.format
        self._codec, mark = CODECS[self._form.code_page]
        self._mark = mark if self._form.code_page != 65001 or utf8_bom else b""
        self._special = f"[{self._form.column_delimiter}{self._form.qualifier}\r\n]"

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the file, piece by piece; ExportError if the code page lacks a character."""
        yield self._mark
        if self._form.header:
            yield self._encoded(self._row(self._file.header) + self._form.row_delimiter)
        for first, block in self._file.blocks():
            yield self._encoded(self._rows(block, first))

    def _rows(self, block: Block, first: int) -> str:
        columns = [self._column(field, block) for _, field in self._file.columns]
        lines = pc.binary_join_element_wise(*columns, self._form.column_delimiter)
        wounds = struck(self._file.wounds, first, len(lines), len(self._file)) if self._file.wounds else {}
        if wounds:
            texts = lines.to_pylist()
            for place, wound in wounds.items():
                cells = self._file.cells(block, place, self._texts)
                texts[place] = wound.inflict(cells, self._row, self._form.row_delimiter)
            lines = pa.array([text for text in texts if text], pa.string())
        return joined(lines, self._form.row_delimiter) + self._form.row_delimiter if len(lines) else ""

    def _column(self, field: Field, block: Block) -> pa.Array:
        return each(block.column(field), lambda values: self._quoted(self._texts.of(field, values)))

    def _quoted(self, values: pa.Array) -> pa.Array:
        mark = self._form.qualifier
        if self._quoting == "none" or not mark:
            return values
        doubled = values if self._quoting == "unescaped" else pc.replace_substring(values, mark, mark * 2)
        quoted = pc.binary_join_element_wise(mark, doubled, mark, "")
        if self._quoting == "all":
            return quoted
        return pc.if_else(pc.match_substring_regex(values, self._special), quoted, values)

    def _row(self, cells: Sequence[str]) -> str:
        return self._form.column_delimiter.join(self._quoted(pa.array(cells, pa.string())).to_pylist())

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self._codec)
        except UnicodeEncodeError:
            raise ExportError("DMF1957", "Unicode data can't be exported as an ASCII file type.") from None


def joined(texts: pa.Array, between: str) -> str:
    """All of the texts as one."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return str(pc.binary_join(whole, between)[0].as_py())
