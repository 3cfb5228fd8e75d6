from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import httpx
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.simulator.entities import catalogue
from postroad.connectors.d365_finops.simulator.filters import parsed
from postroad.connectors.d365_finops.simulator.odata import key_of
from postroad.connectors.d365_finops.simulator.pages import Query, taken
from postroad.connectors.d365_finops.simulator.rows import Shelf
from postroad.connectors.d365_finops.simulator.texts import plain

ENTITIES = sorted(catalogue().entities)


def pages(service: httpx.Client, path: str) -> list[list[dict[str, Any]]]:
    found, link = [], path
    while link:
        answer = service.get(link)
        assert answer.status_code == 200, answer.text
        body = answer.json(parse_float=Decimal)
        found.append(body["value"])
        link = body.get("@odata.nextLink", "")
    return found


def values(service: httpx.Client, path: str) -> list[dict[str, Any]]:
    return [row for page in pages(service, path) for row in page]


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_walk_across_companies_shows_every_row_once(
    simulator: FinopsSimulator, service: httpx.Client, entity: str
) -> None:
    simulator.switch(page_limit=7)
    simulator.mutate(5, entity)
    simulator.delete(3, entity)
    simulator.add(2, entity)
    rows = values(service, f"/data/{entity}?cross-company=true")
    keys = catalogue().entities[entity].keys
    expected = simulator.rows(entity)
    assert [tuple(row[name] for name in keys) for row in rows] == list(expected)
    assert all(row.pop("@odata.etag").startswith('W/"') for row in rows)
    assert json.dumps(rows, default=float) == json.dumps(list(expected.values()))


def test_rows_are_the_table_in_json(simulator: FinopsSimulator) -> None:
    simulator.update(
        "VendorsV2", ("usmf", "0000000003"), Notes='quote " and \\ and \x07 and å', CreditLimit="-0.000001"
    )
    row = simulator.rows()["usmf", "0000000003"]
    typed = next(row for row in simulator.table().to_pylist() if row["VendorAccountNumber"] == "0000000003")
    assert (row["Notes"], Decimal(str(row["CreditLimit"]))) == (typed["Notes"], typed["CreditLimit"])
    assert (
        dt.datetime.fromisoformat(row["VendorHoldReleaseDate"]).replace(tzinfo=None) == typed["VendorHoldReleaseDate"]
    )
    assert row["OnHoldStatus"] == typed["OnHoldStatus"]


def test_without_cross_company_only_the_default_company_is_seen(
    simulator: FinopsSimulator, service: httpx.Client
) -> None:
    assert {row["dataAreaId"] for row in values(service, "/data/VendorsV2")} == {"usmf"}
    assert values(service, "/data/VendorsV2?$filter=dataAreaId eq 'demf'") == []
    assert len(values(service, "/data/VendorsV2?$filter=dataAreaId eq 'demf'&cross-company=true")) == 20
    simulator.switch(default_company="demf")
    assert len(values(service, "/data/VendorsV2")) == 20
    assert len(values(service, "/data/MainAccounts")) == 20


def test_counts_are_plain_text_with_a_mark(simulator: FinopsSimulator, service: httpx.Client) -> None:
    assert service.get("/data/VendorsV2/$count").content == b"\xef\xbb\xbf40"
    assert service.get("/data/VendorsV2/$count?cross-company=true").content == b"\xef\xbb\xbf70"
    simulator.switch(count_bom=False)
    answer = service.get("/data/VendorsV2/$count?$filter=VendorAccountNumber le '0000000005'")
    assert (answer.content, answer.headers["content-type"]) == (b"5", "text/plain; charset=utf-8")


def test_select_top_skip_count_and_order(service: httpx.Client) -> None:
    path = "/data/VendorsV2?$select=VendorAccountNumber,CreditLimit&$orderby=CreditLimit desc,VendorAccountNumber"
    whole = values(service, path)
    assert list(whole[0]) == ["@odata.etag", "VendorAccountNumber", "CreditLimit"]
    expected = sorted(whole, key=lambda row: (-row["CreditLimit"], row["VendorAccountNumber"]))
    assert whole == expected
    body = service.get(f"{path}&$skip=3&$top=2&$count=true").json(parse_float=Decimal)
    assert body["value"] == whole[3:5]
    assert body["@odata.count"] == 40
    assert "@odata.nextLink" not in body


@pytest.mark.parametrize("form", ["skiptoken", "skip"])
@pytest.mark.parametrize(
    "query", ["", "$orderby=CreditLimit desc&", "$top=17&", "$skip=5&", "$filter=CreditLimit ge 0&"]
)
def test_pages_follow_each_other(simulator: FinopsSimulator, service: httpx.Client, form: str, query: str) -> None:
    path = f"/data/VendorsV2?{query}cross-company=true"
    whole = values(service, path)
    simulator.switch(page_limit=6, next_link=form)
    found = pages(service, path)
    assert [row for page in found for row in page] == whole
    assert {len(page) for page in found[:-1]} == {6}


