"""Workbooks, JSON lines and Parquet: good ones as columns, bad ones refused by file or by row."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from postroad.connectors.excel_link.simulator import hostile
from postroad.connectors.files import parquetfile, reading
from postroad.errors import RemoteError
from tests.unit.excel_link.workbooks import rezipped, rows, xlsx
from tests.unit.files.drops import Drop

FILES = Path(__file__).parents[1] / "excel_link" / "files"
DAY = dt.date(2026, 1, 1)
GOOD = {"Code": "001", "Name": "a", "Rate": Decimal("7.5"), "From": DAY}
ALL: dict[str, Any] = {"files": "a.*"}


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body, **options)
    return body.getvalue()


def usual(**changes: Any) -> bytes:
    """A file of three rows, some columns otherwise."""
    made = {"Code": ["001", "002", "003"], "Name": ["a", "b", "c"], "Rate": pa.array([1, 2, 3]), "From": [DAY] * 3}
    return parquet({**made, **changes})


def lines(*rows: Any) -> bytes:
    """One JSON text a line; bytes are lines as they are."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


ONE = {"Code": "001", "Name": "a", "Rate": 1, "From": "2026-01-01"}
LAST = {**ONE, "Code": "003"}
BOOK = xlsx(rows("001", "002"))

WHOLE_FILES: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("a.xlsx", b"", {}, "a.xlsx: the file is no workbook, or was cut short"),
    ("a.xlsx", BOOK[:-400], {}, "damaged, was cut short, or is still being written"),
    ("a.xlsx", b"<html>sign in</html>", {}, "is no workbook"),
    ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), {}, "old .xls workbook"),
    ("a.xlsx", hostile.KINDS["encrypted"](), {}, "encrypted: save it without a password"),
    ("a.xlsx", hostile.KINDS["bomb"](), {}, "zip bomb|unpacks to"),
    ("a.xlsx", hostile.KINDS["traversal"](), {}, "leads outside"),
    ("a.xlsx", hostile.KINDS["far_cell"](), {}, "more than most_cells"),
    ("a.xlsx", BOOK, {"sheet": "Data"}, "no sheet 'Data'; it has: Sheet1"),
    ("a.xlsx", BOOK, {"header": 9}, "ends before row 9"),
    ("a.xlsx", xlsx(rows("1"), captions=["Code", "Name", "Rates", "From"]), {}, "no column 'Rate'.*mean 'Rates'"),
    ("a.xlsx", rezipped(BOOK, {"xl/workbook.xml": b"<workbook>"}), {}, "no well-formed XML"),
    ("a.ods", BOOK, {}, "no ods workbook"),
    ("a.xlsb", BOOK, {}, "no xlsb workbook"),
    ("a.csv", BOOK, {}, "is a zip, such as a workbook, and no csv"),
    ("a.jsonl", BOOK, {}, "is a zip, such as a workbook, and no jsonl"),
    ("a.jsonl", b"<html></html>", {}, "is a web page or XML and no jsonl"),
    ("a.jsonl", b'{"Code": "Zo\xeb"}', {}, "is not in utf-8"),
    ("a.parquet", b"", {}, "cannot be read as Parquet: it is damaged, or was cut short"),
    ("a.parquet", usual()[:-9], {}, "cannot be read as Parquet"),
    ("a.parquet", b"PAR1" + bytes(50) + b"PAR1", {}, "cannot be read as Parquet"),
    ("a.parquet", b"Code,Name\n", {}, "cannot be read as Parquet"),
    ("a.parquet", parquet({"Code": ["1"], "Name": ["a"], "Rate": [1]}), {}, "no column 'From'; it has 'Code', "),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "dataset", "words"), WHOLE_FILES)
def test_a_bad_file_is_refused_whole(
    tmp_path: Path, name: str, body: bytes, dataset: dict[str, Any], words: str
) -> None:
    drop = Drop(tmp_path, {**ALL, **dataset})
    drop.put(name, body)
    with pytest.raises(RemoteError, match=words):
        drop.fetched()


def cell(column: int, value: Any) -> bytes:
    """A workbook whose second row has that cell."""
    row = ["002", "two", 7.5, DAY]
    row[column] = value
    return xlsx([*rows("001"), row, *rows("003")])


