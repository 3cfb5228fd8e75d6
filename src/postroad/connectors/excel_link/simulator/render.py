"""A table as bytes: a workbook of one sheet, JSON rows by position, or csv (fact sheet 4.1)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter

from postroad.connectors.excel_link.simulator.company import Cell, Row

SHEET = "Sheet1"
CONTENT_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
FORMATS: dict[type, str] = {datetime: "yyyy-mm-dd hh:mm:ss", date: "yyyy-mm-dd"}


def rendered(ending: str, captions: Sequence[str], rows: Sequence[Row], made: datetime) -> bytes:
    """The file; KeyError for an ending that the server does not know. `made` is when a workbook says it was made."""
    return {"xlsx": _xlsx, "json": _json, "csv": _csv}[ending](captions, rows, made)


def _xlsx(captions: Sequence[str], rows: Sequence[Row], made: datetime) -> bytes:
    memory = io.BytesIO()
    book = xlsxwriter.Workbook(memory, {"in_memory": True})
    book.set_properties({"created": made, "author": "Simulator"})
    sheet = book.add_worksheet(SHEET)
    formats = {kind: book.add_format({"num_format": text}) for kind, text in FORMATS.items()}
    for column, caption in enumerate(captions):
        sheet.write_string(0, column, caption)
    for number, row in enumerate(rows, 1):
        for column, caption in enumerate(captions):
            _write(sheet, number, column, row.get(caption), formats)
    book.close()
    return memory.getvalue()


def _write(sheet: Any, row: int, column: int, cell: Cell, formats: dict[type, Any]) -> None:
    if isinstance(cell, str):
        if cell.startswith("=#"):  # an error cell: the cached result of a formula that failed
            sheet.write_formula(row, column, "=1/0", None, cell[1:])
        else:
            sheet.write_string(row, column, cell)
    elif isinstance(cell, date):
        sheet.write_datetime(row, column, cell, formats[type(cell)])
    elif isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif cell is not None:
        sheet.write_number(row, column, cell)


def _json(captions: Sequence[str], rows: Sequence[Row], _: datetime) -> bytes:
    """Positions instead of names, as the real links give them."""
    lists = [[_plain(row.get(caption)) for caption in captions] for row in rows]
    return json.dumps({"rows": lists}, ensure_ascii=False).encode()


def _plain(cell: Cell) -> Cell:
    if isinstance(cell, date):
        return cell.isoformat()
    return float(cell) if isinstance(cell, Decimal) else cell


def _csv(captions: Sequence[str], rows: Sequence[Row], _: datetime) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(captions)
    writer.writerows([row.get(caption) for caption in captions] for row in rows)
    return text.getvalue().encode()