@pytest.mark.parametrize(("form", "missed"), [("skiptoken", []), ("skip", ["0000000011"])])
def test_pages_by_count_miss_a_row_when_one_before_it_is_deleted(
    simulator: FinopsSimulator, service: httpx.Client, form: str, missed: list[str]
) -> None:
    simulator.switch(page_limit=10, next_link=form)
    simulator.fault("script", skip=1, call="delete", arguments={"which": [["usmf", "0000000002"]]})
    seen = {row["VendorAccountNumber"] for row in values(service, "/data/VendorsV2")}
    assert [account for _, account in simulator.rows(company="usmf") if account not in seen] == missed


def test_next_links_may_name_another_host(simulator: FinopsSimulator, service: httpx.Client) -> None:
    simulator.switch(page_limit=10, next_link_base="http://internal.example.com:80")
    link = service.get("/data/VendorsV2?$select=VendorAccountNumber").json()["@odata.nextLink"]
    assert link.startswith("http://internal.example.com:80/data/VendorsV2?$select=VendorAccountNumber&$skiptoken=")


def test_the_preferred_page_size_is_heeded_only_when_switched_on(
    simulator: FinopsSimulator, service: httpx.Client
) -> None:
    service.headers["Prefer"] = "odata.maxpagesize=4"
    assert len(service.get("/data/VendorsV2").json()["value"]) == 40
    simulator.switch(page_size_preference=True)
    assert len(service.get("/data/VendorsV2").json()["value"]) == 4


def test_single_rows_by_their_whole_key(simulator: FinopsSimulator, service: httpx.Client) -> None:
    for entity in ENTITIES:
        (key, row), *_ = simulator.rows(entity).items()
        names = catalogue().entities[entity].keys
        shown = ",".join(f"{name}={value!r}" for name, value in zip(names, key, strict=True))
        body = service.get(f"/data/{entity}({shown})").json()
        assert {name: value for name, value in body.items() if "@" not in name} == row
    assert service.get("/data/VendorsV2(dataAreaId='usmf',VendorAccountNumber='nobody')").status_code == 404
    assert service.get("/data/VendorsV2(dataAreaId='demf',VendorAccountNumber='0000000001')").status_code == 404
    assert service.get("/data/VendorsV2('0000000001')").status_code == 400
    assert service.get("/data/GeneralJournalAccountEntries(null)").status_code == 400
    assert service.get("/data/Employees('000001')").status_code == 200


def test_renamed_and_deleted_rows_are_found_by_what_they_are_now(
    simulator: FinopsSimulator, service: httpx.Client
) -> None:
    simulator.rename("VendorsV2", ("usmf", "0000000007"), ("O'Neil, (new)",))
    key = "dataAreaId='usmf',VendorAccountNumber='O''Neil, (new)'"
    assert key_of(catalogue().entities["VendorsV2"], key)["VendorAccountNumber"] == "O'Neil, (new)"
    assert service.get(f"/data/VendorsV2({key})").status_code == 200
    assert service.get("/data/VendorsV2(dataAreaId='usmf',VendorAccountNumber='0000000007')").status_code == 404
    with pytest.raises(ValueError, match="there is a row"):
        simulator.rename("VendorsV2", ("usmf", "O'Neil, (new)"), ("0000000008",))
    simulator.delete([("usmf", "O'Neil, (new)")])
    assert service.get(f"/data/VendorsV2({key})").status_code == 404


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("CreditLimit gt 12.5", lambda row: row["CreditLimit"] > Decimal("12.5")),
        ("CreditLimit le -1", lambda row: row["CreditLimit"] <= -1),
        ("not (CreditLimit gt 0 or CreditLimit lt 0)", lambda row: row["CreditLimit"] == 0),
        (
            "CurrencyCode eq 'sek' or CreditLimit eq 0",
            lambda row: row["CurrencyCode"] == "SEK" or not row["CreditLimit"],
        ),
        ("CurrencyCode eq 'SEK' and CreditLimit eq 0", lambda r: r["CurrencyCode"] == "SEK" and not r["CreditLimit"]),
        ("VendorSearchName eq '*ÖBERG*'", lambda row: "ÖBERG" in row["VendorSearchName"]),
        ("VendorSearchName eq 'smith*'", lambda row: row["VendorSearchName"].startswith("SMITH")),
        ("AddressZipCode ne '*1'", lambda row: not row["AddressZipCode"].endswith("1")),
        ("VendorKnownAsName eq 'O''Neil*'", lambda row: row["VendorKnownAsName"].startswith("O'Neil")),
        ("IsOneTimeVendor eq Microsoft.Dynamics.DataEntities.NoYes'Yes'", lambda row: row["IsOneTimeVendor"] == "Yes"),
        ("VendorHoldReleaseDate gt 2015-01-01T00:00:00Z", lambda row: row["VendorHoldReleaseDate"].year >= 2015),
        ("VendorHoldReleaseDate eq 1900-01-01", lambda row: row["VendorHoldReleaseDate"].year == 1900),
        ("Notes eq null", lambda _: False),
        ("Notes ne null", lambda _: True),
    ],
)
def test_filters(simulator: FinopsSimulator, service: httpx.Client, text: str, condition: Any) -> None:
    expected = [row["VendorAccountNumber"] for row in simulator.table(company="usmf").to_pylist() if condition(row)]
    answer = service.get("/data/VendorsV2", params={"$filter": text, "$select": "VendorAccountNumber"})
    assert answer.status_code == 200, answer.text
    assert [row["VendorAccountNumber"] for row in answer.json()["value"]] == expected