Refusals = list[tuple[int, str | None, str, str]]
ROWS: list[tuple[str, bytes, Refusals, list[str]]] = [
    ("a.xlsx", cell(2, "dear"), [(3, '["002"]', "bad_decimal", "Sheet1!C3 ")], ["001", "003"]),
    ("a.xlsx", cell(2, {"error": "#REF!"}), [(3, '["002"]', "error_cell", "Sheet1!C3 shows #REF!")], ["001", "003"]),
    ("a.xlsx", cell(0, None), [(3, None, "blank_key", "Sheet1!A3 ")], ["001", "003"]),
    ("a.xlsx", cell(3, "31.12.2026"), [(3, '["002"]', "bad_date", "Sheet1!D3 ")], ["001", "003"]),
    ("a.jsonl", lines(ONE, b'{"Code": "002"', LAST), [(2, None, "bad_json", "line 2 ")], ["001", "003"]),
    ("a.jsonl", lines(ONE, b"[1, 2]", LAST), [(2, None, "wrong_type", "line 2 is no object")], ["001", "003"]),
    ("a.jsonl", lines(ONE, b"{}, {}", LAST), [(2, None, "bad_json", "line 2 ")], ["001", "003"]),
    ("a.jsonl", lines(ONE, b"", b"7", LAST), [(3, None, "wrong_type", "line 3 ")], ["001", "003"]),
    ("a.jsonl", lines(ONE, b"{" * 5_000, LAST), [(2, None, "bad_json", "line 2 ")], ["001", "003"]),
    ("a.jsonl", lines(ONE, {**ONE, "Code": None}, LAST), [(2, None, "blank_key", "line 2, Code,")], ["001", "003"]),
    ("a.jsonl", lines(ONE, {"Code": "002", "Rate": "x"}, LAST), [(2, '["002"]', "bad_decimal", "line 2, Rate,")],
     ["001", "003"]),
    ("a.jsonl", lines(ONE, b'{"Code": "002", "Rate": 1e999999999}', LAST),
     [(2, '["002"]', "bad_decimal", "line 2, Rate,")], ["001", "003"]),
    ("a.jsonl", lines(ONE, {"Code": "002", "Rate": True}, LAST), [(2, '["002"]', "bad_decimal", "line 2, Rate,")],
     ["001", "003"]),
    ("a.jsonl", lines(ONE, {"Code": {"x": 1}}, LAST), [(2, None, "bad_text", "line 2, Code,")], ["001", "003"]),
    ("a.jsonl", lines(ONE, {"Code": "0\0"}, LAST), [(2, None, "bad_text", "line 2, Code,")], ["001", "003"]),
    ("a.jsonl", lines(ONE, {"Code": "002", "From": "2026-02-30"}, LAST), [(2, '["002"]', "bad_date", "line 2, From,")],
     ["001", "003"]),
    ("a.jsonl", lines(ONE, {"Code": "002", "From": 46_000.5}, LAST), [(2, '["002"]', "bad_date", "line 2, From,")],
     ["001", "003"]),
    ("a.parquet", usual(Rate=["1", "x", "3"]), [(2, '["002"]', "bad_decimal", "row 2, Rate,")], ["001", "003"]),
    ("a.parquet", usual(Rate=[1.0, float("nan"), 3.0]), [(2, '["002"]', "bad_decimal", "row 2, Rate,")],
     ["001", "003"]),
    ("a.parquet", usual(Rate=pa.array(["1", "0.1234567891", "3"]).cast(pa.decimal128(20, 10))),
     [(2, '["002"]', "bad_decimal", "row 2, Rate,")], ["001", "003"]),
    ("a.parquet", usual(Code=["001", None, "003"]), [(2, None, "blank_key", "row 2, Code,")], ["001", "003"]),
    ("a.parquet", usual(Code=["001", "\0", "003"]), [(2, None, "bad_text", "row 2, Code,")], ["001", "003"]),
    ("a.parquet", usual(From=["2026-01-01", "soon", None]), [(2, '["002"]', "bad_date", "row 2, From,")],
     ["001", "003"]),
    ("a.parquet", usual(From=pa.array([None, "2026-01-01 10:00", None]).cast(pa.timestamp("s"))),
     [(2, '["002"]', "bad_date", "row 2, From,")], ["001", "003"]),
    ("a.parquet", usual(Name=pa.array([None, {"x": 1}, None])), [(2, '["002"]', "bad_text", "row 2, Name,")],
     ["001", "003"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "refusals", "kept"), ROWS)
def test_a_bad_row_is_refused_and_the_others_are_kept(
    tmp_path: Path, name: str, body: bytes, refusals: Refusals, kept: list[str]
) -> None:
    drop = Drop(tmp_path, ALL)
    drop.put(name, body)
    accepted, refused = drop.parsed(drop.fetched())
    assert [row["Code"] for row in accepted] == kept
    assert [(each.row, each.key, each.cause) for each in refused] == [wanted[:3] for wanted in refusals]
    for each, (*_, place) in zip(refused, refusals, strict=True):
        assert each.sentence.startswith(f"{name}, {place}")
        assert each.raw


WRITTEN: dict[str, Callable[[], bytes]] = {
    "a.xlsx": lambda: xlsx([["001", "a", 7.5, DAY], [None] * 4]),
    "a.jsonl": lambda: b'\xef\xbb\xbf{"Code":"001","Name":"a","Rate":7.50,"From":"2026-01-01","Other":[]}\r\n\r\n',
    "a.ndjson": lambda: b'{"Code":"001","Name":"a","Rate":"7.5","From":46023}',
    "a.parquet": lambda: parquet(
        {"Code": pa.array(["001"]).dictionary_encode(), "Name": pa.array(["a"], pa.large_string()),
         "Rate": [7.5], "From": pa.array([DAY], pa.date64()), "Other": [[1]]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_row_of_every_format(tmp_path: Path, name: str) -> None:
    drop = Drop(tmp_path, {**ALL, "file_as": "file", "line_as": "line"})
    drop.put(name, WRITTEN[name]())
    (row,), refused = drop.parsed(drop.fetched())
    assert refused == []
    assert {caption: row[caption] for caption in GOOD} == GOOD
    assert row["file"] == name
    assert row["line"] == (2 if name == "a.xlsx" else 1)


@pytest.mark.parametrize("name", ["libreoffice.ods", "pyxlsbwriter.xlsb"])
def test_workbooks_of_other_programs(tmp_path: Path, name: str) -> None:
    columns = {"Code": "text", "Count": "int", "Rate": "decimal", "From": "date", "At": "datetime", "Open": "bool"}
    drop = Drop(tmp_path, {"files": name, "columns": columns, "sheet": "Tåble"})
    drop.put(name, (FILES / name).read_bytes())
    accepted, refused = drop.parsed(drop.fetched())
    assert [each.cause for each in refused] == (["error_cell"] if name.endswith("ods") else [])
    assert accepted[0]["Code"] == "001"
    assert accepted[0]["From"] == dt.date(2026, 1, 31)


def test_large_json_lines_come_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 100)
    drop = Drop(tmp_path, {**ALL, "columns": {"Code": "int", "a.b": {"type": "text", "as": "b"}}})
    drop.put("a.jsonl", lines(*({"Code": number, "a": {"b": f"x{number}"}} for number in range(30)), b"oops"))
    pages = drop.fetched()
    assert len(pages) > 5
    accepted, refused = drop.parsed(pages)
    assert [(row["Code"], row["b"]) for row in accepted] == [(number, f"x{number}") for number in range(30)]
    assert [each.row for each in refused] == [31]


def test_large_parquet_files_come_in_slices_with_their_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquetfile, "MOST_ROWS", 7)
    monkeypatch.setattr(parquetfile, "FEWEST_ROWS", 7)
    moments = [dt.datetime(2026, 1, 1, 12, 0, 0, number, tzinfo=dt.UTC) for number in range(30)]
    columns = {"Code": list(range(30)), "At": moments, "Rate": [Decimal(number) / 8 for number in range(30)]}
    drop = Drop(tmp_path, {**ALL, "columns": {"Code": "int", "At": "datetime", "Rate": "decimal"}, "line_as": "line"})
    drop.put("a.parquet", parquet(columns, row_group_size=11))
    pages = drop.fetched()
    assert [page.meta["line"] for page in pages] == [1, 8, 15, 22, 29]
    accepted, refused = drop.parsed(pages)
    assert refused == []
    assert [row["line"] for row in accepted] == list(range(1, 31))
    assert [row["At"] for row in accepted] == moments
    assert [row["Rate"] for row in accepted] == columns["Rate"]
    assert [page.identifier for page in drop.fetched(cursor=pages[1].cursor)] == [each.identifier for each in pages[2:]]


def test_local_times_of_parquet_are_of_the_connection(tmp_path: Path) -> None:
    times = pa.array(["2026-03-29 02:30:00", "2026-10-25 02:30:00", "2026-01-01 12:00:00"]).cast(pa.timestamp("ns"))
    settings = {"time_zone": "Europe/Stockholm"}
    drop = Drop(tmp_path, {**ALL, "columns": {"Code": "text", "At": "datetime"}}, settings)
    drop.put("a.parquet", parquet({"Code": ["1", "2", "3"], "At": times}))
    accepted, refused = drop.parsed(drop.fetched())
    assert [(each.row, each.cause) for each in refused] == [(1, "nonexistent_time")]
    assert [str(row["At"]) for row in accepted] == ["2026-10-25 00:30:00+00:00", "2026-01-01 11:00:00+00:00"]
    assert accepted[0]["_ambiguous"] == [("At", "2026-10-25 02:30:00")]


def test_a_page_that_landed_before_a_column_was_declared_can_still_be_read(tmp_path: Path) -> None:
    drop = Drop(tmp_path, {"columns": {"Code": "text"}})
    drop.put("a.csv", b"Code,Rate\n1,2\n")
    drop.put("b.csv", b"Code,Extra\n1,2\n", age=60)
    pages = drop.fetched()
    drop.dataset = {"columns": {"Code": "text", "Rate": "int"}}
    source, feed = drop.source(), drop.feed()
    found = [each for page in pages for each in source.parse(feed, page)]
    assert [each.absent for each in found] == [(), ("Rate",)]
    assert [each.records.num_rows for each in found] == [1, 1]
