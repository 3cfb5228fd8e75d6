"""The Excel file of one entity, as the Access/Jet provider writes it: inline texts, cut at 255 characters (3.3)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.csvfile import joined
from postroad.connectors.d365_finops.simulator.entities import Field
from postroad.connectors.d365_finops.simulator.files import EntityFile, ExportError
from postroad.connectors.d365_finops.simulator.rows import Block
from postroad.connectors.d365_finops.simulator.texts import FileText, each
from postroad.connectors.d365_finops.simulator.wounds import struck

MOST_ROWS = 1_048_575  # under the header
MOST_COLUMNS = 255
MOST_CHARACTERS = 255

ExcelValues = Literal["text", "typed"]

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "application/vnd.openxmlformats-officedocument"
_FORBIDDEN = "[\x00-\x08\x0b\x0c\x0e-\x1f]"  # in XML; what the provider does with them is not known


class ExcelWriter:
    """Writes an entity's rows as a workbook with one sheet. `values` says whether numbers are cells of text too."""

    def __init__(self, file: EntityFile, texts: FileText, values: ExcelValues) -> None:
        self._file, self._texts, self._typed = file, texts, values == "typed"

    def write(self, path: Path) -> None:
        """Write the workbook; ExportError for what Excel cannot hold."""
        if len(self._file.columns) > MOST_COLUMNS:
            raise ExportError("DMF2009", "The file has more than 255 columns, which is not supported by Excel.")
        if len(self._file) > MOST_ROWS:
            raise ExportError("DMF2042", "The number of rows exceeds the row limit of an Excel worksheet.")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
            for name, text in _parts(self._file).items():
                book.writestr(name, _HEAD + text)
            with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
                for text in self._sheet():
                    sheet.write(text.encode())

    def _sheet(self) -> Iterator[str]:
        yield f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'
        yield self._row(1, self._file.header)
        for first, block in self._file.blocks():
            yield self._rows(block, first)
        yield "</sheetData></worksheet>"

    def _rows(self, block: Block, first: int) -> str:
        numbers = pa.arange(first + 2, first + 2 + len(block)).cast(pa.string())
        cells = [
            self._cells(place, field, block.column(field), numbers)
            for place, (_, field) in enumerate(self._file.columns)
        ]
        rows = pc.binary_join_element_wise('<row r="', numbers, '">', *cells, "</row>", "")
        wounds = struck(self._file.wounds, first, len(block), len(self._file)) if self._file.wounds else {}
        if wounds:
            texts = rows.to_pylist()
            for place, wound in wounds.items():
                number = first + place + 2
                cell_texts = self._file.cells(block, place, self._texts)
                texts[place] = wound.inflict(cell_texts, partial(self._row, number), "")
            rows = pa.array(texts)
        return joined(rows, "")

    def _cells(self, place: int, field: Field, column: pa.Array, numbers: pa.Array) -> pa.Array:
        number = self._typed and field.kind in "nir"
        inner = each(column, lambda values: _xml(self._texts.of(field, values)))
        opening, closing = (
            ("><v>", "</v></c>") if number else (' t="inlineStr"><is><t xml:space="preserve">', "</t></is></c>")
        )
        cells = pc.binary_join_element_wise(f'<c r="{letters(place)}', numbers, f'"{opening}', inner, closing, "")
        return pc.if_else(pc.equal(inner, ""), "", cells)

    @staticmethod
    def _row(number: int, cells: Sequence[str]) -> str:
        made = [
            f'<c r="{letters(place)}{number}" t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'
            for place, text in enumerate(cells)
        ]
        return f'<row r="{number}">{"".join(made)}</row>'


def letters(place: int) -> str:
    """The letters of a column of a sheet: A, B … Z, AA …"""
    found = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        found = chr(65 + rest) + found
    return found


def _xml(values: pa.Array) -> pa.Array:
    cut = pc.utf8_slice_codeunits(values, 0, MOST_CHARACTERS)
    clean = pc.replace_substring_regex(cut, _FORBIDDEN, "")
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        clean = pc.replace_substring(clean, character, entity)
    return clean


def _parts(file: EntityFile) -> dict[str, str]:
    """The fixed parts of the workbook. The defined name covers the header, as in the genuine file."""
    sheet = file.entity.sheet
    last = letters(len(file.columns) - 1)
    part = '<Override PartName="/{}" ContentType="' + _TYPES + '.{}+xml"/>'
    return {
        "[Content_Types].xml": f'<Types xmlns="{_RELATIONS.replace("relationships", "content-types")}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        + part.format("xl/workbook.xml", "spreadsheetml.sheet.main")
        + part.format("xl/worksheets/sheet1.xml", "spreadsheetml.worksheet")
        + part.format("docProps/app.xml", "extended-properties")
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}">'
        f'<Relationship Id="rId1" Type="{_DOCUMENT}/officeDocument" Target="xl/workbook.xml"/>'
        f'<Relationship Id="rId2" Type="{_DOCUMENT}/extended-properties" Target="docProps/app.xml"/></Relationships>',
        "docProps/app.xml": '<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/'
        'extended-properties"><Application>Microsoft Access</Application><AppVersion>12.0000</AppVersion></Properties>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}"><sheets>'
        f'<sheet name={quoteattr(sheet[:31])} sheetId="1" r:id="rId1"/></sheets><definedNames>'
        f"<definedName name={quoteattr(sheet)}>{escape(sheet[:31])}!$A$1:${last}$1</definedName>"
        "</definedNames></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">'
        f'<Relationship Id="rId1" Type="{_DOCUMENT}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    }
