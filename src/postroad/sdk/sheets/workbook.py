"""A workbook's rows: looked through by us, then read by calamine. Formulas are never evaluated, macros never seen."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError

from postroad.errors import RemoteError
from postroad.sdk.sheets import ods, xlsb, xlsx
from postroad.sdk.sheets.archive import Archive
from postroad.sdk.sheets.columns import Layout
from postroad.sdk.sheets.extent import Extent
from postroad.sdk.sheets.grid import BATCH, Batch, Cell, ErrorCell, Grid, caption_of, found_columns

UNREADABLE = "the workbook cannot be read"
Errors = Mapping[tuple[int, int], str]
Read = TypeVar("Read")


def workbook_grid(body: bytes, kind: str, layout: Layout, most_unpacked: int, most_cells: int, *, whole: bool) -> Grid:
    """The declared columns of the sheet; RemoteError for a file that cannot be used, before any row."""
    archive = Archive(body, most_unpacked)
    extents, part_of, from_1904 = _looked_through(archive, kind, most_cells, most_unpacked)
    book = _read(lambda: CalamineWorkbook.from_filelike(io.BytesIO(body)))
    name = _sheet_name(book, layout.sheet)
    extent = extents.get(part_of(name).casefold() if kind != "ods" else name, Extent())
    sheet = _read(lambda: book.get_sheet_by_name(name))
    header = layout.header_row
    captions = [caption_of(cell) for cell in next(islice(_rows(sheet), header - 1, None), [])]
    left = sheet.start[1] if sheet.start else 0
    if not captions:
        raise RemoteError(f"sheet {name} ends before row {header}, which should hold the captions: check header_row")
    columns = found_columns(layout, captions, f"row {header} of sheet {name}", whole=whole)
    places = {caption: letters(place + left) for caption, place in columns.items()}
    return Grid(
        lambda: _batches(islice(_rows(sheet), header, None), header, columns, extent.errors, left, layout),
        lambda number, column: f"{name}!{places[column.caption]}{number}",
        tuple(each.caption for each in layout.columns if each.caption not in columns),
        from_1904,
    )


def _looked_through(
    archive: Archive, kind: str, most_cells: int, most_text: int
) -> tuple[Mapping[str, Extent], Callable[[str], str], bool]:
    """The extents by part, the part of a sheet, and whether dates count from 1904; RemoteError if it is hostile."""
    if kind == "ods":
        return ods.extents(archive, most_cells, most_text), str, False
    parts = xlsx if kind == "xlsx" else xlsb
    directory = parts.Workbook(archive)
    return parts.extents(archive, most_cells, most_text), directory.part, directory.from_1904


def _read(action: Callable[[], Read]) -> Read:
    """What the reader gives; RemoteError for what it cannot read, a panic of its native code included."""
    try:
        return action()
    except PasswordError:
        raise RemoteError("the workbook is encrypted: save it without a password") from None
    except (CalamineError, ValueError, OSError) as error:
        raise RemoteError(f"{UNREADABLE} ({error}): export it again") from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # It has no other name in Python, and is no Exception.
            raise RemoteError(f"{UNREADABLE}; its parts contradict each other: export it again") from None
        raise


def _sheet_name(book: CalamineWorkbook, wanted: str | None) -> str:
    names = book.sheet_names
    if not names:
        raise RemoteError("the workbook has no sheets: export it again")
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise RemoteError(f"the workbook has no sheet '{wanted}'; it has: {', '.join(names)}")
    return wanted


def _rows(sheet: CalamineSheet) -> Iterator[Sequence[Cell]]:
    return iter(sheet.iter_rows()) if sheet.start else iter(())


def _batches(
    rows: Iterator[Sequence[Cell]],
    header: int,
    columns: Mapping[str, int],
    errors: Errors,
    left: int,
    layout: Layout,
) -> Iterator[Batch]:
    """The rows below the captions, without those that are blank."""
    at = header  # the number, from 0, of the next row
    places = [columns.get(each.caption) for each in layout.columns]
    wanted = [place for place in places if place is not None]
    wrong: dict[int, dict[int, str]] = {}
    for (row, column), text in errors.items():
        if column - left in wanted:
            wrong.setdefault(row, {})[column - left] = text
    while chunk := list(islice(rows, BATCH)):
        numbers = [
            at + step
            for step, row in enumerate(chunk)
            if any(row[place] != "" for place in wanted) or at + step in wrong
        ]
        yield _batch([chunk[number - at] for number in numbers], numbers, places, wrong)
        at += len(chunk)


def _batch(
    rows: list[Sequence[Cell]],
    numbers: list[int],
    places: Sequence[int | None],
    wrong: Mapping[int, Mapping[int, str]],
) -> Batch:
    cells: list[list[Cell]] = [
        [row[place] for row in rows] if place is not None else [None] * len(rows) for place in places
    ]
    if wrong:
        for step, number in enumerate(numbers):
            for place, text in wrong.get(number, {}).items():
                cells[places.index(place)][step] = ErrorCell(text)

    def raw(step: int) -> str:
        shown = wrong.get(numbers[step], {})
        values = [shown.get(place, None if cell == "" else cell) for place, cell in enumerate(rows[step])]
        return json.dumps(values, ensure_ascii=False, default=str)

    return Batch([number + 1 for number in numbers], cells, raw)


def letters(column: int) -> str:
    """0 is `A`, 16383 is `XFD`."""
    text = ""
    while column >= 0:
        column, place = divmod(column, 26)
        text, column = chr(65 + place) + text, column - 1
    return text
