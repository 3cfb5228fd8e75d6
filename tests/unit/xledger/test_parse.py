from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.connectors.xledger.columns import cast_decimals
from postroad.connectors.xledger.entities import TIMESHEETS
from postroad.connectors.xledger.parse import parse
from postroad.errors import StateError
from postroad.records import Payload, Rows
from tests.unit.xledger.remote import SMALL

NODE: dict[str, Any] = {
    "dbId": "280000000000001",
    "createdAt": "2024-07-11T21:17:09",
    "modifiedAt": "2024-10-27T02:17:00",
    "assignmentDate": "2024-07-11",
    "workingHours": "7.50",
    "isHeaderApproved": True,
    "headerApprovedAt": None,
    "hourlyRevenueCurrency": "-1101.000000001",
    "owner": {"dbId": 12, "description": "Bolag Åäö", "ownerCode": 1},
    "employee": {"dbId": 0, "description": "none", "code": "none"},
    "activity": None,
    "timeType": {"code": "\u0000", "description": "x" * 100_000},
    "project": {"dbId": 7, "description": None, "code": "0012"},
    "timesheetStatus": {"name": "Approved"},
}


def page(edges: list[Any] | None) -> Payload:
    return walked(json.dumps({"data": {"timesheets": {"pageInfo": {"hasNextPage": False}, "edges": edges}}}).encode())


def walked(body: bytes) -> Payload:
    return Payload(body, None, entities=("timesheets",), meta={"kind": "walk"})


def read(payload: Payload) -> Rows:
    (found,) = parse(payload, [TIMESHEETS], "Europe/Oslo")
    found.records.validate(full=True)
    return found


def one(**changes: Any) -> Rows:
    return read(page([{"cursor": "1", "node": {**NODE, **changes}}]))


def test_a_row_is_read_with_its_types() -> None:
    found = one()
    (row,) = found.records.to_pylist()
    assert found.refusals == []
    assert row == {
        "dbId": 280000000000001,
        "createdAt": datetime(2024, 7, 11, 19, 17, 9, tzinfo=UTC),
        "modifiedAt": datetime(2024, 10, 27, 0, 17, tzinfo=UTC),
        "assignmentDate": date(2024, 7, 11),
        "workingHours": Decimal("7.5"),
        "isHeaderApproved": True,
        "headerApprovedAt": None,
        "hourlyRevenueCurrency": Decimal("-1101.000000001"),
        "owner_dbId": 12,
        "owner_description": "Bolag Åäö",
        "owner_ownerCode": 1,
        "employee_dbId": None,  # {dbId: 0} means none.
        "employee_description": None,
        "employee_code": None,
        "activity_code": None,
        "activity_description": None,
        "timeType_code": "\u0000",
        "timeType_description": "x" * 100_000,
        "project_dbId": 7,
        "project_description": None,
        "project_code": "0012",
        "timesheetStatus_name": "Approved",
        "_op": "upsert",
        "_changed_at": datetime(2024, 10, 27, 0, 17, tzinfo=UTC),
        "_ambiguous": [("modifiedAt", "2024-10-27T02:17:00")],
    }


def test_columns_keep_their_source_path() -> None:
    field = TIMESHEETS.schema.field("employee_dbId")
    assert field.metadata == {b"source": b"employee.dbId"}
    assert TIMESHEETS.schema.field("dbId").nullable is False
    assert TIMESHEETS.entity.key == ("dbId",)


@pytest.mark.parametrize("edges", [None, []])
def test_a_page_without_edges_has_no_rows(edges: list[Any] | None) -> None:
    assert read(page(edges)).records.num_rows == 0


BAD = [
    ({"workingHours": 7.5}, "wrong_type"),
    ({"workingHours": "7,5"}, "bad_decimal"),
    ({"workingHours": ""}, "bad_decimal"),
    ({"workingHours": "0.0000000001"}, "bad_decimal"),
    ({"workingHours": "9" * 30}, "bad_decimal"),
    ({"hourlyRevenueCurrency": "NaN"}, "bad_decimal"),
    ({"assignmentDate": "2024-02-30"}, "bad_date"),
    ({"assignmentDate": "0000-01-01"}, "bad_date"),
    ({"createdAt": "2024-07-11T25:00:00"}, "bad_time"),
    ({"createdAt": "2024-07-11T21:17:09Z"}, "bad_time"),
    ({"createdAt": "2024-03-31T02:30:00"}, "nonexistent_time"),
    ({"isHeaderApproved": "yes"}, "wrong_type"),
    ({"owner": "Bolag"}, "wrong_type"),
    ({"owner": {"dbId": "12"}}, "wrong_type"),
    ({"owner": {"dbId": 1.5}}, "wrong_type"),
    ({"owner": {"dbId": 10**30}}, "bad_json"),
    ({"project": {"code": "\ud800"}}, "bad_json"),
]


@pytest.mark.parametrize(("change", "cause"), BAD, ids=[f"{cause}-{number}" for number, (_, cause) in enumerate(BAD)])
def test_one_bad_value_in_a_page_of_10_000(change: dict[str, Any], cause: str) -> None:
    small = {**NODE, "timeType": None}
    nodes = [{**small, "dbId": str(key)} for key in range(1, 10_001)]
    nodes[5_000] |= change
    edges = [{"cursor": "1", "node": node} for node in nodes]
    found = read(page(edges))
    (refusal,) = found.refusals
    assert (refusal.row, refusal.key, refusal.cause) == (5_000, "[5001]", cause)
    assert json.loads(refusal.raw) == edges[5_000]
    assert refusal.sentence
    assert found.records.num_rows == 9_999
    assert found.records["dbId"].to_pylist() == [key for key in range(1, 10_001) if key != 5_001]


