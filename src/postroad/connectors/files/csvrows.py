"""The rows of a csv block as columns of text: by Arrow where it is well formed, line by line where it is not.

A quote that is not closed, or text behind a closed one, would let a reader join rows or shift columns. So a block in
which anything looks odd is scrubbed first: a row is taken only where it is well formed and has exactly the columns of
the file; of any other one line is refused, and the next line is a row again. Bad rows cost no good ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from postroad.connectors.files.dialect import Form
from postroad.sdk.casting import Bad

MOST_LINES = 200  # of one row: more are rows that a stray quote joined


@dataclass(frozen=True)
class Refused:
    """A row that is none: its line, why, its text."""

    line: int
    why: Bad
    raw: str


@dataclass(frozen=True)
class Texts:
    """Columns of bytes by position, the lines that each row begins on and ends before, and the rows that are none."""

    columns: Sequence[pa.Array]
    lines: pa.Array
    ends: pa.Array
    source: Source
    refused: Sequence[Refused] = ()

    def raw(self, row: int) -> str:
        """The text of a row as the file has it."""
        return self.source.raw(self.lines[row].as_py(), self.ends[row].as_py())


@dataclass(frozen=True)
class Source:
    """The lines of a block, to show those that are refused."""

    body: bytes
    first: int
    newline: bytes

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.body.split(self.newline)

    def raw(self, line: int, end: int) -> str:
        """The text from one line up to another; bytes that are no text stay visible."""
        text = self.newline.join(self._lines[line - self.first : end - self.first])
        return text.rstrip(b"\r\n").decode("utf-8", "backslashreplace")


def texts(body: bytes, form: Form, first: int) -> Texts:
    """The columns of a block that begins on line `first`, captions aside."""
    newline = form.newline.encode()
    for _ in range(form.skip if first == 1 else 0):
        body = body.partition(newline)[2]
        first += 1
    source = Source(body, first, newline)
    body = body.rstrip(b"\r\n")
    if not body:
        return Texts([_array([], pa.binary())] * len(form.captions), _array([]), _array([]), source)
    columns = None if _quotes_look_odd(body, form) else _read(body, form)
    if columns is None or _too_long(columns, form):
        return _scrubbed(source, form)
    return Texts(columns, *_line_numbers(columns, form, first), source)


def _read(body: bytes, form: Form) -> list[pa.Array] | None:
    """The block as Arrow reads it; None if it has a row of another width."""
    odd = False

    def refuse(_row: arrow_csv.InvalidRow) -> str:
        nonlocal odd
        odd = True
        return "skip"

    names = [str(place) for place in range(len(form.captions))]
    table = arrow_csv.read_csv(
        pa.BufferReader(body),
        arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(body) + 1),
        arrow_csv.ParseOptions(
            delimiter=form.delimiter,
            quote_char=form.quote or False,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=refuse,
        ),
        arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False),
    )
    return None if odd else [table.column(name).combine_chunks() for name in names]


def _quotes_look_odd(body: bytes, form: Form) -> bool:
    """Whether a quote stands where none may, or a line ends by a mark of its own."""
    newline = form.newline.encode()
    returns = body.count(b"\r") - body.count(b"\r\n")
    if newline == b"\n" and returns:
        return True
    if form.quote is None:
        return False
    pieces = body.split(form.quote.encode())
    if len(pieces) % 2 == 0:
        return True
    # Every other piece stands outside of quotes: from a mark to a mark, or nothing where a quote was doubled.
    begins, ends = form.delimiter.encode() + b"\r\n", form.delimiter.encode() + newline
    edges = {piece[:1] + piece[-1:] for piece in pieces[2:-1:2]} - {b""}
    if any(edge[:1] not in begins or edge[-1:] not in ends for edge in edges):
        return True
    return len(pieces) > 1 and (pieces[0][-1:] not in ends or pieces[-1][:1] not in begins)


def _too_long(columns: Sequence[pa.Array], form: Form) -> bool:
    """Whether a text has more lines than any row may have."""
    return any((pc.max(pc.count_substring(each, form.newline)).as_py() or 0) >= MOST_LINES for each in columns)


def _line_numbers(columns: Sequence[pa.Array], form: Form, first: int) -> tuple[pa.Array, pa.Array]:
    """The line that each row begins on, and the one after its last: rows may have several."""
    rows = len(columns[0])
    numbers = pa.arange(first, first + rows)
    inside = pa.repeat(pa.scalar(0, pa.int64()), rows)
    for column in columns:
        inside = pc.add(inside, pc.count_substring(column, form.newline).cast(pa.int64()))
    if pc.any(pc.greater(inside, 0)).as_py():
        numbers = pc.subtract(pc.add(numbers, pc.cumulative_sum(inside)), inside)
    return numbers, pc.add(pc.add(numbers, inside), 1)


def _array(values: Sequence[int], kind: pa.DataType = pa.int64()) -> pa.Array:  # noqa: B008 - a constant
    return pa.array(values, kind)


# A block that looks odd


def _scrubbed(source: Source, form: Form) -> Texts:
    """The same from the rows that are whole, found one by one."""
    scrubber = _Scrubber(form, source.body, source.first)
    good: list[bytes] = []
    lines: list[int] = []
    ends: list[int] = []
    for line, end, row in scrubber.rows():
        good.append(row)
        lines.append(line)
        ends.append(end)
    columns = _read(source.newline.join(good), form) if good else [_array([], pa.binary())] * len(form.captions)
    assert columns is not None  # Each of them was counted.
    return Texts(columns, _array(lines), _array(ends), source, scrubber.refused)


@dataclass
class _Scrubber:
    """Goes through a block and keeps apart what is a row."""

    form: Form
    body: bytes
    line: int
    refused: list[Refused] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[int, int, bytes]]:
        """Each row with its line and the one after it; what is none is noted."""
        newline = self.form.newline.encode()
        at = 0
        while at < len(self.body):
            row, width = self._row(at)
            lines = row.count(newline) + 1
            if width == len(self.form.captions):
                yield self.line, self.line + lines, row
            elif row:
                self._refuse(row, width)
            self.line += lines
            at = self.body.find(newline, at + len(row)) + 1 or len(self.body)

    def _row(self, at: int) -> tuple[bytes, int | None]:
        """The row that begins here and its number of fields; the line and None where it is not well formed."""
        end = self.body.find(self.form.newline.encode(), at)
        line = self.body[at : end if end >= 0 else None]
        line = line.removesuffix(b"\r") if self.form.newline == "\n" else line
        if self._quote not in line:
            return line, None if b"\r" in line else line.count(self._delimiter) + 1
        found = self._whole.match(self.body, at)
        if found is None:
            return line, None
        width = self._quoted.sub(b"", found[0]).count(self._delimiter) + 1
        inside = found[0].split(self.form.newline.encode())[1:-1]
        looks_joined = width != len(self.form.captions) and inside and all(map(self._looks_like_a_row, inside))
        return (line, None) if looks_joined or len(inside) >= MOST_LINES else (found[0], width)

    def _looks_like_a_row(self, line: bytes) -> bool:
        return line.count(self._delimiter) + 1 == len(self.form.captions)

    @cached_property
    def _quote(self) -> bytes:
        return (self.form.quote or self.form.newline).encode()

    @cached_property
    def _delimiter(self) -> bytes:
        return self.form.delimiter.encode()

    @cached_property
    def _inside(self) -> bytes:
        """The pattern of a field in quotes."""
        quote = re.escape(self._quote)
        return quote + b"(?:[^" + quote + b"]|" + quote * 2 + b")*+" + quote

    @cached_property
    def _quoted(self) -> re.Pattern[bytes]:
        """A field in quotes where it stands in a row that is well formed."""
        return re.compile(b"(?<![^" + re.escape(self._delimiter) + b"])" + self._inside)

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        """A row. A quote at the beginning of a field opens it; anywhere else it is a character like others."""
        quote, between = re.escape(self._quote), re.escape(self._delimiter)
        each = b"(?:" + self._inside + b"|(?!" + quote + b")[^" + between + b"\r\n]*+)"
        ends = b"(?=\r?\n|\r?\\Z)" if self.form.newline == "\n" else b"(?=\r|\\Z)"
        return re.compile(each + b"(?:" + between + each + b")*+" + ends)

    def _refuse(self, row: bytes, width: int | None) -> None:
        if width is not None:
            why = Bad("wrong_columns", f"has {width} fields instead of {len(self.form.captions)}")
        elif b"\r" in row and self._quote not in row:
            why = Bad("bad_line", "holds a carriage return outside of quotes")
        else:
            why = Bad("bad_quote", "has a quote that is not closed, or text behind a closed one")
        self.refused.append(Refused(self.line, why, row.decode("utf-8", "backslashreplace")))
