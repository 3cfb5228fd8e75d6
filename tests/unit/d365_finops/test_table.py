"""Blocks of rows: what a reader must take, and what it must refuse without losing the rows around it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.connectors.d365_finops.blocks import blocks, rows_in
from postroad.connectors.d365_finops.faults import FileError
from postroad.connectors.d365_finops.table import Form, texts

FORM = Form(("A", "B", "C"), ",", '"')
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


def read(body: str, lines: tuple[str, ...] = ("C",)) -> tuple[list[tuple[str, ...]], list[str]]:
    """The rows taken, and the lines refused."""
    found = texts(body.encode("utf-8", "surrogateescape"), FORM, FORM.captions, lines)
    columns = [found.columns[name].to_pylist() for name in FORM.captions]
    return list(zip(*columns, strict=True)), [each.raw for each in found.broken]


def written(rows: list[tuple[str, ...]], quoting: int = csv.QUOTE_MINIMAL) -> str:
    """As a careful writer writes them."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator="\r\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(max_examples=150)
def test_what_a_careful_writer_writes_is_read_as_it_was(rows: list[tuple[str, ...]], quoting: int) -> None:
    taken, refused = read(written(rows, quoting), lines=FORM.captions)
    assert (taken, refused) == (rows, [])


GOOD = [("1", "one", "x"), ("2", "two", "two\r\nlines"), ("3", "three", 'a "word"'), ("4", "four", ",,,")]


@pytest.mark.parametrize(
    "bad",
    [
        "9,nine",
        "9,nine,x,surplus",
        '9,"nine,x',
        '9,nine","x',
        '9,"nine" ,x',
        '9,"ni"ne",x',
        '9,",x',
        '9,nine,"',
        ",",
        '"9,nine,x',
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_a_bad_line_costs_no_good_row(bad: str, place: int) -> None:
    lines = [written([row]) for row in GOOD]
    lines.insert(place, f"{bad}\r\n")
    taken, refused = read("".join(lines))
    assert taken == GOOD
    assert refused == [bad]


def test_two_stray_qualifiers_do_not_swallow_the_rows_between() -> None:
    taken, refused = read('1,",x\r\n2,two,y\r\n3,",z\r\n4,four,w\r\n')
    assert taken == [("2", "two", "y"), ("4", "four", "w")]
    assert refused == ['1,",x', '3,",z']


def test_a_qualifier_within_a_text_is_none_of_a_program() -> None:
    taken, refused = read('1,5" pipe,x\r\n2,5" x 6",y\r\n3,three,z\r\n')
    assert taken == [("3", "three", "z")]
    assert refused == ['1,5" pipe,x', '2,5" x 6",y']


@pytest.mark.parametrize("column", ["B", "C"])
def test_rows_between_stray_qualifiers_are_no_text_of_several_lines(column: str) -> None:
    """Even where a text may have several."""
    stray = '9,",x' if column == "B" else '9,nine,"'
    taken, refused = read(f"{stray}\r\n1,one,x\r\n{stray}\r\n2,two,y\r\n", (column,))
    assert taken == [("1", "one", "x"), ("2", "two", "y")]
    assert refused == [stray, stray]


def test_bytes_that_are_no_text_cost_their_row_alone() -> None:
    taken, refused = read("1,one,x\r\n2,\udcff,y\r\n")
    assert taken == [("1", "one", "x")]
    assert len(refused) == 1


HEADER = "A,B,C\r\n"


@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30),
    st.integers(1, 60),
    st.integers(1, 50),
    st.sampled_from(["utf-16-le", "utf-16-be", "utf-8"]),
)
@settings(max_examples=150)
def test_blocks_hold_every_row_once_wherever_they_are_cut(
    rows: list[tuple[str, ...]], size: int, piece: int, encoding: str
) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-8": b"\xef\xbb\xbf"}[encoding]
    body = mark + (HEADER + written(rows)).encode(encoding)
    pieces = [body[:4], *(body[at : at + piece] for at in range(4, len(body), piece))]
    cut = list(blocks(iter(pieces), "utf-8", ",", '"', size))
    assert all(each.captions == FORM.captions for each in cut)
    assert [row for each in cut for row in read(each.text.decode(), FORM.captions)[0]] == rows


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", HEADER.encode(), "A,B,C".encode("utf-16")])
def test_a_file_without_rows_has_no_blocks(body: bytes) -> None:
    assert list(blocks(iter([body]), "utf-8", ",", '"', 100)) == []


def test_a_file_that_ends_within_a_character_is_refused() -> None:
    with pytest.raises(FileError, match="is not in utf-16-le"):
        list(blocks(iter(["\ufeffA,B,C\r\n1,2,3".encode("utf-16-le") + b"x"]), "utf-8", ",", '"', 100))


def test_a_column_that_is_named_twice_is_refused() -> None:
    with pytest.raises(FileError, match="twice"):
        list(blocks(iter([b"A,A\r\n1,2\r\n"]), "utf-8", ",", '"', 100))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("step", [7, 1000])
def test_the_rows_of_a_file_are_counted_however_it_comes(encoding: str, step: int) -> None:
    text = 'A,B\r\n1,"two\r\nlines, ""quoted"""\r\n2,å😀\r\n3,x'
    body = ("" if encoding == "utf-8" else "\ufeff").encode(encoding) + text.encode(encoding)
    pieces = iter([body[at : at + step] for at in range(0, len(body), step)])
    assert rows_in(pieces, "utf-8", '"') == 3


@pytest.mark.parametrize(("text", "count"), [("", 0), ("A,B", 0), ("A,B\r\n", 0), ("A,B\n1,2", 1), ("A,B\n1,2\n", 1)])
def test_a_file_without_rows_has_none(text: str, count: int) -> None:
    assert rows_in(iter([text.encode()]), "utf-8", '"') == count


def test_a_file_that_is_no_text_is_read_to_its_end_and_not_counted() -> None:
    pieces = iter([b"\xff\xfe\0\0A\0\0\0", b"\xff\xff\xff\xff", b"B\0\0\0"])  # UTF-32 has no such character
    assert rows_in(pieces, "utf-8", '"') is None
    assert next(pieces, None) is None
