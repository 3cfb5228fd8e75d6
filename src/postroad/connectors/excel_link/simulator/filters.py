"""The filters that a link takes as parameters: `<prefix>_<field>-<op>=<value>` (fact sheet 4.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from postroad.connectors.excel_link.simulator.company import Cell, Row, Sheet

FILTER = re.compile(r"(?P<prefix>d|r|rv)_(?P<field>\w+)-(?P<op>ne|er)")


def kept(sheet: Sheet, filters: Mapping[str, str]) -> list[Row]:
    """The rows that pass all filters; one that is not understood lets everything pass, which is inferred."""
    rows = sheet.rows
    for name, value in filters.items():
        match = FILTER.fullmatch(name)
        caption = _caption(sheet, match["field"]) if match else None
        if match and caption is not None:
            rows = [row for row in rows if _matches(row.get(caption), value) == (match["op"] == "er")]
    return list(rows)


def _caption(sheet: Sheet, field: str) -> str | None:
    slugs = {caption.casefold().replace(" ", "_"): caption for caption in sheet.captions}
    return slugs.get(field.casefold())


def _matches(cell: Cell, value: str) -> bool:
    """A date by its text; a period by its id, 256 times the year of the century plus 16 plus the month (4.2)."""
    if isinstance(cell, date):
        return cell.isoformat()[:10] == value
    period = re.fullmatch(r"(\d{4})-(\d{2})", str(cell))
    return value == (str(256 * (int(period[1]) % 100) + 16 + int(period[2])) if period else str(cell))
