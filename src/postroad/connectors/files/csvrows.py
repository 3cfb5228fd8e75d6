"""The rows of a csv block as columns of text: by Arrow where it is well formed, line by line where it is not.

A quote that is not doubled, or a line break outside of quotes, would let a reader join rows or shift columns. So a
block in which anything looks odd is scrubbed first: a row is taken only where it is well formed and has exactly the
columns of the file, and any other is refused with its line. Bad rows cost no good ones.
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

MOST_LINES = 200  # that one row may have in a block that is scrubbed


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
    if columns is None or _lines_look_joined(columns, form):
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
    if form.quote is None or form.quote.encode() not in body:
        return False
    quote, between = re.escape(form.quote.encode()), re.escape(form.delimiter.encode())
    ends = b"[^" + between + b"\r\n]"
    whole = re.compile(b"(?<!" + ends + b")" + quote + b"[^" + quote + b"]*" + quote + b"(?!" + ends + b")")
    return form.quote.encode() in whole.sub(b"", body.replace(form.quote.encode() * 2, b""))


def _lines_look_joined(columns: Sequence[pa.Array], form: Form) -> bool:
    """Whether a text of several lines holds so many delimiters that it may be rows that a stray quote joined."""
    most = len(columns) - 1
    if form.quote is None or not most:
        return False
    for column in columns:
        several = column.filter(pc.greater(pc.count_substring(column, form.newline), 0))
        if len(several) and pc.max(pc.count_substring(several, form.delimiter)).as_py() >= most:
            return True
    return False


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
    newline = form.newline.encode()
    scrubber = _Scrubber(form, source.body.rstrip(b"\r\n").split(newline), source.first)
    good: list[bytes] = []
    lines: list[int] = []
    ends: list[int] = []
    for line, end, row in scrubber.rows():
        good.append(row)
        lines.append(line)
        ends.append(end)
    columns = _read(newline.join(good), form) if good else [_array([], pa.binary())] * len(form.captions)
    assert columns is not None  # Each of them was counted.
    return Texts(columns, _array(lines), _array(ends), source, scrubber.refused)


@dataclass
class _Scrubber:
    """Goes through the lines of a block and keeps apart what is a row."""

    form: Form
    lines: Sequence[bytes]
    first: int
    refused: list[Refused] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[int, int, bytes]]:
        """Each row with its line and the one after it; what is none is noted."""
        at = 0
        wanted = len(self.form.captions)
        while at < len(self.lines):
            line = self._line(at)
            width, step = self._width(line), 1
            if width is None:
                step, line, width = self._joined(at)
            if width == wanted:
                yield self.first + at, self.first + at + step, line
            elif line:
                self._refuse(at, line, width)
            at += step

    def _line(self, at: int) -> bytes:
        """A line without a carriage return at its end, which belongs to the mark of its end."""
        return self.lines[at].removesuffix(b"\r") if self.form.newline == "\n" else self.lines[at]

    def _joined(self, at: int) -> tuple[int, bytes, int | None]:
        """How many lines belong to the row that begins here with an open quote, its text and width; one if it is none.

        A line that is a row of its own never belongs to another one.
        """
        alone = self._line(at)
        quote, newline = (self.form.quote or "").encode(), self.form.newline.encode()
        if not quote or alone.count(quote) % 2 == 0:
            return 1, alone, None
        whole = self.lines[at]
        for step in range(1, min(MOST_LINES, len(self.lines) - at)):
            if len(self.form.captions) > 1 and self._width(self._line(at + step)) == len(self.form.captions):
                break
            whole = whole + newline + self.lines[at + step]
            row = whole.removesuffix(b"\r")
            if row.count(quote) % 2 == 0 and (width := self._width(row)) is not None:
                return step + 1, row, width
        return 1, alone, None

    def _width(self, row: bytes) -> int | None:
        """The number of fields; None where the row is not well formed.

        A quote at the beginning of a field opens it; anywhere else it is a character like others.
        """
        quote = self._quote
        if quote not in row and b"\r" not in row:
            return row.count(self._delimiter) + 1
        fields = self._quoted.sub(b"", row).split(self._delimiter)
        return None if any(each.startswith(quote) or b"\r" in each for each in fields) else len(fields)

    @cached_property
    def _quote(self) -> bytes:
        return (self.form.quote or self.form.newline).encode()

    @cached_property
    def _delimiter(self) -> bytes:
        return self.form.delimiter.encode()

    @cached_property
    def _quoted(self) -> re.Pattern[bytes]:
        """A whole field in quotes."""
        quote, between = re.escape(self._quote), re.escape(self._delimiter)
        inside = b"(?:[^" + quote + b"]|" + quote * 2 + b")*+"
        return re.compile(b"(?<![^" + between + b"])" + quote + inside + quote + b"(?![^" + between + b"])")

    def _refuse(self, at: int, row: bytes, width: int | None) -> None:
        number = self.first + at
        if width is not None:
            why = Bad("wrong_columns", f"has {width} fields instead of {len(self.form.captions)}")
        elif b"\r" in row and self._quote not in row:
            why = Bad("bad_line", "holds a carriage return outside of quotes")
        else:
            why = Bad("bad_quote", "has a quote that is not closed, or text behind a closed one")
        self.refused.append(Refused(number, why, row.decode("utf-8", "backslashreplace")))
