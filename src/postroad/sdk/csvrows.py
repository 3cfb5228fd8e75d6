"""The rows of a csv block as columns of bytes: by Arrow where it is well formed, line by line where it is not.

A quote that is not closed, or text behind a closed one, would let a reader join rows or shift columns. So a block in
which anything looks odd is scrubbed first: a row is taken only where it is well formed and has exactly the columns of
the file; of any other one line is refused, and the next line is a row again. Bad rows cost no good ones.

People write a quote as a mark of inches, programs do not. `Form.several` says that a program wrote the file and which
of its columns may hold line breaks: then a quote stands only around a text, and what looks like a row is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from postroad.sdk.casting import Bad

MOST_LINES = 200  # of one row: more are rows that a stray quote joined


@dataclass(frozen=True)
class Form:
    """How rows are written: their number of columns, and the marks between and around them.

    `several` are the places of the columns whose texts may have several lines; None where any may, as nobody knows.
    """

    width: int
    delimiter: str
    quote: str | None
    newline: str = "\n"
    several: frozenset[int] | None = None


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
    """The columns of a block whose first row is on line `first`."""
    source = Source(body, first, form.newline.encode())
    body = body.rstrip(b"\r\n")
    if not body:
        return Texts([_array([], pa.binary())] * form.width, _array([]), _array([]), source)
    columns = None if _quotes_look_odd(body, form) else _read(body, form)
    lines = None if columns is None else _lines(columns, form, body.count(source.newline) + 1)
    if columns is None or lines is None:
        return _scrubbed(source, form)
    ends = pc.add(pc.cumulative_sum(lines), first)
    return Texts(columns, pc.subtract(ends, lines), ends, source)


def _read(body: bytes, form: Form) -> list[pa.Array] | None:
    """The block as Arrow reads it; None if it has a row of another width."""
    odd = False

    def refuse(_row: arrow_csv.InvalidRow) -> str:
        nonlocal odd
        odd = True
        return "skip"

    names = [str(place) for place in range(form.width)]
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


def _lines(columns: Sequence[pa.Array], form: Form, count: int) -> pa.Array | None:
    """How many of the block's `count` lines each row has; None if rows may have been joined.

    That shows in a text of more lines than it may have, or of so many delimiters that a row may stand in it.
    """
    lines = pa.repeat(pa.scalar(1, pa.int64()), len(columns[0]))
    if len(lines) == count:
        return lines
    for place in range(form.width) if form.several is None else form.several:
        more = pc.count_substring(columns[place], form.newline)
        most = pc.max(more).as_py() or 0
        if most >= MOST_LINES or (most and form.several is not None and _may_hold_rows(columns[place], form)):
            return None
        lines = pc.add(lines, more.cast(pa.int64()))
    return lines if pc.sum(lines).as_py() == count else None


def _may_hold_rows(column: pa.Array, form: Form) -> bool:
    return (pc.max(pc.count_substring(column, form.delimiter)).as_py() or 0) >= form.width - 1


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
    columns = _read(source.newline.join(good), form) if good else [_array([], pa.binary())] * form.width
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
        at = 0
        while at < len(self.body):
            row, width = self._row(at)
            lines = row.count(self._newline) + 1
            if width == self.form.width:
                yield self.line, self.line + lines, row
            elif row:
                self._refuse(row, width)
            self.line += lines
            at = self.body.find(self._newline, at + len(row)) + 1 or len(self.body)

    def _row(self, at: int) -> tuple[bytes, int | None]:
        """The row that begins here and its number of fields; the line and None where it is not well formed."""
        end = self.body.find(self._newline, at)
        line = self.body[at : end if end >= 0 else None]
        line = line.removesuffix(b"\r") if self.form.newline == "\n" else line
        if self._quote not in line:
            return line, None if b"\r" in line else line.count(self._delimiter) + 1
        good = self._good.match(self.body, at)
        if good is not None and not self._holds_rows(good[0]):
            return good[0], self.form.width
        found = self._whole.match(self.body, at)
        if found is None:
            return line, None
        width, lines = self._width(found[0]), found[0].split(self._newline)
        joined = self.form.several is not None or width == self.form.width or len(lines) > MOST_LINES
        joined = joined or (len(lines) > 2 and all(map(self._looks_like_a_row, lines[1:-1])))
        return (line, None) if joined and len(lines) > 1 else (found[0], width)

    def _holds_rows(self, row: bytes) -> bool:
        """Whether stray quotes may have joined lines: too many of them, or a program's that are rows by themselves."""
        lines = row.split(self._newline)[1:]
        return len(lines) > MOST_LINES or (self.form.several is not None and any(map(self._is_row, lines)))

    def _is_row(self, line: bytes) -> bool:
        if line.count(self._delimiter) + 1 < self.form.width:
            return False
        line = line.removesuffix(b"\r")
        return self._whole.fullmatch(line) is not None and self._width(line) == self.form.width

    def _looks_like_a_row(self, line: bytes) -> bool:
        return line.count(self._delimiter) + 1 == self.form.width

    def _width(self, row: bytes) -> int:
        return self._quoted.sub(b"", row).count(self._delimiter) + 1

    @cached_property
    def _newline(self) -> bytes:
        return self.form.newline.encode()

    @cached_property
    def _quote(self) -> bytes:
        return (self.form.quote or self.form.newline).encode()

    @cached_property
    def _delimiter(self) -> bytes:
        return self.form.delimiter.encode()

    @cached_property
    def _quoted(self) -> re.Pattern[bytes]:
        """A field in quotes where it stands in a row that is well formed."""
        return re.compile(b"(?<![^" + re.escape(self._delimiter) + b"])" + self._inside())

    @cached_property
    def _good(self) -> re.Pattern[bytes]:
        """A row with all of its columns, and line breaks in those alone that may have some."""
        several, between = self.form.several, re.escape(self._delimiter)
        runs = groupby(several is None or place in several for place in range(self.form.width))
        each = [self._repeated(self._any(lines=lines), len(list(run)) - 1) for lines, run in runs]
        return re.compile(between.join(each) + self._ends)

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        """A row of any number of columns."""
        return re.compile(self._repeated(self._any(lines=True)) + self._ends)

    def _repeated(self, field: bytes, times: int | None = None) -> bytes:
        more = b"*+" if times is None else b"{%d}" % times
        return field + b"(?:" + re.escape(self._delimiter) + field + b")" + more

    def _any(self, *, lines: bool) -> bytes:
        """A field. A quote at its beginning opens it; anywhere else it is a character of what people wrote."""
        quote, between = re.escape(self._quote), re.escape(self._delimiter)
        bare = b"(?!" + quote + b")[^" + between if self.form.several is None else b"[^" + between + quote
        return b"(?:" + self._inside(b"" if lines else self._newline) + b"|" + bare + b"\r\n]*+)"

    def _inside(self, without: bytes = b"") -> bytes:
        """A field in quotes."""
        quote = re.escape(self._quote)
        text = b"[^" + quote + without + b"]*+"
        return quote + text + b"(?:" + quote * 2 + text + b")*+" + quote

    @property
    def _ends(self) -> bytes:
        return b"(?=\r?\n|\r?\\Z)" if self.form.newline == "\n" else b"(?=\r|\\Z)"

    def _refuse(self, row: bytes, width: int | None) -> None:
        if width is not None:
            why = Bad("wrong_columns", f"has {width} fields instead of {self.form.width}")
        elif b"\r" in row and self._quote not in row:
            why = Bad("bad_line", "holds a carriage return outside of quotes")
        else:
            why = Bad("bad_quote", "has a quote that is not closed, or text behind a closed one")
        self.refused.append(Refused(self.line, why, row.decode("utf-8", "backslashreplace")))