def test_record_ids_are_compared_exactly(simulator: FinopsSimulator, service: httpx.Client) -> None:
    [(number,), *_] = simulator.rows("GeneralJournalAccountEntries")
    assert isinstance(number, int)
    assert number > 2**53
    path = "/data/GeneralJournalAccountEntries?$filter=GeneralJournalAccountEntryRecId eq "
    assert len(values(service, f"{path}{number}")) == 1
    assert values(service, f"{path}{number - 1}") == []


@pytest.mark.parametrize(
    "query",
    [
        "$filter=creditlimit gt 1",
        "$filter=CreditLimit gt 'x'",
        "$filter=CreditLimit has 1",
        "$filter=(CreditLimit gt 1",
        "$filter=CreditLimit gt 1 CreditLimit",
        "$filter=CreditLimit gt",
        "$filter=IsOneTimeVendor eq 'Yes'",
        "$filter=IsOneTimeVendor eq Microsoft.Dynamics.DataEntities.NoYes'Perhaps'",
        "$filter=IsOneTimeVendor eq Microsoft.Dynamics.DataEntities.Gender'Male'",
        "$filter=IsOneTimeVendor gt Microsoft.Dynamics.DataEntities.NoYes'Yes'",
        "$filter=CreditLimit eq €",
        "$select=Nothing",
        "$orderby=CreditLimit down",
        "$top=many",
        "$skiptoken=nonsense",
        "$apply=groupby",
    ],
)
def test_what_is_not_understood_is_400(service: httpx.Client, query: str) -> None:
    answer = service.get(f"/data/VendorsV2?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The query specified in the URI is not valid. ")


def test_sets_are_case_sensitive(service: httpx.Client) -> None:
    for path in ("/data/vendorsv2", "/data/Nothing", "/data/VendorsV2/x/y", "/nowhere"):
        assert service.get(path).status_code == 404, path


def test_every_answer_of_the_service_carries_its_headers(service: httpx.Client) -> None:
    headers = service.get("/data/VendorsV2?$top=1").headers
    assert headers["content-type"] == "application/json; odata.metadata=minimal"
    assert {"odata-version", "ms-dyn-aid", "ms-dyn-tenant", "server-timing", "x-frame-options"} <= set(headers)


def test_dates_may_stand_at_noon(simulator: FinopsSimulator, service: httpx.Client) -> None:
    simulator.switch(time_of_dates="12:00:00")
    row = service.get("/data/CustomersV3?$top=1&$select=AddressValidTo").json()["value"][0]
    assert row["AddressValidTo"].endswith("Z")
    row = service.get("/data/VendorsV2?$top=1&$select=VendorHoldReleaseDate").json()["value"][0]
    assert row["VendorHoldReleaseDate"].endswith("T12:00:00Z")


VENDORS = catalogue().entities["VendorsV2"]
COMPARISONS = st.sampled_from(
    [
        "CreditLimit gt 100",
        "CreditLimit eq 0",
        "CurrencyCode eq 'EUR'",
        "AddressCity ne ''",
        "OnHoldStatus eq Microsoft.Dynamics.DataEntities.CustVendorBlocked'No'",
        "VendorAccountNumber ge '0000000050'",
    ]
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None)
@given(
    text=FILTERS, size=st.integers(1, 40), skip=st.integers(0, 30), deleted=st.sets(st.integers(0, 119), max_size=20)
)
def test_pages_of_any_size_are_the_filtered_rows(text: str, size: int, skip: int, deleted: set[int]) -> None:
    shelf = Shelf(VENDORS, "usmf", 5, 120)
    shelf.gone |= deleted
    [block] = shelf.blocks()
    mask = parsed(text, VENDORS, ignore_case=True)
    account = VENDORS.by_name["VendorAccountNumber"]
    expected = plain(block.column(account)).filter(mask(block.column)).to_pylist()[skip:]
    found: list[str] = []
    query, more = Query(VENDORS, mask, skip=skip), True
    while more:
        page = taken([shelf], query, size)
        for piece in page.pieces:
            found += pc.cast(plain(piece.column(account)), "string").to_pylist()
        query, more = Query(VENDORS, mask, after=page.last), page.more
    assert found == expected
