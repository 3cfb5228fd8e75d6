"""Good files of every format, written by programs that are not ours; how cells become values."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.excel_link.simulator import hostile
from postroad.errors import RemoteError
from postroad.sdk.sheets.archive import Archive, digest
from tests.unit.excel_link.workbooks import fetched, of_file, parsed, xlsx

FILES = Path(__file__).parent / "files"
COLUMNS = {
    "Code": "text",
    "Name": "text",
    "Count": "int",
    "Rate": "decimal",
    "From": "date",
    "At": "datetime",
    "Open": "bool",
}
ONE = (
    "001",
    "Åsa & Ole <1>",
    7,
    Decimal("0.3"),
    dt.date(2026, 1, 31),
    dt.datetime(2026, 2, 28, 13, 45, 30, tzinfo=dt.UTC),
    True,
)
TWO = ("0002", None, -2, Decimal("12345.678901"), dt.date(1999, 12, 31), None, False)
FOUR = ("3", "100", 2**53 - 1, Decimal("0.000001"), None, dt.datetime(2026, 10, 25, 2, 30, tzinfo=dt.UTC), None)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("pyxlsbwriter.xlsb", [ONE, TWO, FOUR]),
        ("libreoffice.ods", [ONE, TWO, FOUR]),
        ("odfdo.ods", [ONE, TWO]),
    ],
)
def test_a_workbook_of_another_program_is_read(tmp_path: Path, name: str, wanted: list[tuple[Any, ...]]) -> None:
    source = of_file(
        tmp_path, (FILES / name).read_bytes(), name[-4:].strip("."), columns=COLUMNS, key=["Code"], sheet="Tåble"
    )
    (payload,) = fetched(source)
    accepted, refused = parsed(source, payload)
    assert [tuple(row.values()) for row in accepted] == wanted
    expected = [(6, '["bad"]', "error_cell", "Tåble!D6 shows #DIV/0!")] if name.startswith("libre") else []
    assert [(each.row, each.key, each.cause, each.sentence) for each in refused] == expected


@pytest.mark.parametrize("name", ["pyxlsbwriter.xlsb", "libreoffice.ods", "odfdo.ods"])
def test_half_a_workbook_and_one_of_too_many_cells_are_refused(tmp_path: Path, name: str) -> None:
    body = (FILES / name).read_bytes()
    ending = name[-4:].strip(".")
    for damaged in (body[: len(body) // 2], body[:-30], hostile.HTML):
        with pytest.raises(RemoteError, match=r"damaged|web page"):
            fetched(of_file(tmp_path, damaged, ending, columns=COLUMNS, key=["Code"], sheet="Tåble"))
    with pytest.raises(RemoteError, match="more than most_cells = 12"):
        fetched(of_file(tmp_path, body, ending, {"most_cells": 12}, columns=COLUMNS, key=["Code"], sheet="Tåble"))


def test_a_second_export_of_the_same_ods_table_is_the_same() -> None:
    first, second = ((FILES / f"libreoffice{again}.ods").read_bytes() for again in ("", "-again"))
    assert first != second
    assert digest(Archive(first, 1 << 20)) == digest(Archive(second, 1 << 20))


ROUNDED = [(0.125, 2, "0.13"), (-0.125, 2, "-0.13"), (2.5, 0, "3"), (0.1 + 0.2, 9, "0.3"), ("1.005", 2, "1.01")]
ROUNDED += [(1e-12, 3, "0"), (7, 2, "7"), (12345678901234567, 0, "12345678901234600")]


@pytest.mark.parametrize(("cell", "places", "wanted"), ROUNDED)
def test_decimals_are_rounded_half_up_where_the_column_says_so(
    tmp_path: Path, cell: Any, places: int, wanted: str
) -> None:
    """A spreadsheet shows 15 digits; those are what is rounded."""
    columns = {"Code": "text", "Rate": {"type": "decimal", "round": places}}
    source = of_file(tmp_path, xlsx([["1", cell]], captions=["Code", "Rate"]), columns=columns)
    ((row,), refused) = parsed(source, fetched(source)[0])
    assert row["Rate"] == Decimal(wanted)
    assert not refused


def test_without_rounding_more_than_nine_places_are_refused(tmp_path: Path) -> None:
    source = of_file(
        tmp_path, xlsx([["1", 1 / 3]], captions=["Code", "Rate"]), columns={"Code": "text", "Rate": "decimal"}
    )
    accepted, (refusal,) = parsed(source, fetched(source)[0])
    assert (accepted, refusal.cause, refusal.row) == ([], "bad_decimal", 2)


@pytest.mark.parametrize("ending", ["xlsx", "csv", "json"])
def test_the_rows_number_is_a_key_where_nothing_else_is(tmp_path: Path, ending: str) -> None:
    """The number that a person sees in the file: of the row, of the csv line, or the place in the JSON list."""
    columns = {"Name": "text", "Rate": "decimal"}
    cells: list[list[Any]] = [["a", 1], ["a", 1], [None, None], ["b", "x"], ["a", 1]]
    lines = "\n".join(["Name,Rate", *(",".join("" if cell is None else str(cell) for cell in row) for row in cells)])
    bodies = {
        "xlsx": xlsx(cells, captions=["Name", "Rate"]),
        "csv": lines.encode(),
        "json": json.dumps([row for row in cells if row[0]]).encode(),
    }
    source = of_file(tmp_path, bodies[ending], ending, columns=columns, key=["row"])
    accepted, refused = parsed(source, fetched(source)[0])
    at = {"xlsx": (2, 3, 5, 6), "csv": (2, 3, 5, 6), "json": (1, 2, 3, 4)}[ending]
    assert [(row["row"], row["Name"]) for row in accepted] == [(at[0], "a"), (at[1], "a"), (at[3], "a")]
    assert [(each.row, each.key, each.cause) for each in refused] == [(at[2], f"[{at[2]}]", "bad_decimal")]


def test_a_column_of_the_file_called_row_is_not_our_number(tmp_path: Path) -> None:
    columns = {"row": "text", "Name": "text"}
    source = of_file(tmp_path, xlsx([["x", "a"]], captions=["row", "Name"]), columns=columns, key=["row"])
    assert parsed(source, fetched(source)[0])[0] == [{"row": "x", "Name": "a"}]


def test_the_header_may_stand_further_down_and_columns_anywhere(tmp_path: Path) -> None:
    body = xlsx([["printed", dt.date(2026, 3, 1)], [], ["x", None, "Name", "Code"], ["y", 5, "a", "01"]], captions=None)
    source = of_file(tmp_path, body, header_row=3, columns={"Code": "text", "Name": "text"})
    assert parsed(source, fetched(source)[0])[0] == [{"Code": "01", "Name": "a"}]
