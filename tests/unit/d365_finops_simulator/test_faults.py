"""Every row of section 7 of the fact sheet, by its name; then the faults that it does not name."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from contextlib import suppress
from typing import Any

import httpx
import pytest

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.simulator.packages import HOSTILE
from tests.unit.d365_finops_simulator.conftest import Act, Export, Fetch, Start, get, records, table, token

FILE = "Vendors V2.csv"
STATUS = "GetExecutionSummaryStatus"


def status(act: Act, execution: str) -> str:
    return str(act(STATUS, executionId=execution))


@pytest.fixture
def link(simulator: FinopsSimulator, act: Act, export: Export) -> str:
    """A link to the package of an export."""
    return str(act("GetExportedPackageUrl", executionId=export()))


# ---- section 7 ----


@pytest.mark.parametrize(
    ("mode", "value"), [("empty", ""), ("null", None), ("zero", "00000000-0000-0000-0000-000000000000")]
)
def test_no_id(simulator: FinopsSimulator, start: Start, post: Start, mode: str, value: Any) -> None:
    simulator.fault("no_id", count=2, mode=mode)
    for _ in range(2):
        answer = start(execution_id="mine")
        assert (answer.status_code, answer.json()["value"]) == (200, value)
        assert post(STATUS, executionId="mine").status_code == 400
    assert start(execution_id="mine").json()["value"] == "mine"


def test_no_id_although_the_export_was_started(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    simulator.fault("no_id", mode="missing", started=True)
    assert "value" not in start(execution_id="mine").json()
    assert status(act, "mine") == "NotRun"
    assert start(execution_id="again").status_code == 400


def test_start_call_timeout(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    simulator.fault("timeout", root="export", seconds=0.1)
    with pytest.raises(httpx.RemoteProtocolError):
        start(execution_id="mine")
    simulator.advance(seconds=60)
    assert status(act, "mine") == "Succeeded"


def test_early_400_on_status(simulator: FinopsSimulator, start: Start, post: Start, act: Act) -> None:
    simulator.fault("not_found", count=2)
    start(execution_id="mine")
    for _ in range(2):
        answer = post(STATUS, executionId="mine")
        assert answer.status_code == 400
        assert "Execution details were not found for execution id: mine" in answer.text
    assert status(act, "mine") == "NotRun"
    simulator.advance(seconds=60)
    simulator.switch(not_found_seconds=30)
    start(execution_id="later")
    assert post(STATUS, executionId="later").status_code == 400
    simulator.advance(seconds=31)
    assert status(act, "later") == "Succeeded"


def test_early_400_on_status_for_ever(simulator: FinopsSimulator, start: Start, post: Start) -> None:
    simulator.fault("never_created")
    assert start(execution_id="mine").json()["value"] == "mine"
    simulator.advance(days=1)
    assert post(STATUS, executionId="mine").status_code == 400
    assert simulator.runs() == []


@pytest.mark.parametrize(("options", "shown"), [({}, "Executing"), ({"status": "NotRun"}, "NotRun")])
def test_never_finishes(
    simulator: FinopsSimulator, start: Start, act: Act, fetch: Fetch, options: Any, shown: str
) -> None:
    simulator.fault("hang", **options)
    start(execution_id="mine")
    simulator.advance(days=2)
    assert status(act, "mine") == shown
    assert start(execution_id="next").status_code == 400
    simulator.finish("mine")
    assert status(act, "mine") == "Succeeded"
    assert len(records(fetch("mine")[FILE])) == 40


def test_never_finishes_but_for_a_long_time(simulator: FinopsSimulator, start: Start, act: Act) -> None:
    simulator.fault("slow", seconds=3_600)
    start(execution_id="mine")
    simulator.advance(seconds=3_500)
    assert status(act, "mine") == "Executing"
    simulator.advance(seconds=200)
    assert status(act, "mine") == "Succeeded"


@pytest.mark.parametrize("outcome", ["Failed", "Canceled"])
def test_failed_and_canceled(simulator: FinopsSimulator, export: Export, act: Act, outcome: str) -> None:
    message = 'The value "0042" in field\r\n"City" is not found.'
    simulator.fault("outcome", status=outcome, errors=[{"RecordId": "5", "Field": "City", "ErrorMessage": message}])
    execution = export()
    assert status(act, execution) == outcome
    assert act("GetExportedPackageUrl", executionId=execution) == ""
    text = act("GetExecutionErrors", executionId=execution)
    assert text == f'[{{"RecordId":"5","Field":"City","ErrorMessage":"{message}"}}]'
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(text)
    found = re.findall(r'\{"RecordId":"(.*?)","Field":"(.*?)","ErrorMessage":"(.*?)"\}(?=,\{|\])', text, re.DOTALL)
    assert found == [("5", "City", message)]
    simulator.switch(errors_clean=True)
    assert json.loads(act("GetExecutionErrors", executionId=execution))[0]["ErrorMessage"] == message
    simulator.fault("errors_text", text="null")
    assert act("GetExecutionErrors", executionId=execution) == "null"


def test_failed_with_any_text_of_errors(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.fault("outcome", errors_text="[{broken")
    assert act("GetExecutionErrors", executionId=export()) == "[{broken"


@pytest.mark.parametrize("file", ["whole", "partial", "absent"])
def test_partially_succeeded(simulator: FinopsSimulator, export: Export, fetch: Fetch, act: Act, file: str) -> None:
    simulator.fault("outcome", failed=["Vendors V2"], file=file)
    execution = export("Postroad")
    assert status(act, execution) == "PartiallySucceeded"
    entries = fetch(execution)
    assert len(records(entries["Customers V3.csv"])) == 20
    if file == "absent":
        assert FILE not in entries
    else:
        assert len(records(entries[FILE])) == (40 if file == "whole" else 20)
    again = fetch(export("Postroad"))
    assert (len(records(again[FILE])), len(records(again["Customers V3.csv"]))) == (40, 0)


def test_failed_if_every_entity_failed(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.fault("outcome", failed=["VendorsV2"])
    assert status(act, export()) == "Failed"


@pytest.mark.parametrize("value", ["Unknown", "Queued", "", None])
def test_unknown(simulator: FinopsSimulator, export: Export, act: Act, value: Any) -> None:
    simulator.fault("status_value", count=2, value=value)
    execution = export()
    shown = [act(STATUS, executionId=execution) for _ in range(3)]
    assert shown == [value, value, "Succeeded"]


def test_empty_url(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    simulator.fault("empty_url", count=2)
    execution = export()
    links = [act("GetExportedPackageUrl", executionId=execution) for _ in range(3)]
    assert [bool(link) for link in links] == [False, False, True]


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("http", "http://storage.blob.core.windows.net/devstoreaccount1/"),
        ("relative", "/devstoreaccount1/"),
        ("other_host", "https://storage.example.com/"),
        ("lookalike", "https://storage.blob.core.windows.net.example.com/"),
        ("user", "https://storage.blob.core.windows.net@example.com/"),
        ("file", "file:///etc/passwd"),
        ("javascript:alert(1)", "javascript:alert(1)"),
    ],
)
def test_wrong_scheme_and_host(simulator: FinopsSimulator, export: Export, act: Act, form: str, begins: str) -> None:
    simulator.fault("bad_url", form=form)
    assert act("GetExportedPackageUrl", executionId=export()).startswith(begins)


def test_sas_expired(simulator: FinopsSimulator, link: str) -> None:
    simulator.fault("sas_expired")
    refused = get(link)
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
    assert get(link).status_code == 200
    simulator.advance(seconds=601)
    assert get(link).status_code == 403


def test_blob_gone(simulator: FinopsSimulator, act: Act, link: str) -> None:
    simulator.fault("blob_gone")
    assert (get(link).status_code, get(link).status_code) == (404, 200)
    [execution] = simulator.runs()
    assert simulator.drop_package(execution["id"]) == 1
    assert get(link).headers["x-ms-error-code"] == "BlobNotFound"
    assert get(act("GetExportedPackageUrl", executionId=execution["id"])).status_code == 404


def test_truncated_and_corrupt_zip(simulator: FinopsSimulator, act: Act, export: Export) -> None:
    simulator.switch(compression=0)
    link = act("GetExportedPackageUrl", executionId=export())
    whole = get(link).content
    simulator.fault("drop", root="blob")
    with pytest.raises(httpx.RemoteProtocolError):
        get(link)
    simulator.fault("truncated", bytes=500)
    assert get(link).content == whole[:500]
    simulator.fault("corrupt", byte=200)
    corrupt = get(link).content
    assert [place for place, pair in enumerate(zip(whole, corrupt, strict=True)) if pair[0] != pair[1]] == [200]
    assert zipfile.ZipFile(io.BytesIO(corrupt)).testzip() == FILE
    assert get(link).content == whole


def test_a_broken_download_goes_on_where_it_ended(simulator: FinopsSimulator, link: str) -> None:
    whole = get(link).content
    simulator.fault("drop", root="blob")
    received = b""
    with httpx.stream("GET", link) as answer, suppress(httpx.RemoteProtocolError):
        for piece in answer.iter_raw():
            received += piece
    assert 0 < len(received) < len(whole)
    rest = get(link, headers={"Range": f"bytes={len(received)}-"})
    assert (rest.status_code, received + rest.content) == (206, whole)
    simulator.fault("ignore_range")
    assert get(link, headers={"Range": "bytes=10-"}).content == whole


@pytest.mark.parametrize("variant", HOSTILE)
def test_hostile_zip(simulator: FinopsSimulator, export: Export, act: Act, variant: str) -> None:
    simulator.fault("package", variant=variant, bytes=1 << 22, entries=300)
    content = get(act("GetExportedPackageUrl", executionId=export())).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
    added = infos[3:]
    assert [info.filename for info in infos[:3]] == [FILE, "Manifest.xml", "PackageHeader.xml"]
    if variant == "many":
        assert len(added) == 300
    elif variant == "bomb":
        assert added[0].file_size == 1 << 22
        assert added[0].compress_size < 1 << 15
    elif variant == "symlink":
        assert added[0].external_attr >> 28 == 0xA
    elif variant == "encrypted":
        assert added[0].flag_bits & 1
    else:
        names = {"traversal": "../../outside.csv", "absolute": "/tmp/outside.csv", "drive": "C:\\Windows\\outside.csv"}
        names |= {"twice": FILE, "folder": "folder/Vendors V2.csv", "nested": "inner.zip"}
        assert [info.filename for info in added] == [names[variant]]


@pytest.mark.parametrize("manifest", ["missing", "broken", "utf8", "utf8_bom"])
def test_no_manifest_and_odd_encodings(simulator: FinopsSimulator, export: Export, fetch: Fetch, manifest: Any) -> None:
    usual = fetch(export())
    simulator.project("vendors", ["VendorsV2"])
    simulator.switch(manifest=manifest)
    odd = fetch(export())
    assert odd[FILE] == usual[FILE]
    assert odd.get("Manifest.xml") != usual["Manifest.xml"]


@pytest.mark.parametrize("empty", ["header", "zero_bytes", "absent", "no_url"])
def test_empty_delta(simulator: FinopsSimulator, export: Export, act: Act, empty: Any) -> None:
    export()
    simulator.switch(empty_delta=empty)
    execution = export()
    assert status(act, execution) == "Succeeded"
    link = act("GetExportedPackageUrl", executionId=execution)
    content = b"" if empty == "no_url" else get(link).content
    names = zipfile.ZipFile(io.BytesIO(content)).namelist() if content else []
    assert (FILE in names) == (empty in {"header", "zero_bytes"})


def test_schema_drift(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    first = table(fetch(export())[FILE])[0]
    simulator.fault("drift", add=["NewField"], drop=["Notes"], rename={"CreditLimit": "Limit"}, rotate=2)
    simulator.mutate(1, company="usmf")
    entries = fetch(export())
    head, row = table(entries[FILE])
    assert len(head) == len(row) == len(first)
    assert sorted(head) == sorted((set(first) - {"NOTES", "CREDITLIMIT"}) | {"NEWFIELD", "LIMIT"})
    assert head[:2] == first[2:4]
    manifest = entries["Manifest.xml"].decode("utf-16")
    assert "<EntityField>CREDITLIMIT</EntityField>" in manifest
    assert "<XMLField>LIMIT</XMLField>" in manifest
    simulator.mutate(1, company="usmf")
    assert table(fetch(export())[FILE])[0] == first


@pytest.mark.parametrize("wound", ["extra", "missing", "newline", "quote", "value"])
@pytest.mark.parametrize("form", ["CSV-Unicode", "EXCEL"])
def test_broken_rows(simulator: FinopsSimulator, export: Export, fetch: Fetch, wound: str, form: str) -> None:
    simulator.project("own", ["VendorsV2"], source_format=form, incremental=False)
    name = FILE if form != "EXCEL" else "Vendors V2.xlsx"
    usual = text(fetch(export("own"))[name])
    options: dict[str, Any] = {"column": "CreditLimit", "value": "abc"} if wound == "value" else {}
    simulator.fault("rows", entity="VendorsV2", wound=wound, rows=[1, 41], **options)
    broken = text(fetch(export("own"))[name])
    assert broken != usual
    if form == "EXCEL":
        return
    # Row 41 of 40 is row 1 again: all others stand as they were.
    head, first, second, *rest = lines(usual)
    assert lines(broken)[:2] == [head, first]
    assert lines(broken)[-len(rest) :] == rest
    hurt = lines(broken)[2 : -len(rest)]
    counts = {"extra": 1, "missing": -1}
    if wound in counts:
        [row] = table("\r\n".join(hurt).encode("utf-16"))
        assert len(row) - len(table(second.encode("utf-16"))[0]) == counts[wound]
    elif wound == "newline":
        assert "".join(hurt) != second
        assert len(hurt) == len(second.split("\r\n")) + 1
    elif wound == "quote":
        assert "".join(hurt).count('"') == second.count('"') + 1
    else:
        assert table("\r\n".join(hurt).encode("utf-16"))[0][lines_header(head).index("CREDITLIMIT")] == "abc"


def text(content: bytes) -> str:
    """A delimited file, or the sheet of a workbook."""
    if content[:2] != b"PK":
        return content.decode("utf-16")
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        return book.read("xl/worksheets/sheet1.xml").decode()


def lines(content: str) -> list[str]:
    return content.removesuffix("\r\n").split("\r\n")


def lines_header(line: str) -> list[str]:
    return line.split(",")


def test_duplicate_key_in_file(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    simulator.fault("rows", entity="VendorsV2", wound="duplicate", row=4, column="CreditLimit", value="-1.000000")
    rows = [(row["VENDORACCOUNTNUMBER"], row["CREDITLIMIT"]) for row in records(fetch(export())[FILE])]
    assert [account for account, _ in rows].count("0000000005") == 2
    assert rows[4] == ("0000000005", "-1.000000")
    assert rows[5][0] == "0000000005"
    assert len(rows) == 41


def test_re_delivery(simulator: FinopsSimulator, export: Export, act: Act) -> None:
    execution = export()
    links = [act("GetExportedPackageUrl", executionId=execution) for _ in range(3)]
    assert len(set(links)) == 3
    assert len({hashlib.sha256(get(link).content).hexdigest() for link in [*links, links[0]]}) == 1


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("throttle", {"retry_after": 7}, 429),
        ("status", {"status": 502}, 502),
        ("status", {"retry_after": 3}, 503),
        ("unauthorised", {}, 401),
        ("redirect", {}, 302),
    ],
)
def test_429_5xx_401_302(simulator: FinopsSimulator, service: httpx.Client, kind: str, options: Any, code: int) -> None:
    simulator.fault(kind, **options)
    answer = service.get("/data/VendorsV2?$top=1")
    assert answer.status_code == code
    assert answer.headers.get("retry-after") == (str(options["retry_after"]) if "retry_after" in options else None)
    if kind == "redirect":
        assert answer.headers["location"].startswith("https://login.microsoftonline.com/")
    if kind == "throttle":
        assert "system experiencing high resource utilization" in answer.json()["error"]["message"]
    assert service.get("/data/VendorsV2?$top=1").status_code == 200


def test_429_by_rule(simulator: FinopsSimulator, service: httpx.Client) -> None:
    simulator.switch(requests=3, retry_after=11)
    codes = [service.get("/data/VendorsV2?$top=1") for _ in range(4)]
    assert [answer.status_code for answer in codes] == [200, 200, 200, 429]
    assert codes[-1].headers["retry-after"] == "11"
    simulator.advance(seconds=301)
    assert service.get("/data/VendorsV2?$top=1").status_code == 200
    simulator.switch(requests=None, concurrency=0, retry_after=None)
    refused = service.get("/data/VendorsV2?$top=1")
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)


def test_clock_and_zone(simulator: FinopsSimulator, export: Export, fetch: Fetch) -> None:
    shown = set()
    for number, (dates, zone) in enumerate([("iso", "UTC"), ("us", "UTC"), ("iso", "America/Los_Angeles")]):
        simulator.switch(dates=dates)
        simulator.source_format("Own", time_zone=zone)
        simulator.project(f"own {number}", ["Employees"], source_format="Own")
        row = records(fetch(export(f"own {number}"))["Employee.csv"])[0]
        shown.add((row["ORIGINALHIREDATETIME"], row["BIRTHDATE"]))
    assert len(shown) == 3


def test_partial_workflow_crash(simulator: FinopsSimulator, start: Start, act: Act, fetch: Fetch) -> None:
    """Whoever knows the id goes on: with a new token, from any step, as often as it takes."""
    start(execution_id="mine")
    simulator.revoke_tokens()
    simulator.advance(seconds=60)
    with httpx.Client(headers={"Authorization": f"Bearer {token(simulator)}"}, base_url=simulator.url) as another:
        path = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
        assert another.post(f"{path}{STATUS}", json={"executionId": "mine"}).json()["value"] == "Succeeded"
        for _ in range(2):
            link = another.post(f"{path}GetExportedPackageUrl", json={"executionId": "mine"}).json()["value"]
            assert zipfile.ZipFile(io.BytesIO(get(link).content)).testzip() is None


@pytest.mark.parametrize("overlap", ["refuse", "fail", "allow"])
def test_overlapping_schedules(simulator: FinopsSimulator, start: Start, post: Start, act: Act, overlap: Any) -> None:
    simulator.switch(overlap=overlap)
    start(execution_id="one")
    second = start(execution_id="two", company="demf")
    simulator.advance(seconds=60)
    assert status(act, "one") == "Succeeded"
    if overlap == "refuse":
        assert second.status_code == 400
        assert "Export to package failed for definition group: vendors" in second.text
        assert post(STATUS, executionId="two").status_code == 400
    else:
        assert status(act, "two") == ("Failed" if overlap == "fail" else "Succeeded")
    assert start(execution_id="three").status_code == 200


# ---- what section 7 does not name ----


def test_answers_that_are_no_json(simulator: FinopsSimulator, service: httpx.Client) -> None:
    simulator.fault("html")
    assert service.get("/data/VendorsV2").headers["content-type"].startswith("text/html")
    simulator.fault("malformed")
    with pytest.raises(ValueError, match=r"delimiter|Expecting|Unterminated"):
        service.get("/data/VendorsV2?$top=2").json()
    simulator.fault("error", status=500, message="Something broke.")
    answer = service.get("/data/VendorsV2")
    assert (answer.status_code, answer.json()["error"]["innererror"]["message"]) == (500, "Something broke.")


def test_the_network(simulator: FinopsSimulator, service: httpx.Client) -> None:
    simulator.fault("latency", seconds=0.1)
    assert service.get("/data/VendorsV2?$top=1").elapsed.total_seconds() >= 0.1
    simulator.fault("timeout", seconds=0.01)
    simulator.fault("drop", skip=1)
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            service.get("/data/VendorsV2?$top=1")
    simulator.fault("latency", root="sign_in", seconds=0.1)
    assert service.get("/data/VendorsV2?$top=1").status_code == 200
    assert len(simulator.faults.list()) == 1
    token(simulator)
    assert simulator.faults.list() == []


def test_pages_of_odata(simulator: FinopsSimulator, service: httpx.Client) -> None:
    simulator.switch(page_limit=10)
    simulator.fault("repeat_page", skip=1)
    first = service.get("/data/VendorsV2?$select=VendorAccountNumber").json()
    second = service.get(first["@odata.nextLink"]).json()
    assert second["@odata.nextLink"] == first["@odata.nextLink"]
    simulator.fault("bad_value", field="CreditLimit", value="abc", row=2)
    rows = service.get("/data/VendorsV2?$top=4").json()["value"]
    assert [row["CreditLimit"] == "abc" for row in rows] == [False, False, True, False]


def test_things_that_happen_meanwhile(simulator: FinopsSimulator, act: Act, export: Export) -> None:
    execution = export()
    simulator.fault("script", root=STATUS, call="drop_package", arguments={"execution": execution}, when="after")
    link = act("GetExportedPackageUrl", executionId=execution)
    assert get(link).status_code == 200
    assert status(act, execution) == "Succeeded"
    assert get(link).status_code == 404


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("nothing", {}, "no fault 'nothing'; there are: no_id, "),
        ("slow", {}, "fault 'slow' needs `seconds`"),
        ("slow", {"second": 1}, "has no option 'second'; it has: seconds"),
        ("slow", {"seconds": "1"}, "`seconds` of fault 'slow' cannot be '1'"),
        ("html", {"status": "200"}, "`status` of fault 'html' cannot be '200'"),
        ("package", {"variant": "evil"}, "`variant` of fault 'package' cannot be 'evil'"),
        ("outcome", {"status": "Executing"}, "`status` of fault 'outcome' cannot be 'Executing'"),
        ("outcome", {"failed": ["Nothing"]}, "no entity 'Nothing'"),
        ("rows", {"entity": "VendorsV2", "wound": "deep"}, "no such wound: 'deep'"),
        ("rows", {"entity": "VendorsV2", "wound": "value", "column": "Nothing"}, "no column 'Nothing'"),
        ("script", {"call": "nothing"}, "no control 'nothing'"),
    ],
)
def test_a_fault_that_could_not_strike_is_refused(
    simulator: FinopsSimulator, kind: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises((TypeError, ValueError, LookupError), match=re.escape(reason)):
        simulator.fault(kind, **options)
    assert simulator.faults.list() == []
