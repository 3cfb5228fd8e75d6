"""Pages of OData to rows: types, values that Arrow would misread, rows that are none."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from postroad.connectors.d365_finops.declaration import known
from postroad.connectors.d365_finops.jsonrows import parse_page
from postroad.connectors.d365_finops.odata import pages
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import RemoteError, TransientError
from postroad.records import Payload, Rows
from postroad.sdk.secrets import Secret

VENDORS = known()["VendorsV2"]
SETTINGS = FinopsSettings(
    url="https://acme.example",
    tenant="acme",
    client_id="c",
    client_secret=Secret.literal("s"),
    companies=("usmf",),
    dates="eu",
    decimal_sign=",",
    qualifier="'",
)
GOOD = {"dataAreaId": "USMF", "VendorAccountNumber": "V-1", "CreditLimit": 1234.5, "VendorOrganizationName": "Åkeri"}


def parsed(*rows: Any) -> Rows:
    """The rows of a page that holds these."""
    body = json.dumps({"@odata.context": "x", "value": [*rows]}, ensure_ascii=False, default=str)
    return next(iter(parse_page(Payload(body.encode("utf-8", "surrogatepass"), None), VENDORS, SETTINGS)))


def test_types_are_those_of_json_whatever_files_write() -> None:
    records = parsed(GOOD).records
    assert records.column("dataAreaId").to_pylist() == ["usmf"]
    assert records.column("CreditLimit").to_pylist() == [Decimal("1234.5")]
    assert records.column("VendorOrganizationName").to_pylist() == ["Åkeri"]


@pytest.mark.parametrize("moment", ["1900-01-01T00:00:00Z", "1900-01-01T12:00:00Z"])
def test_no_date_is_null(moment: str) -> None:
    name = next(each.name for each in VENDORS.fields if each.kind in "dt")
    assert parsed({**GOOD, name: moment}).records.column(name).to_pylist() == [None]


@pytest.mark.parametrize(
    ("wrong", "cause", "key"),
    [
        ({"CreditLimit": "much"}, "bad_decimal", '["usmf","V-1"]'),
        ({"CreditLimit": int("1" * 40)}, "bad_decimal", '["usmf","V-1"]'),
        ({"CreditLimit": {"a": 1}}, "bad_decimal", '["usmf","V-1"]'),
        ({"CreditLimit": 0.12345678901}, "bad_decimal", '["usmf","V-1"]'),
        ({"VendorAccountNumber": None}, "blank_key", None),
        ({"VendorAccountNumber": ""}, "blank_key", None),
        ({"dataAreaId": None}, "blank_key", None),
        ({"VendorOrganizationName": "half \ud83d"}, "bad_text", None),
    ],
)
def test_a_bad_row_stands_alone(wrong: dict[str, Any], cause: str, key: str | None) -> None:
    other = {**GOOD, "VendorAccountNumber": "V-2"}
    found = parsed(other, {**GOOD, **wrong}, {**other, "VendorAccountNumber": "V-3"})
    assert found.records.column("VendorAccountNumber").to_pylist() == ["V-2", "V-3"]
    assert [(each.row, each.cause, each.key) for each in found.refusals] == [(1, cause, key)]


def test_a_member_that_is_no_object() -> None:
    found = parsed(GOOD, "V-9", 7)
    assert found.records.num_rows == 1
    assert [(each.row, each.cause) for each in found.refusals] == [(1, "bad_row"), (2, "bad_row")]


def test_half_a_character_as_servers_escape_it() -> None:
    body = json.dumps(
        {"value": [{**GOOD, "VendorOrganizationName": "half \ud83d"}, {**GOOD, "VendorAccountNumber": "2"}]}
    )
    found = next(iter(parse_page(Payload(body.encode(), None), VENDORS, SETTINGS)))
    assert [each.cause for each in found.refusals] == ["bad_text"]
    assert found.records.num_rows == 1


def test_a_number_is_read_as_it_stands() -> None:
    """Past what a float holds, whether or not another row of the page is bad."""
    exact = (
        '{"value":[{"dataAreaId":"usmf","VendorAccountNumber":"V-1","CreditLimit":12345678901234567890.123456789}%s]}'
    )
    for more in ("", ',{"dataAreaId":"usmf","VendorAccountNumber":"V-2","CreditLimit":"x"}'):
        found = next(iter(parse_page(Payload((exact % more).encode(), None), VENDORS, SETTINGS)))
        assert found.records.column("CreditLimit").to_pylist() == [Decimal("12345678901234567890.123456789")]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"value":[{"a":1},{"a"', TransientError),
        (b"", TransientError),
        (b'{"value":{}}', RemoteError),
        (b'{"error":{}}', RemoteError),
        (b"[1]", RemoteError),
        (b'{"value":[],"@odata.nextLink":"https://elsewhere.example/other"}', RemoteError),
    ],
)
def test_what_is_no_page(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(pages(_Fixed(body), "https://acme.example", "VendorsV2", "/data/VendorsV2"))  # type: ignore[arg-type]


def test_a_page_whose_row_holds_no_text_lands() -> None:
    body = b'\xef\xbb\xbf{"@odata.count":2,"value":[{"a":"\\ud83d"},{"a":"\xff"}]}'
    found = list(pages(_Fixed(body), "https://acme.example", "VendorsV2", "/data/VendorsV2"))  # type: ignore[arg-type]
    assert [(each.rows, each.count, each.following, each.body) for each in found] == [(2, 2, None, body)]


class _Fixed:
    """Answers every question with one body."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, _path: str) -> bytes:
        """See `Api.read`."""
        return self._body
