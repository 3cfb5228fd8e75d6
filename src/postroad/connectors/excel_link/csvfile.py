"""The rows of a csv file: all cells are texts, and the declared types read them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from postroad.connectors.excel_link.tables import Table
from postroad.errors import RemoteError
from postroad.sdk.casting import Bad
from postroad.sdk.sheets.grid import BATCH, Batch, Grid, caption_of, found_columns, require_cells


def csv_grid(body: bytes, table: Table, most_cells: int, *, whole: bool) -> Grid:
    """The declared columns of a csv file; RemoteError for a file that cannot be used, at the latest after its rows."""
    text = _decoded(body, table)
    header = table.settings.header_row
    first = next(islice(_lines(text, table), header - 1, None), None)
    if first is None:
        raise RemoteError(f"the file ends before line {header}, which should hold the captions: check header_row")
    captions = [caption_of(field) for field in first[1]]
    columns = found_columns(table.layout, captions, f"line {first[0]}", whole=whole)
    places = [columns.get(each.caption) for each in table.columns]
    return Grid(
        lambda: _csv_batches(islice(_lines(text, table), header, None), len(captions), places, most_cells),
        lambda number, column: f"line {number}, {column.caption},",
        tuple(each.caption for each in table.columns if each.caption not in columns),
    )


def _decoded(body: bytes, table: Table) -> str:
    encoding = table.settings.encoding
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise RemoteError(f"line {line} is not in {encoding}: set encoding to what the file is written in") from None
    return text.removeprefix("\ufeff")


def _lines(text: str, table: Table) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it ends; a quote that never closes would swallow rows, so it is an error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=table.settings.delimiter, strict=True)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error as error:
        raise RemoteError(f"line {reader.line_num} of the csv file cannot be read ({error}): export it again") from None


def _csv_batches(
    lines: Iterator[tuple[int, list[str]]], width: int, places: Sequence[int | None], most_cells: int
) -> Iterator[Batch]:
    cells = 0
    while chunk := list(islice(lines, BATCH)):
        cells += sum(len(fields) for _, fields in chunk)
        require_cells(cells, most_cells)
        rows = [(line, fields) for line, fields in chunk if any(fields)]
        bad = {
            step: Bad("wrong_columns", f"line {line} has {len(fields)} fields instead of {width}")
            for step, (line, fields) in enumerate(rows)
            if len(fields) != width
        }
        blank = [""] * width
        whole = [blank if step in bad else fields for step, (_, fields) in enumerate(rows)]
        columns = [[row[place] for row in whole] if place is not None else [None] * len(whole) for place in places]
        yield Batch([line for line, _ in rows], columns, _raw_of([fields for _, fields in rows]), bad)


def _raw_of(rows: Sequence[list[str]]) -> Callable[[int], str]:
    return lambda step: json.dumps(rows[step], ensure_ascii=False)