@pytest.mark.parametrize("key", [None, "", "abc", "0x1f", "9" * 30, 5, " 5"])
def test_a_row_without_a_readable_id_has_no_key(key: Any) -> None:
    (refusal,) = one(dbId=key).refusals
    if refusal.cause == "unreadable_key":
        assert refusal.key is None
    else:
        assert (refusal.cause, key) == ("wrong_type", 5)


def test_a_missing_node_is_a_refusal() -> None:
    (refusal,) = read(page([{"cursor": "1", "node": None}])).refusals
    assert (refusal.cause, refusal.key) == ("unreadable_key", None)


def test_a_field_given_twice_is_refused() -> None:
    body = page([{"cursor": "1", "node": NODE}, {"cursor": "2", "node": {**NODE, "dbId": "2"}}]).body or b""
    twice = body.replace(b'"dbId": "2",', b'"dbId": "2", "workingHours": "1", ')
    found = read(walked(twice))
    assert found.records.num_rows == 1
    assert [refusal.cause for refusal in found.refusals] == ["bad_json"]


def test_invalid_utf8_is_refused_and_shown_as_it_can_be() -> None:
    body = page([{"cursor": "1", "node": NODE}, {"cursor": "2", "node": {**NODE, "dbId": "2"}}]).body or b""
    found = read(walked(body.replace(b'"Approved"', b'"Appr\xffved"', 1)))
    assert found.records.num_rows == 1
    (refusal,) = found.refusals
    assert (refusal.row, refusal.cause) == (0, "bad_json")
    assert "\ufffd" in refusal.raw


def test_two_bad_values_in_one_row_are_one_refusal() -> None:
    assert len(one(workingHours="x", assignmentDate="y", createdAt="z").refusals) == 1


def test_a_page_of_nothing_but_bad_rows_is_read() -> None:
    edges = [{"cursor": str(key), "node": {"dbId": str(key), "workingHours": key}} for key in range(500)]
    assert len(read(page(edges)).refusals) == 500


def test_duplicate_ids_are_all_kept_in_order() -> None:
    edges = [{"cursor": "1", "node": {**NODE, "workingHours": hours}} for hours in ("1", "2")]
    assert read(page(edges)).records["workingHours"].to_pylist() == [Decimal(1), Decimal(2)]


def test_unknown_fields_are_passed_by() -> None:
    assert one(surprise={"deep": [1, 2]}).refusals == []


def test_a_payload_of_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(StateError):
        list(parse(Payload(b"{}", None, entities=("timesheets",), meta={"kind": "new"}), [TIMESHEETS], "UTC"))


def exact(text: str) -> Decimal | None:
    """Python's reading, None where 38 digits with 9 after the point cannot hold it exactly."""
    try:
        value = Decimal(text)
        scaled = value.quantize(Decimal("1e-9"), context=Context(prec=38, rounding=ROUND_HALF_EVEN))
    except (InvalidOperation, ValueError):
        return None
    return scaled if scaled == value else None


decimals = st.from_regex(r"\A[+-]?[0-9]{0,32}(\.[0-9]{0,12})?([eE][+-]?[0-9]{1,2})?\Z")
long_decimals = st.from_regex(r"\A[+-]?[0-9]{20,150}(\.[0-9]{0,150})?\Z")  # of these Arrow's own cast makes other ones


@given(st.lists(decimals | long_decimals | st.text(max_size=5), max_size=20))
def test_a_decimal_is_exact_or_refused(texts: list[str]) -> None:
    values, bad = cast_decimals(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        if row in bad:
            assert values[row].as_py() is None
            assert exact(text) is None or "e" in text.lower()
        else:
            assert values[row].as_py() == exact(text)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "dbId": st.none() | st.integers() | st.text(max_size=4) | st.integers(1, 99).map(str),
                "workingHours": st.none()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.sampled_from(["1.5", "x", ""]),
                "modifiedAt": st.sampled_from([None, "2024-07-01T10:00:00", "2024-03-31T02:30:00", "soon", 5]),
            }
        ),
        max_size=12,
    )
)
def test_every_edge_becomes_one_row_or_one_refusal(nodes: list[dict[str, Any]]) -> None:
    body = json.dumps({"data": {"timesheets": {"edges": [{"cursor": "1", "node": node} for node in nodes]}}}).encode()
    (found,) = parse(walked(body), [SMALL], "Europe/Oslo")
    refused = [refusal.row for refusal in found.refusals]
    assert refused == sorted(set(refused))
    assert found.records.num_rows + len(refused) == len(nodes)
    accepted = [node for row, node in enumerate(nodes) if row not in refused]
    assert found.records["dbId"].to_pylist() == [int(node["dbId"]) for node in accepted]
    assert all(json.loads(refusal.raw) for refusal in found.refusals)


def test_half_a_character_is_shown_as_it_was_received() -> None:
    (refusal,) = one(project={"code": "a\ud83d \\ud83d \U0001f600"}).refusals
    assert json.loads(refusal.raw)["node"]["project"]["code"] == "a\ud83d \\ud83d \U0001f600"
