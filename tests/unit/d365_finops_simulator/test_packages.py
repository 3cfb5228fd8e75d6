"""What a package holds: manifests, names, and the files in each of their variants."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
import python_calamine

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.simulator.entities import Entity, catalogue
from tests.unit.d365_finops_simulator.conftest import Act, Export, Fetch, get, records, table

SPACE = "{http://schemas.microsoft.com/dynamics/2015/01/DataManagement}"
FILE = "Vendors V2.csv"
PARSERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys("smeb", str),
    **dict.fromkeys("dt", lambda text: datetime.strptime(text, "%Y-%m-%d %H:%M:%S")),  # noqa: DTZ007  (UTC as files say it)
    "n": Decimal,
    **dict.fromkeys("ir", int),
}


def parsed(entity: Entity, row: dict[str, str]) -> dict[str, Any]:
    """The row with types; the fields are those of the file."""
    return {field.name: PARSERS[field.kind](row[field.column]) for field in entity.fields}


@pytest.mark.parametrize("name", sorted(catalogue().entities))
def test_a_file_is_the_entity_of_one_company(
    simulator: FinopsSimulator, export: Export, fetch: Fetch, name: str
) -> None:
    entity = catalogue().entities[name]
    simulator.project("one", [name])
    simulator.mutate(4, name)
    simulator.delete(2, name)
    for company in ("usmf", "DEMF"):
        content = fetch(export("one", company))[f"{entity.file_stem}.csv"]
        rows = [parsed(entity, row) for row in records(content)]
        expected = simulator.table(name, company).to_pylist()
        for row in expected:
            row.pop("dataAreaId", None)
        assert rows == expected


def test_files_begin_with_a_mark_and_lines_end_with_both_characters(export: Export, fetch: Fetch) -> None:
    content = fetch(export())[FILE]
    assert content[:2] == b"\xff\xfe"
    text = content[2:].decode("utf-16-le")
    assert text.startswith("VENDORACCOUNTNUMBER,VENDORGROUPID,VENDORPARTYTYPE,")
    assert text.endswith("\r\n")
    assert "DATAAREAID" not in text


def test_the_manifest_maps_every_column_and_is_utf_16_without_a_declaration(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    entries = fetch(export("Postroad"))
    assert list(entries)[-2:] == ["Manifest.xml", "PackageHeader.xml"]
    for name in ("Manifest.xml", "PackageHeader.xml"):
        assert entries[name][:2] == b"\xff\xfe"
        assert entries[name][2:].decode("utf-16-le").startswith("<DataManagementPackage")
    root = ET.fromstring(entries["Manifest.xml"])
    assert root.findtext(f"{SPACE}DefinitionGroupName") == "Postroad"
    files = root.findall(f".//{SPACE}DataManagementPackageEntityData")
    assert [file.findtext(f"{SPACE}InputFilePath") for file in files] == list(entries)[:-2]
    for file in files:
        level = [element.tag for element in file]
        assert level == sorted(level)
        maps = file.findall(f".//{SPACE}EntityMap")
        header = table(entries[file.findtext(f"{SPACE}InputFilePath", "")])[0]
        assert sorted(each.findtext(f"{SPACE}XMLField", "") for each in maps) == sorted(header)
    package = ET.fromstring(entries["PackageHeader.xml"])
    assert package.findtext(f"{SPACE}PackageVersion") == "2"


def test_entries_lie_at_the_root_packed_under_labels(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    content = get(act("GetExportedPackageUrl", executionId=export("Postroad"))).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
    assert [info.filename for info in infos][:3] == ["Vendors V2.csv", "Customers V3.csv", "Released products V2.csv"]
    assert {info.compress_type for info in infos} == {zipfile.ZIP_DEFLATED}
    assert {info.create_system for info in infos} == {0}


def test_what_windows_forbids_in_names_is_dropped() -> None:
    entity = Entity("Countries", "Country", "CountryEntity", 'Country/regions: "all"', "shared", ("A",), ())
    assert entity.file_stem == "Countryregions all"


@pytest.mark.parametrize("manifest", ["utf8", "utf8_bom", "missing", "broken"])
def test_other_manifests(simulator: FinopsSimulator, export: Export, fetch: Fetch, manifest: Any) -> None:
    simulator.switch(manifest=manifest)
    entries = fetch(export())
    assert len(records(entries[FILE])) == 40
    if manifest == "missing":
        assert "Manifest.xml" not in entries
    elif manifest == "broken":
        with pytest.raises(ET.ParseError):
            ET.fromstring(entries["Manifest.xml"])
    else:
        assert entries["Manifest.xml"].startswith(b"\xef\xbb\xbf" if manifest == "utf8_bom" else b"<Data")
        assert ET.fromstring(entries["Manifest.xml"]).tag == f"{SPACE}DataManagementPackageManifest"


@pytest.mark.parametrize(
    ("page", "delimiter", "mark", "codec"),
    [
        (1200, ";", b"\xff\xfe", "utf-16"),
        (1201, "\t", b"\xfe\xff", "utf-16"),
        (12000, "|", b"\xff\xfe\x00\x00", "utf-32"),
        (12001, ":", b"\x00\x00\xfe\xff", "utf-32"),
        (65001, ",", b"VEND", "utf-8"),
    ],
)
def test_code_pages_and_delimiters(
    simulator: FinopsSimulator, export: Export, fetch: Fetch, page: int, delimiter: str, mark: bytes, codec: str
) -> None:
    plain = table(fetch(export())[FILE])
    simulator.source_format("Own", code_page=page, column_delimiter=delimiter)
    simulator.project("own", ["VendorsV2"], source_format="own")
    [(name, content)] = [entry for entry in fetch(export("own")).items() if "Vendors" in entry[0]]
    assert name == ("Vendors V2.txt" if delimiter == "\t" else FILE)
    assert content.startswith(mark)
    assert table(content, codec, delimiter) == plain


def test_utf_8_may_begin_with_a_mark(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    simulator.switch(utf8_bom=True)
    simulator.source_format("Own", code_page=65001, header=False, row_delimiter="\n")
    simulator.project("own", ["Employees"], source_format="Own")
    content = fetch(export("own"))["Employee.csv"]
    assert content.startswith(b"\xef\xbb\xbf000001,")
    assert b"\r\n" not in content.replace(b"Hof", b"")


@pytest.mark.parametrize("name", ["nothing", "bad_page", "bad_delimiter", "bad_kind"])
def test_formats_that_do_not_exist(simulator: FinopsSimulator, name: str) -> None:
    bad: dict[str, dict[str, Any]] = {
        "bad_page": {"code_page": 1},
        "bad_delimiter": {"column_delimiter": "!"},
        "bad_kind": {"kind": "pdf"},
    }
    if name in bad:
        with pytest.raises(ValueError, match=r"code page|column delimiter|kind"):
            simulator.source_format("Own", **bad[name])
    else:
        with pytest.raises(LookupError, match="no source data format 'nothing'"):
            simulator.project("own", ["Employees"], source_format=name)


def test_ascii_exports_fail_at_the_first_other_character(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.project("ascii", ["VendorsV2"], source_format="CSV")
    execution = export("ascii")
    assert act("GetExecutionSummaryStatus", executionId=execution) == "Failed"
    assert "DMF1957: Unicode data can't be exported as an ASCII file type." in act(
        "GetExecutionErrors", executionId=execution
    )
    assert act("GetExportedPackageUrl", executionId=execution) == ""


@pytest.mark.parametrize(
    ("switches", "column", "shown"),
    [
        ({}, "VENDORHOLDRELEASEDATE", "2024-03-02 00:00:00"),
        ({"dates": "us"}, "VENDORHOLDRELEASEDATE", "3/2/2024 12:00:00 AM"),
        ({"dates": "eu"}, "VENDORHOLDRELEASEDATE", "02/03/2024 00:00:00"),
        ({}, "CREDITLIMIT", "-1234.500000"),
        ({"decimals": "short"}, "CREDITLIMIT", "-1234.5"),
        ({"decimals": "comma"}, "CREDITLIMIT", "-1234,500000"),
        ({}, "DEFAULTCASHDISCOUNTUSAGE", "Always"),
        ({"enums": "number"}, "DEFAULTCASHDISCOUNTUSAGE", "1"),
        ({"enums": "label"}, "ISONETIMEVENDOR", "Yes"),
    ],
)
def test_how_values_are_written_is_a_switch(
    simulator: FinopsSimulator, export: Export, fetch: Fetch, switches: dict[str, Any], column: str, shown: str
) -> None:
    simulator.switch(**switches)
    key, values = ("usmf", "0000000002"), {"CreditLimit": "-1234.5", "DefaultCashDiscountUsage": "Always"}
    simulator.update("VendorsV2", key, True, VendorHoldReleaseDate="2024-03-02", IsOneTimeVendor="Yes", **values)
    assert records(fetch(export())[FILE])[1][column] == shown


def test_the_zone_of_a_format_moves_times_and_only_if_switched_on_dates(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    zone, time = ZoneInfo("Europe/Stockholm"), "%Y-%m-%d %H:%M:%S"
    employee = simulator.table("Employees").to_pylist()[0]
    simulator.source_format("Own", time_zone="Europe/Stockholm")
    simulator.project("own", ["Employees"], source_format="Own", incremental=False)
    for shifts in (False, True):
        simulator.switch(zone_shifts_dates=shifts)
        row = records(fetch(export("own"))["Employee.csv"])[0]
        hired = employee["OriginalHireDateTime"].replace(tzinfo=ZoneInfo("UTC")).astimezone(zone)
        assert row["ORIGINALHIREDATETIME"] == hired.strftime(time)
        born = employee["BirthDate"].replace(tzinfo=ZoneInfo("UTC"))
        assert row["BIRTHDATE"] == (born.astimezone(zone) if shifts else born).strftime(time)


def test_quoting_is_a_switch(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    simulator.update("VendorsV2", ("usmf", "0000000001"), Notes='a "b", c')
    simulator.project("all", ["VendorsV2"], incremental=False)
    shown = {}
    for quoting in ("needed", "all", "none", "unescaped"):
        simulator.switch(quoting=quoting)
        shown[quoting] = fetch(export("all"))[FILE].decode("utf-16")
    assert ',"a ""b"", c",' in shown["needed"]
    assert shown["all"].startswith('"VENDORACCOUNTNUMBER","')
    assert ',a "b", c,' in shown["none"]
    assert ',"a "b", c",' in shown["unescaped"]


def sheet(content: bytes, name: str) -> list[list[Any]]:
    """The rows of a sheet as a reader that we did not write sees them."""
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    assert book.sheet_names == [name]
    return book.get_sheet_by_name(name).to_python(skip_empty_area=False)


def test_excel_holds_texts_and_cuts_them_at_255_characters(
    simulator: FinopsSimulator, export: Export, fetch: Fetch
) -> None:
    long = "x" * 255 + "lost"
    simulator.update("VendorsV2", ("usmf", "0000000001"), Notes=long, CreditLimit="-0.000001")
    simulator.project("excel", ["VendorsV2"], source_format="EXCEL")
    entries = fetch(export("excel"))
    head, *rows = sheet(entries["Vendors V2.xlsx"], "Vendors_V2")
    expected = records(fetch(export())[FILE])
    assert rows[0][head.index("NOTES")] == "x" * 255
    assert rows[0][head.index("CREDITLIMIT")] == "-0.000001"
    # A line break of Windows is one character for the reader.
    cut = [{name: value[:255].replace("\r\n", "\n") for name, value in row.items()} for row in expected]
    shown = [{name: str(value).replace("\r\n", "\n") for name, value in zip(head, row, strict=True)} for row in rows]
    assert shown == cut
    assert "<ExcelSheetName>Vendors_V2$</ExcelSheetName>" in entries["Manifest.xml"].decode("utf-16")
    with zipfile.ZipFile(io.BytesIO(entries["Vendors V2.xlsx"])) as book:
        assert "xl/sharedStrings.xml" not in book.namelist()
        assert b"Microsoft Access" in book.read("docProps/app.xml")


def test_excel_may_hold_numbers_and_then_loses_digits(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    simulator.switch(excel_values="typed")
    simulator.project("excel", ["GeneralJournalAccountEntries"], source_format="EXCEL")
    head, *rows = sheet(fetch(export("excel"))["General journal account entry.xlsx"], "General_journal_account_entry")
    column = head.index("GENERALJOURNALACCOUNTENTRYRECID")
    exact = [number for (number,) in simulator.rows("GeneralJournalAccountEntries")]
    assert [row[column] for row in rows] == [float(number) for number in exact]
    assert any(int(row[column]) != number for row, number in zip(rows, exact, strict=True))


def test_excel_has_no_more_than_255_columns(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.project("excel", ["VendorsV2"], source_format="EXCEL")
    simulator.columns("excel", "VendorsV2", add=[f"Extra{number}" for number in range(202)])
    assert "DMF2009" in act("GetExecutionErrors", executionId=export("excel"))
    simulator.columns("excel", "VendorsV2", add=[f"Extra{number}" for number in range(201)])
    assert act("GetExecutionSummaryStatus", executionId=export("excel")) == "Succeeded"


@pytest.mark.parametrize("empty", ["header", "zero_bytes", "absent", "no_url"])
def test_an_export_without_rows(simulator: FinopsSimulator, export: Export, fetch: Fetch, act: Act, empty: Any) -> None:
    export()
    simulator.switch(empty_delta=empty)
    execution = export()
    assert act("GetExecutionSummaryStatus", executionId=execution) == "Succeeded"
    if empty == "no_url":
        assert act("GetExportedPackageUrl", executionId=execution) == ""
        return
    entries = fetch(execution)
    if empty == "header":
        assert len(table(entries[FILE])) == 1
    else:
        assert entries.get(FILE) == (b"" if empty == "zero_bytes" else None)


def test_packages_may_be_too_large(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.switch(package_megabytes=0.001)
    execution = export()
    assert act("GetExecutionSummaryStatus", executionId=execution) == "Failed"
    assert "larger than the 0.001 MB" in act("GetExecutionErrors", executionId=execution)


def test_packages_may_be_stored(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.switch(compression=0)
    content = get(act("GetExportedPackageUrl", executionId=export())).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_values_hold_what_breaks_careless_readers(simulator: FinopsSimulator) -> None:
    vendors, entries = simulator.table(), simulator.table("GeneralJournalAccountEntries").to_pylist()
    texts = {name: set(vendors.column(name).to_pylist()) for name in ("Notes", "FormattedPrimaryAddress")}
    assert any(len(text) > 255 for text in texts["Notes"])
    assert any("\n" in text for text in texts["FormattedPrimaryAddress"])
    assert any(not text.isascii() for text in texts["FormattedPrimaryAddress"])
    zips = [text for text in vendors.column("AddressZipCode").to_pylist() if text]
    assert any(text.startswith("0") for text in zips)
    assert any(row["AccountingCurrencyAmount"] < 0 for row in entries)
    assert any(row["AccountingCurrencyAmount"] % Decimal("0.01") for row in entries)
    assert all(row["GeneralJournalAccountEntryRecId"] > 2**53 for row in entries)
    assert datetime(1900, 1, 1) in vendors.column("VendorHoldReleaseDate").to_pylist()  # noqa: DTZ001
    ends = simulator.table("Employees").column("PersonDetailsValidTo").to_pylist()
    assert datetime(2154, 12, 31, 23, 59, 59) in ends  # noqa: DTZ001


def test_the_seed_decides_on_everything(simulator: FinopsSimulator) -> None:
    sizes = {"VendorsV2": 40}
    assert FinopsSimulator(seed=3, sizes=sizes).table() == simulator.table()
    assert FinopsSimulator(seed=4, sizes=sizes).table() != simulator.table()
