"""Good input, however it is written: delimiters, quotes, encodings, line ends; and blocks, which change nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.connectors.files import reading
from postroad.sdk.blocks import Cutter
from tests.unit.files.drops import CSV, Drop

ROWS = [["1", 'Zoë; "the" one, she said', "1.5", "2026-01-01"], ["2", "two\nlines", "", ""], ["3", '5" pipe', "-0", ""]]
WIDE = {"Code": "text", "Name": "text", "Rate": "decimal", "From": "date"}


def written(rows: Sequence[Sequence[str]], **how: Any) -> str:
    """As the standard library writes them."""
    out = io.StringIO(newline="")
    csv.writer(out, **{"lineterminator": "\n", **how}).writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_same_rows_however_they_are_written(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    text = written([["Code", "Name", "Rate", "From"], *ROWS], delimiter=delimiter, lineterminator=end)
    drop = Drop(tmp_path, {"encoding": encoding} if encoding in ("cp1252", "utf-16-be") else {})
    drop.put("a.csv", text.encode(encoding))
    rows, refused = drop.parsed(drop.fetched())
    assert refused == []
    assert [row["Name"] for row in rows] == [row[1] for row in ROWS]
    assert [row["Rate"] for row in rows] == [Decimal("1.5"), None, Decimal(0)]


def test_files_of_old_macintoshes_end_their_lines_otherwise(tmp_path: Path) -> None:
    drop = Drop(tmp_path, {"line_as": "line"})
    drop.put("a.csv", CSV.replace(b"\n", b"\r") + b"1,a,1,\r2,b\r3,c,3,\r")
    rows, refused = drop.parsed(drop.fetched())
    assert [(row["Code"], row["line"]) for row in rows] == [("1", 2), ("3", 4)]
    assert [(each.row, each.cause) for each in refused] == [(3, "wrong_columns")]


@pytest.mark.parametrize(
    ("body", "dataset"),
    [
        (b"1;a;1;2026-01-01\n", {"header": 0}),
        (b"1;a;1;2026-01-01\n", {"header": "sniff"}),
        (b"Code,Name,Rate,From\n1,a,1,2026-01-01\n", {"header": "sniff"}),
        (b"From, Name ,Other,Code,Rate\n2026-01-01,a,x,1,1\n", {}),
        (b"Report of today\n\nCode,Name,Rate,From\n1,a,1,2026-01-01\n", {"header": 3}),
        (b"Code,Name,Rate,From\n1,'a',1,2026-01-01\n", {"quote": "'"}),
        (b'Code,Name,Rate,From\n1,a,"1,00",2026-01-01\n', {"decimal_sign": ","}),
        (b"Code,Name,Rate,From\n1,a,1.000000000000,2026-01-01", {}),
    ],
)  # fmt: skip
def test_what_is_declared_or_sniffed(tmp_path: Path, body: bytes, dataset: dict[str, Any]) -> None:
    drop = Drop(tmp_path, dataset)
    drop.put("a.csv", body)
    rows, refused = drop.parsed(drop.fetched())
    assert refused == []
    assert [(row["Code"], row["Name"], row["Rate"], str(row["From"])) for row in rows] == [
        ("1", "a", Decimal(1), "2026-01-01")
    ]


def test_without_quotes_a_quote_is_a_character(tmp_path: Path) -> None:
    drop = Drop(tmp_path, {"quote": None})
    drop.put("a.csv", CSV + b'1,"a,1,\n2,b"c,2,\n')
    rows, refused = drop.parsed(drop.fetched())
    assert (refused, [row["Name"] for row in rows]) == ([], ['"a', 'b"c'])


def test_check_shows_what_was_sniffed(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put("a.csv", "Code;Name;Rate;From\n1;Zoë;x;\n2;b;1;\n".encode("utf-16"))
    drop.put("b.csv", CSV, age=3)
    step, told = list(drop.source().check())
    assert step.ok
    assert told.ok
    assert told.sentence.startswith(
        "1 file matches *.csv; the newest, a.csv, is csv in utf-16-le, semicolon between 4 columns, captions on line "
        "1: 1 rows, and 1 refused, such as: a.csv, line 2, Rate,"
    )
    assert "b.csv is left alone: it changed less than 10s ago (settle)" in told.sentence


CELL = st.text(alphabet='ab1 ,;"\n\r€', max_size=6)


@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=12), size=st.integers(1, 60), piece=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_blocks_follow_without_a_gap_and_end_where_rows_end(
    rows: list[tuple[str, str, str]], size: int, piece: int
) -> None:
    text = written(rows, quoting=csv.QUOTE_ALL).encode()
    pieces = iter([text[at : at + piece] for at in range(0, len(text), piece)])
    blocks = list(Cutter(b"\n", b'"').blocks(pieces, size, "a.csv"))
    assert b"".join(block.body for block in blocks) == text
    assert [row for block in blocks for row in csv.reader(io.StringIO(block.body.decode(), newline=""))] == [
        list(row) for row in rows
    ]
    line = 1
    for block in blocks:
        assert block.line == line
        line += block.body.count(b"\n")


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=10), size=st.integers(5, 80), all_quoted=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_well_formed_is_read_as_it_was_written(
    tmp_path: Path, rows: list[tuple[str, str]], size: int, all_quoted: bool
) -> None:
    """Texts of several lines with delimiters in them too, that look like rows of their own."""
    quoting = csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL
    if not all_quoted:  # a carriage return alone makes that writer quote nothing
        rows = [(one.replace("\r", ""), other.replace("\r", "")) for one, other in rows]
    columns = {"K": "text", "A": "text"}
    drop = Drop(tmp_path, {"columns": columns, "key": ["f", "line"], "file_as": "f", "line_as": "line"})
    drop.put("a.csv", written([("K", "A"), *rows], quoting=quoting).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", size)
        found, refused = drop.parsed(drop.fetched())
    assert refused == []
    assert [(row["K"] or "", row["A"] or "") for row in found] == [row for row in rows if any(row)]


@given(
    rows=st.lists(st.tuples(CELL, CELL), max_size=10),
    junk=st.lists(st.tuples(st.integers(0, 10), st.sampled_from(['x,"', "x", 'x,"a"b', "x,y,z"])), max_size=3),
    size=st.integers(5, 80),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_good_rows_are_kept_whole_and_bad_ones_refused_wherever_blocks_end(
    tmp_path: Path, rows: list[tuple[str, str]], junk: list[tuple[int, str]], size: int
) -> None:
    """A quoted text of one line never swallows the row behind a broken one."""
    flat = [tuple(cell.replace("\n", "").replace("\r", "") for cell in row) for row in rows]
    lines = [written([("k" + str(at), *row)], quoting=csv.QUOTE_ALL).rstrip("\n") for at, row in enumerate(flat)]
    for at, line in sorted(junk, reverse=True):
        lines.insert(min(at, len(lines)), line)
    drop = Drop(tmp_path, {"columns": {"K": "text", "A": "text", "B": "text"}, "key": ["K"], "quote": '"'})
    drop.put("a.csv", "\n".join(["K,A,B", *lines, ""]).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", size)
        found, refused = drop.parsed(drop.fetched())
    wanted = [("k" + str(at), *(cell or None for cell in row)) for at, row in enumerate(flat)]
    three = [line for _, line in junk if line == "x,y,z"]
    assert [(row["K"], row["A"], row["B"]) for row in found if row["K"] != "x"] == wanted
    assert len(found) == len(wanted) + len(three)
    assert sum(len(each.raw.splitlines()) for each in refused) == len(junk) - len(three)
