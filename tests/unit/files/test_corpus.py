"""Bad input: what a whole file is refused with, or the cause and line of each refused row and the rows kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postroad.errors import RemoteError
from tests.unit.files.drops import CSV, Drop

LATIN = b"Code,Name,Rate,From\n1,Zo\xeb,1,2026-01-01\n"

# Name, content, the dataset's settings, and words of the refusal.
WHOLE_FILES: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("a.csv", b"", {"holds": "snapshot"}, "a.csv ends before line 1, which should hold the captions"),
    ("a.csv", b"\xef\xbb\xbf", {"holds": "snapshot"}, "ends before line 1"),
    ("a.csv", CSV, {"header": 3}, "ends before line 3"),
    ("a.csv", b"<html><body>Sign in</body></html>", {}, "is a web page or XML and no csv"),
    ("a.csv", b"\n  <?xml version='1.0'?>", {}, "is a web page or XML"),
    ("a.csv", b"PK\3\4" + bytes(100), {}, "is a zip, such as a workbook, and no csv"),
    ("a.csv", b"\xd0\xcf\x11\xe0" + bytes(100), {}, "an old .xls workbook"),
    ("a.csv", b"PAR1" + bytes(100), {}, "is a Parquet file and no csv"),
    ("a.dat", CSV, {"files": "*.dat"}, "does not tell by its ending what it is"),
    ("a.csv", LATIN, {}, "a.csv line 2 is not in utf-8: set encoding; in cp1252 it would read '.*Zoë"),
    ("a.csv", b"Code;Name;Rate;Form\n", {}, "line 1 has no column 'From'; it has 'Code', .*did you mean 'Form'"),
    ("a.csv", b"Code,Name,Code,Rate,From\n", {}, "has the caption 'Code' twice"),
    ("a.csv", b"Kode|Navn\n1|a\n", {}, "has no column 'Code' and 'Name' and 'Rate' and 'From'; it has 'Kode', 'Navn'"),
    ("a.csv", b"Code;Name;Rate;From\n", {"delimiter": ","}, "has no column 'Code'"),
    ("a.csv", b"just text\n", {}, "it has 'just text'"),
    ("a.csv", b"1,a\n", {"header": 0}, "no delimiter gives its first line the 4 declared columns"),
    (
        "a.csv",
        (CSV + b"1,a,1,2026-01-01\n").decode().encode("utf-16")[:-1],
        {},
        "is not in utf-16-le, or was cut short",
    ),
    ("a.csv", CSV.decode().encode("utf-16"), {"encoding": "utf-32"}, "Code|cut short"),
]


@pytest.mark.parametrize(("name", "body", "dataset", "words"), WHOLE_FILES)
def test_a_bad_file_is_refused_whole_with_what_to_do(
    tmp_path: Path, name: str, body: bytes, dataset: dict[str, Any], words: str
) -> None:
    drop = Drop(tmp_path, dataset)
    drop.put(name, body)
    if words == "Code|cut short":  # its mark is believed more than what is declared
        assert drop.parsed(drop.fetched()) == ([], [])
        return
    with pytest.raises(RemoteError, match=words):
        drop.fetched()


GOOD = b"001,a,1,2026-01-01\n"
LAST = b"003,c,3,2026-01-03\n"
Refusals = list[tuple[int, str | None, str]]

# Content behind the captions, the dataset's settings, line, key and cause of each refusal, and the codes that are kept.
ROWS: list[tuple[bytes, dict[str, Any], Refusals, list[Any]]] = [
    (GOOD + b"002,b,2\n" + LAST, {}, [(3, None, "wrong_columns")], ["001", "003"]),
    (GOOD + b"002,b,2,2026-01-02,x\n" + LAST, {}, [(3, None, "wrong_columns")], ["001", "003"]),
    (GOOD + b"002\n" + LAST, {}, [(3, None, "wrong_columns")], ["001", "003"]),
    (GOOD + b'002,"b,2,2026-01-02\n' + LAST, {}, [(3, None, "bad_quote")], ["001", "003"]),
    (GOOD + b'002,"b"x,2,2026-01-02\n' + LAST, {}, [(3, None, "bad_quote")], ["001", "003"]),
    (GOOD + b'002,"b""x,2,2026-01-02\n' + LAST, {}, [(3, None, "bad_quote")], ["001", "003"]),
    (GOOD + b'002,b,2,"2026-01-02\n' + LAST, {}, [(3, None, "bad_quote")], ["001", "003"]),
    (GOOD + b'"002,b,2,2026-01-02\n"002,b,2,2026-01-02\n' + LAST, {},
     [(3, None, "bad_quote"), (4, None, "bad_quote")], ["001", "003"]),
    (GOOD + b'002,"b\n' + LAST, {}, [(3, None, "bad_quote")], ["001", "003"]),
    (GOOD + b'002,"b\nb",2\n' + LAST, {}, [(3, None, "wrong_columns")], ["001", "003"]),
    (GOOD + b'002,"b\nb",x,\n' + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b'002,"b,2,2026-01-02\n' + b"004,d,4,\n" * 2 + b'005,e",5,,\n' + LAST, {},
     [(3, None, "bad_quote"), (6, None, "wrong_columns")], ["001", "004", "004", "003"]),
    (GOOD + b'002,"' + b"b\n" * 300 + b'",2,2026-01-02\n' + LAST, {"columns": {"Code": "text", "Name": "text"}},
     [(3, None, "bad_quote"), *((line, None, "wrong_columns") for line in range(4, 303)),
      (303, None, "bad_quote")], ["001", "003"]),
    (b'001,"a\n\nb",1,\n002,b,x,\n' + LAST, {}, [(5, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b\rb,2,2026-01-02\n" + LAST, {}, [(3, None, "bad_line")], ["001", "003"]),
    (GOOD + b"\n\n002,b,2\n" + LAST, {}, [(5, None, "wrong_columns")], ["001", "003"]),
    (GOOD + b",,,\n002,b,x,\n" + LAST, {}, [(4, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD.replace(b"\n", b"\r\n") + b"002,b,x,\r\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,\xff,2,\n" + LAST, {"encoding": "utf-8"}, [(3, '["002"]', "bad_encoding")], ["001", "003"]),
    (GOOD + b"\xc3,b,2,\n" + LAST, {"encoding": "utf-8"}, [(3, None, "bad_encoding")], ["001", "003"]),
    (GOOD + b"002,\x81,2,\n" + LAST, {"encoding": "cp1252"}, [(3, '["002"]', "bad_encoding")], ["001", "003"]),
    (GOOD + b"002,b\0,2,\n" + LAST, {"encoding": "utf-8"}, [(3, '["002"]', "bad_text")], ["001", "003"]),
    (GOOD + b"0\x002,b,2,\n" + LAST, {"encoding": "utf-8"}, [(3, None, "bad_text")], ["001", "003"]),
    (GOOD + b",b,2,\n" + LAST, {}, [(3, None, "blank_key")], ["001", "003"]),
    (GOOD + b"NULL,b,2,\n" + LAST, {"nulls": ["NULL"]}, [(3, None, "blank_key")], ["001", "003"]),
    (GOOD + b"002,b,2e5,\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b'002,b,"1,5",\n' + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b,1.5,\n", {"decimal_sign": ","}, [(3, '["002"]', "bad_decimal")], ["001"]),
    (GOOD + b"002,b,0.1234567891,\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b,1" + b"0" * 29 + b",\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b,=1+1,\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b,NaN,\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b,0x1f,\n" + LAST, {}, [(3, '["002"]', "bad_decimal")], ["001", "003"]),
    (GOOD + b"002,b,2,2026-02-30\n" + LAST, {}, [(3, '["002"]', "bad_date")], ["001", "003"]),
    (GOOD + b"002,b,2,0000-01-01\n" + LAST, {}, [(3, '["002"]', "bad_date")], ["001", "003"]),
    (GOOD + b"002,b,2,2026-1-2\n" + LAST, {}, [(3, '["002"]', "bad_date")], ["001", "003"]),
    (GOOD + b"002,b,2,2026-01-02 10:00\n" + LAST, {}, [(3, '["002"]', "bad_date")], ["001", "003"]),
    (b"001,a,1,01.02.2026\n002,b,2,31.02.2026\n003,c,3,1.2.2026\n",
     {"columns": {"Code": "text", "From": {"type": "date", "format": "%d.%m.%Y"}}},
     [(3, '["002"]', "bad_date")], ["001", "003"]),
    (b"1,a,1,\n2.0,b,1,\n0x3,c,1,\n9223372036854775808,d,1,\n+5,e,1,\n",
     {"columns": {"Code": "int", "Name": "text"}},
     [(3, None, "bad_number"), (4, None, "bad_number"), (5, None, "bad_number")], [1, 5]),
    (b"1,a,1,2026-01-01 25:00\n2,b,1,2026-01-01T10:00:00.1234567\n3,c,1,2026-01-01T10:00:00Z\n",
     {"columns": {"Code": "text", "From": "datetime"}},
     [(2, '["1"]', "bad_time"), (3, '["2"]', "bad_time")], ["3"]),
    (b"1,a,1,yes\n2,b,1,maybe\n3,c,1,FALSE\n", {"columns": {"Code": "text", "From": "bool"}},
     [(3, '["2"]', "bad_bool")], ["1", "3"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "dataset", "refusals", "kept"), ROWS)
def test_a_bad_row_is_refused_with_its_line_and_the_others_are_kept(
    tmp_path: Path, body: bytes, dataset: dict[str, Any], refusals: Refusals, kept: list[Any]
) -> None:
    drop = Drop(tmp_path, dataset)
    drop.put("a.csv", CSV + body)
    accepted, refused = drop.parsed(drop.fetched())
    assert [row["Code"] for row in accepted] == kept
    assert [(each.row, each.key, each.cause) for each in refused] == refusals
    lines = (CSV + body).decode("utf-8", "backslashreplace").splitlines()
    for each in refused:
        assert each.sentence.startswith(f"a.csv, line {each.row}")
        assert each.raw.splitlines()[0] == lines[each.row - 1]
