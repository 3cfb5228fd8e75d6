"""The rows of a block as columns of text: by Arrow where the block is well formed, line by line where it is not.

A text qualifier that is not doubled, or a line break outside of one, would let a reader join rows or shift columns
(fact sheet 3.2). So a block in which anything looks odd is read again by a slow reader that takes a line only where it
holds exactly the columns of the header, and refuses the others: bad rows cost no good ones.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

MOST_LINES = 200  # that one text of several lines may have, in a block that is read slowly


@dataclass(frozen=True)
class Form:
    """How the lines of a block are written."""

    captions: tuple[str, ...]
    delimiter: str
    qualifier: str


@dataclass(frozen=True)
class Broken:
    """A line that is no row: its place among the rows, why, and its text."""

    place: int
    cause: str
    sentence: str
    raw: str


@dataclass(frozen=True)
class Texts:
    """The columns wanted, by caption, each row's place in the block, and the lines that are no rows."""

    columns: Mapping[str, pa.Array]
    places: pa.Array
    broken: Sequence[Broken]


def texts(body: bytes, form: Form, wanted: Sequence[str], lines: Sequence[str]) -> Texts:
    """The columns of a block; `lines` are those whose values may have several lines."""
    table = _read(body, form)
    if table is None or _odd(body, table, form, lines):
        return _carefully(body, form, wanted)
    columns = {name: table.column(name).combine_chunks() for name in wanted}
    return Texts(columns, pa.arange(0, table.num_rows), ())


def _read(body: bytes, form: Form) -> pa.Table | None:
    """The block as Arrow reads it; None if it has a line that does not fit or holds what is no text."""
    odd = False

    def refuse(_row: arrow_csv.InvalidRow) -> str:
        nonlocal odd
        odd = True
        return "skip"

    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body),
            arrow_csv.ReadOptions(column_names=list(form.captions), use_threads=False, block_size=len(body) + 1),
            arrow_csv.ParseOptions(
                delimiter=form.delimiter,
                quote_char=form.qualifier,
                newlines_in_values=True,
                ignore_empty_lines=True,
                invalid_row_handler=refuse,
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(form.captions, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    return None if odd else table


def _odd(body: bytes, table: pa.Table, form: Form, lines: Sequence[str]) -> bool:
    """Whether rows may have been joined, or a qualifier stands where none may.

    A writer qualifies the fields that need it, or all: then the number of qualifiers follows from the values.
    """
    count = body.count(form.qualifier.encode())
    if not count:
        return False
    most = len(form.captions) - 1
    needed = inside = 0
    special = f"[{re.escape(form.delimiter + form.qualifier)}\r\n]"
    for name in table.column_names:
        column = table.column(name)
        if name not in lines and pc.any(pc.match_substring(column, "\n")).as_py():
            return True
        if most and name in lines and (pc.max(pc.count_substring(column, form.delimiter)).as_py() or 0) >= most:
            return True
        inside += 2 * (pc.sum(pc.count_substring(column, form.qualifier)).as_py() or 0)
        needed += 2 * (pc.sum(pc.match_substring_regex(column, special)).as_py() or 0)
    return count not in (inside + needed, inside + 2 * table.num_rows * table.num_columns)


def _carefully(body: bytes, form: Form, wanted: Sequence[str]) -> Texts:
    places = {caption: place for place, caption in enumerate(form.captions)}
    rows: list[list[str]] = []
    numbers: list[int] = []
    broken: list[Broken] = []
    for number, found in enumerate(_records(body.decode("utf-8", "surrogateescape"), form)):
        if isinstance(found, str):
            sentence = f"the line has not the {len(form.captions)} columns of the header, or a stray text qualifier"
            broken.append(Broken(number, "wrong_columns", sentence, found))
        elif any(not cell.isascii() and not _is_text(cell) for cell in found):
            broken.append(
                Broken(number, "bad_text", "the row holds bytes that are no text", form.delimiter.join(found))
            )
        else:
            rows.append(found)
            numbers.append(number)
    columns = {name: pa.array([row[places[name]] for row in rows], pa.string()) for name in wanted}
    return Texts(columns, pa.array(numbers, pa.int64()), broken)


def _is_text(cell: str) -> bool:
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _records(text: str, form: Form) -> Iterator[list[str] | str]:
    """Each row as its cells, or the line that is none."""
    lines = text.split("\n")
    while lines and lines[-1].strip("\r") == "":
        lines.pop()
    alone = [_cells(line, form) for line in lines]
    at = 0
    while at < len(lines):
        cells = alone[at]
        step = 1
        if cells is None and lines[at].count(form.qualifier) % 2:
            step, cells = _joined(lines, alone, at, form)
        if cells is not None:
            yield cells
        elif lines[at].strip("\r"):
            yield lines[at].rstrip("\r")
        at += step


def _joined(
    lines: Sequence[str], alone: Sequence[list[str] | None], at: int, form: Form
) -> tuple[int, list[str] | None]:
    """The row that begins on a line with an open qualifier, and how many lines it has; one line and None if none."""
    whole = lines[at]
    for step in range(1, min(MOST_LINES, len(lines) - at)):
        if alone[at + step] is not None:
            break  # a row of its own
        whole = f"{whole}\n{lines[at + step]}"
        if whole.count(form.qualifier) % 2 == 0 and (cells := _cells(whole, form)) is not None:
            return step + 1, cells
    return 1, None


def _cells(line: str, form: Form) -> list[str] | None:
    """The cells of a whole row; None unless it is well formed and has all of them."""
    line = line.removesuffix("\r")
    if line.count(form.qualifier) % 2:
        return None
    mark, between = re.escape(form.qualifier), re.escape(form.delimiter)
    field = f"{mark}(?:[^{mark}]|{mark}{mark})*{mark}|[^{between}{mark}\\r\\n]*"
    if re.fullmatch(f"(?:{field})(?:{between}(?:{field}))*", line) is None:
        return None
    cells = next(csv.reader([line], delimiter=form.delimiter, quotechar=form.qualifier), [])
    return cells if len(cells) == len(form.captions) else None
