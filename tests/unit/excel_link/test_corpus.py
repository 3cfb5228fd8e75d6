"""Bad input: what a whole file is refused with, or the cause, row and cell of each refused row and the rows kept."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.excel_link.simulator import hostile
from postroad.errors import RemoteError
from tests.shell import Shell
from tests.unit.excel_link.workbooks import fetched, of_file, parsed, rezipped, rows, usual, xlsx

FILES = Path(__file__).parent / "files"
GOOD = rows("001", "002")
CSV = b"Code,Name,Rate,From\n"
DAY = dt.date(2026, 1, 1)


def objects(*cells: Any) -> bytes:
    return json.dumps({"rows": cells}).encode()


WHOLE_FILES: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("xlsx", hostile.HTML, {}, "a web page came instead of xlsx"),
    ("csv", b"\n <html></html>", {}, "a web page came instead of csv"),
    ("json", hostile.HTML, {}, "a web page came instead of json"),
    ("xlsx", b"", {}, "an empty body came"),
    ("xlsx", b"Code,Name", {}, "is no workbook"),
    ("csv", xlsx(GOOD), {}, "is a zip, such as a workbook, and no csv"),
    ("xlsx", xlsx(GOOD)[:-400], {}, "damaged, was cut short"),
    ("xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), {}, "an old .xls workbook"),
    ("xlsx", xlsx(GOOD), {"sheet": "Data"}, "has no sheet 'Data'; it has: Sheet1"),
    ("xlsx", xlsx(GOOD), {"header_row": 9}, "ends before row 9"),
    ("xlsx", xlsx(GOOD, captions=["Code", "Name", "Rates", "From"]), {}, "no column 'Rate'.* did you mean 'Rates'"),
    ("xlsx", xlsx(GOOD, captions=["Code", "Name", "Rate", "Code"]), {}, "has the caption 'Code' twice"),
    ("xlsx", rezipped(xlsx(GOOD), {"xl/workbook.xml": None}), {}, "no xlsx workbook"),
    ("xlsx", rezipped(xlsx(GOOD), {"xl/workbook.xml": b"<workbook>"}), {}, "no well-formed XML"),
    ("ods", xlsx(GOOD), {}, "no ods workbook"),
    ("xlsb", xlsx(GOOD), {}, "no xlsb workbook"),
    ("csv", b"Code,Name,Rate,From\n1,\xe5,1,2026-01-01\n", {}, "line 2 is not in utf-8"),
    ("csv", CSV + b'1,"open,1,2026-01-01\n2,b,1,2026-01-01\n', {}, "cannot be read"),
    ("csv", b"Code;Name;Rate;From\n", {}, "has no column 'Code'"),
    ("json", b'{"rows": [[1, 2', {}, "is no list of rows"),
    ("json", b'{"data": []}', {}, "no member 'rows'; it has data"),
    ("json", objects({"Kode": 1}), {}, "has no column 'Code'"),
    ("json", b'{"rows": ' + b"[" * 100_000, {}, "is no list of rows"),
    ("xlsx", hostile.KINDS["bomb"](), {}, "zip bomb|unpacks to"),
    ("xlsx", hostile.KINDS["encrypted"](), {}, "encrypted"),
    ("xlsx", hostile.KINDS["entities"](), {}, "document type or entities"),
    ("xlsx", hostile.KINDS["external_entity"](), {}, "document type or entities"),
    ("xlsx", hostile.KINDS["far_cell"](), {}, "more than most_cells"),
    ("xlsx", hostile.KINDS["lying_size"](), {}, "damaged"),
    ("xlsx", hostile.KINDS["repeated_text"](), {}, "texts of sheet part"),
    ("xlsx", hostile.KINDS["traversal"](), {}, "leads outside"),
]


@pytest.mark.parametrize(("ending", "body", "table", "words"), WHOLE_FILES)
def test_a_bad_file_is_refused_before_anything_is_yielded(
    tmp_path: Path, ending: str, body: bytes, table: dict[str, Any], words: str
) -> None:
    source = of_file(tmp_path, body, ending, **table)
    with pytest.raises(RemoteError, match=words):
        fetched(source)


def bad(column: int, cell: Any) -> bytes:
    """A workbook whose second row has that cell."""
    row = ["002", "two", 7.5, DAY]
    row[column] = cell
    return xlsx([GOOD[0], row, *rows("003")])


# ending, body, then of each refusal: row, key, cause, and the place that the sentence begins with
ROWS: list[tuple[str, bytes, list[tuple[int, str | None, str, str]], list[str]]] = [
    ("xlsx", bad(2, "dear"), [(3, '["002"]', "bad_decimal", "Sheet1!C3 ")], ["001", "003"]),
    ("xlsx", bad(2, True), [(3, '["002"]', "bad_decimal", "Sheet1!C3 ")], ["001", "003"]),
    ("xlsx", bad(2, 1e-12), [(3, '["002"]', "bad_decimal", "Sheet1!C3 ")], ["001", "003"]),
    ("xlsx", bad(2, 1e35), [(3, '["002"]', "bad_decimal", "Sheet1!C3 ")], ["001", "003"]),
    ("xlsx", bad(2, {"error": "#REF!"}), [(3, '["002"]', "error_cell", "Sheet1!C3 shows #REF!")], ["001", "003"]),
    ("xlsx", bad(0, {"error": "#N/A"}), [(3, None, "error_cell", "Sheet1!A3 shows #N/A")], ["001", "003"]),
    ("xlsx", bad(0, None), [(3, None, "blank_key", "Sheet1!A3 ")], ["001", "003"]),
    ("xlsx", bad(0, "001"), [(3, '["001"]', "duplicate_key", "Sheet1!A3 ")], ["001", "003"]),
    ("xlsx", bad(3, "31.12.2026"), [(3, '["002"]', "bad_date", "Sheet1!D3 ")], ["001", "003"]),
    ("xlsx", bad(3, 46_000.5), [(3, '["002"]', "bad_date", "Sheet1!D3 ")], ["001", "003"]),
    ("xlsx", bad(3, 60), [(3, '["002"]', "bad_date", "Sheet1!D3 ")], ["001", "003"]),
    ("csv", CSV + b"001,a,1,2026-01-01\n002,b,1\n", [(3, None, "wrong_columns", "line 3 has 3")], ["001"]),
    ("csv", CSV + b"001,a,=1+1,2026-01-01\n", [(2, '["001"]', "bad_decimal", "line 2, Rate,")], []),
    ("csv", CSV + b'001,"a\nb",x,2026-01-01\n', [(3, '["001"]', "bad_decimal", "line 3, Rate,")], []),
    ("csv", CSV + b"0\x001,a,1,2026-01-01\n", [(2, None, "bad_text", "line 2, Code,")], []),
    ("csv", CSV + b"001,a,1,2026-02-30\n", [(2, '["001"]', "bad_date", "line 2, From,")], []),
    ("json", objects(["1", "a", 1, "2026-01-01"], ["2"]), [(2, None, "wrong_columns", "row 2 has 1")], ["1"]),
    ("json", objects(["1", "a", 1, "2026-01-01"], 7), [(2, None, "wrong_type", "row 2 is neither")], ["1"]),
    ("json", objects(["1", "a", {"x": 1}, None]), [(1, '["1"]', "bad_decimal", "row 1, Rate,")], []),
    ("json", objects([["1"], "a", 1, None]), [(1, None, "bad_text", "row 1, Code,")], []),
    ("json", b'{"rows": [["1", "a", 1e999999999, null]]}', [(1, '["1"]', "bad_decimal", "row 1, Rate,")], []),
    ("json", b'{"rows": [["\\u0000", "a", 1, null]]}', [(1, None, "bad_text", "row 1, Code,")], []),
]


@pytest.mark.parametrize(("ending", "body", "refusals", "kept"), ROWS)
def test_a_bad_row_is_refused_and_the_others_are_kept(
    tmp_path: Path,
    ending: str,
    body: bytes,
    refusals: list[tuple[int, str | None, str, str]],
    kept: list[str],
) -> None:
    source = of_file(tmp_path, body, ending)
    (payload,) = fetched(source)
    accepted, refused = parsed(source, payload)
    assert [row["Code"] for row in accepted] == kept
    assert [(each.row, each.key, each.cause) for each in refused] == [wanted[:3] for wanted in refusals]
    for each, (*_, place) in zip(refused, refusals, strict=True):
        assert each.sentence.startswith(place)
        assert each.raw


def test_what_only_looks_hostile_is_read(tmp_path: Path) -> None:
    macros = of_file(tmp_path, hostile.KINDS["macros"](), columns={"Code": "text"}, key=["Code"])
    assert len(fetched(macros)) == 1
    formulas = of_file(tmp_path, CSV + b"=cmd|' /C calc'!A0,@x,-1,2026-01-01\n", "csv")
    assert parsed(formulas, fetched(formulas)[0])[0][0]["Code"] == "=cmd|' /C calc'!A0"


def test_the_command_line_tells_of_each_and_the_lake_keeps_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table for every other bad row and for some bad files, good at first; one `run`, and what it leaves behind."""
    files = [WHOLE_FILES[at] for at in (1, 10, 14, 15, 23, 26)]
    few = ROWS[::2]
    bad = {f"rows_{at}": (ending, body) for at, (ending, body, *_) in enumerate(few)}
    bad |= {f"file_{at}": (ending, body) for at, (ending, body, *_) in enumerate(files)}
    before = {
        "xlsx": xlsx(GOOD),
        "csv": CSV + b"001,a,1,2026-01-01\n002,b,2,\n",
        "json": objects(["001", "a", 1, None]),
    }
    before |= {"ods": (FILES / "odfdo.ods").read_bytes(), "xlsb": (FILES / "pyxlsbwriter.xlsb").read_bytes()}
    sheets = {"ods": {"sheet": "Tåble"}, "xlsb": {"sheet": "Tåble"}}
    tables = {}
    for name, (ending, _) in bad.items():
        path = tmp_path / f"{name}.{ending}"
        path.write_bytes(before[ending])
        tables[name] = usual(link=None, file=str(path), **sheets.get(ending, {}))
    connections = {"links": {"connector": "excel_link", "tables": tables}}
    (tmp_path / "postroad.yaml").write_text(json.dumps({"project": "corpus", "connections": connections}))
    (tmp_path / "flows").mkdir()
    sync = {"from": "links", "entities": list(tables), "max_deletes": 1000}
    (tmp_path / "flows" / "all.yaml").write_text(json.dumps({"sync": [sync]}))
    shell = Shell(tmp_path, monkeypatch)
    shell("run")
    for name, (ending, body) in bad.items():
        (tmp_path / f"{name}.{ending}").write_bytes(body)
    told = shell.json("run", code=3)

    failed = {run["feed"]: run["reason"] for run in told["runs"] if run["status"] == "failed"}
    assert sorted(failed) == sorted(name for name in bad if name.startswith("file_"))
    for at, (*_, words) in enumerate(files):
        assert re.search(words, failed[f"file_{at}"])
    states = {each["dataset"]: each for each in shell.json("status")["datasets"]}
    listed = shell.json("rejected", "list", "--stage", "normalise")
    rows_of = " union all ".join(f'select {at} as at, "Code" from links.rows_{at}' for at in range(len(few)))
    codes = shell.json("query", rows_of)
    for at, (ending, _, refusals, kept) in enumerate(few):
        name = f"links.rows_{at}"
        found = [each for each in listed if each["dataset"] == name]
        assert [(each["row"], each["key"], each["cause"]) for each in found] == [each[:3] for each in refusals], name
        held = {row["Code"] for row in codes if row["at"] == at}
        had = {"001"} if ending == "json" else {"001", "002"}
        gone = had - set(kept) - {json.loads(key)[0] for _, key, *_ in refusals if key is not None}
        # A key that cannot be read lets nothing be deleted, and a file without one good row asks a person.
        undeleted = not kept or any(key is None for _, key, *_ in refusals)
        assert held == set(kept) | (had if undeleted else had - gone), name
        shown = shell.json("rejected", "show", str(found[0]["id"]))
        assert shown["sentence"].startswith(refusals[0][3])
        assert shown["raw"]
    assert "links.file_0: failed since 20" in shell("status")
    for at in range(len(files)):
        assert states[f"links.file_{at}"]["state"] == "failed"
        assert states[f"links.file_{at}"]["rows"] > 0
