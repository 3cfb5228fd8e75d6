"""The earlier app's rows and cursor: taken as if Xledger had sent them, or refused by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest

from postroad.connectors.xledger.adopt import XledgerAdopter
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.entities import EIGHT, TIMESHEETS
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.errors import ConfigError, CursorExpiredError
from postroad.records import DELETE, UPSERT
from postroad.sdk.connector import Adopted, Tools
from tests.unit.xledger.remote import START, TOKEN, Remote


def adopter(remote: Remote | None = None, **settings: Any) -> XledgerAdopter:
    remote = remote or Remote()
    made = XledgerSettings(**{"url": "http://remote.test/graphql", "token": TOKEN, **settings})
    tools = Tools(remote.budget, remote.clock, remote.slept.append)
    return XledgerAdopter(made, tools, transport=httpx.MockTransport(remote.handle))


def adopted(*rows: dict[str, Any], types: dict[str, pa.DataType] | None = None, **more: Any) -> Adopted:
    """What becomes of rows; `mutationType` is ADDED unless a row says otherwise."""
    full = [{"mutationType": "ADDED", **row} for row in rows]
    names = {name: None for row in full for name in row}
    columns = {name: pa.array([row.get(name) for row in full], (types or {}).get(name)) for name in names}
    batch = pa.RecordBatch.from_pydict(columns)
    return adopter(**more).rows(TIMESHEETS.entity, batch)


def test_a_row_is_read_as_xledger_sends_it() -> None:
    found = adopted(
        {
            "dbId": 7,
            "createdAt": "2026-07-01T12:00:00",
            "assignmentDate": "2026-07-01",
            "workingHours": 7.1,
            "isHeaderApproved": 1.0,
            "owner.dbId": 12.0,
            "employee_code": "0042",
            "mutatedAt": "2026-07-02T08:00:00",
        }
    )
    (row,) = found.rows.records.to_pylist()
    assert (row["dbId"], row["_op"], row["owner_dbId"], row["employee_code"]) == (7, UPSERT, 12, "0042")
    assert row["createdAt"] == datetime(2026, 7, 1, 10, tzinfo=UTC), "a local time of Oslo"
    assert (row["workingHours"], row["isHeaderApproved"]) == (Decimal("7.1"), True)
    assert row["_changed_at"] == datetime(2026, 7, 2, 6, tzinfo=UTC)
    assert found.inexact == ("workingHours",)
    assert found.left_out == ()
    assert "project_code" in found.rows.absent
    assert "project_code" not in found.rows.records.schema.names


@pytest.mark.parametrize("declaration", EIGHT, ids=lambda each: str(each.name))
def test_every_entity_is_read_with_all_of_its_columns(declaration: Declaration) -> None:
    """In the types of the earlier app's frames."""
    values: dict[str, Any] = {
        "id64": 7, "int": 7.0, "text": "a", "money": 7.25, "decimal": 7.25, "number": 7.25, "date": "2026-07-01",
        "local_time": "2026-07-01T12:00:00", "bool": True,
    }  # fmt: skip
    columns = {each.name: pa.array([values[each.kind]]) for each in declaration.fields}
    batch = pa.RecordBatch.from_pydict({**columns, "mutationType": pa.array(["ADDED"])})
    found = adopter().rows(declaration.entity, batch)
    assert (found.rows.absent, found.left_out, list(found.rows.refusals)) == ((), (), [])
    (row,) = found.rows.records.to_pylist()
    assert {row[each.column] for each in declaration.fields if each.kind in ("money", "decimal", "number")} <= {
        Decimal("7.25")
    }
    assert None not in [row[each.column] for each in declaration.fields]


def test_a_deletion_is_a_key_and_nothing_else() -> None:
    """Whatever its row still says is neither shown nor held against it."""
    found = adopted({"dbId": 7, "workingHours": "much", "mutationType": "DELETED"})
    (row,) = found.rows.records.to_pylist()
    assert (row["dbId"], row["_op"], row["workingHours"]) == (7, DELETE, None)
    assert not found.rows.refusals


def test_local_times_and_empty_references_are_understood_as_ever() -> None:
    """The hour that comes twice, the hour that never was, and `dbId` 0 for no reference."""
    twice, never = "2026-10-25T02:30:00", "2026-03-29T02:30:00"
    found = adopted(
        {"dbId": 1, "createdAt": twice, "project.dbId": 0, "project.code": "P"}, {"dbId": 2, "createdAt": never}
    )
    (row,) = found.rows.records.to_pylist()
    assert row["createdAt"] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert row["_ambiguous"] == [("createdAt", twice)]
    assert (row["project_dbId"], row["project_code"]) == (None, None)
    assert [(each.row, each.key, each.cause) for each in found.rows.refusals] == [(1, "[2]", "nonexistent_time")]


@pytest.mark.parametrize(
    ("row", "key", "cause"),
    [
        ({"dbId": 7, "workingHours": "much"}, "[7]", "bad_decimal"),
        ({"dbId": 7, "workingHours": 0.1 + 0.2}, "[7]", "bad_decimal"),
        ({"dbId": 7, "workingHours": float("inf")}, "[7]", "bad_decimal"),
        ({"dbId": 7, "workingHours": "much", "owner.dbId": float("nan")}, "[7]", "bad_decimal"),
        ({"dbId": 7, "owner.dbId": 1.5}, "[7]", "bad_number"),
        ({"dbId": 7, "owner.dbId": "one"}, "[7]", "bad_number"),
        ({"dbId": 7, "isHeaderApproved": 2}, "[7]", "wrong_type"),
        ({"dbId": 7, "assignmentDate": "20260701"}, "[7]", "bad_date"),
        ({"dbId": 7, "createdAt": "20260701_08_00_00"}, "[7]", "bad_time"),
        ({"dbId": 7, "mutationType": "MERGED"}, "[7]", "unknown_mutation"),
        ({"dbId": 7, "mutationType": None}, "[7]", "unknown_mutation"),
        ({"dbId": None, "workingHours": 1.0}, None, "unreadable_key"),
        ({"dbId": 7.5}, None, "unreadable_key"),
        ({"dbId": "x"}, None, "unreadable_key"),
        ({"dbId": 2.0**60}, None, "unreadable_key"),
    ],
    ids=str,
)
def test_a_row_that_cannot_be_that_is_refused_with_its_text(row: dict[str, Any], key: str | None, cause: str) -> None:
    """The rows beside it are taken."""
    kinds = {name: pa.string() for name in ("mutationType",)}
    found = adopted(row, types=kinds)
    (refusal,) = found.rows.refusals
    assert (refusal.row, refusal.key, refusal.cause) == (0, key, cause)
    assert '"mutationType"' in refusal.raw
    assert found.rows.records.num_rows == 0


def test_codes_in_numbers_are_told_as_inexact() -> None:
    """A code cast to a number has lost its leading zeros, if it had any."""
    found = adopted({"dbId": 1, "employee.code": 42.0, "project.code": 7, "activity.code": None, "workingHours": "1.5"})
    assert set(found.inexact) == {"employee_code", "project_code"}
    assert found.rows.records.to_pylist()[0]["employee_code"] == "42"


def test_strange_columns_are_left_out_and_told() -> None:
    found = adopted({"dbId": 1, "glObject1.dbId": 5, "__index_level_0__": 0, "mutatedAt": "20260701_08_00_00"})
    assert found.left_out == ("glObject1.dbId", "__index_level_0__")
    assert found.rows.records.to_pylist()[0]["_changed_at"] is None


@pytest.mark.parametrize("column", ["dbId", "mutationType"])
def test_a_file_without_keys_or_kinds_is_refused_whole(column: str) -> None:
    columns = {name: pa.array(["1"]) for name in ("dbId", "mutationType") if name != column}
    with pytest.raises(ConfigError, match=f"no column {column}"):
        adopter().rows(TIMESHEETS.entity, pa.RecordBatch.from_pydict(columns))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"employee.code": b"x"}, "column employee.code holds binary, not text"),
        ({"isHeaderApproved": "true"}, "column isHeaderApproved holds string, not bool"),
        ({"mutationType": 1}, "column mutationType holds int64, not text"),
        ({"employee.code": "1", "employee_code": "1"}, "two columns for employee.code: employee.code and"),
    ],
    ids=str,
)
def test_a_file_whose_types_are_wrong_is_refused_by_its_column(row: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        adopted({"dbId": 1, **row})


def test_a_young_cursor_becomes_a_position_of_this_tenant() -> None:
    """The same scope as a poll would store, so that the next poll takes it for its own."""
    remote = Remote()
    taken = START - timedelta(hours=59)
    position = adopter(remote).position(TIMESHEETS.entity, "c17", taken)
    assert (position["after"], position["polled_at"]) == ("c17", taken.isoformat())
    other = Remote()
    other.tenant = 78
    assert adopter(other).position(TIMESHEETS.entity, "c17", taken)["scope"] != position["scope"]
    assert adopter(remote, owner_set="ALL").position(TIMESHEETS.entity, "c17", taken)["scope"] != position["scope"]
    assert len(remote.asked) == 2, "one call each"


def test_an_old_cursor_has_expired_by_the_clock_of_the_server() -> None:
    with pytest.raises(CursorExpiredError, match="forgets changes after 3 days"):
        adopter().position(TIMESHEETS.entity, "c17", START - timedelta(hours=61))


@pytest.mark.parametrize("check", [True, False])
def test_a_time_to_come_is_a_mistake(check: bool) -> None:
    """Most likely one of another zone; trusted, it would make the cursor look younger than it is."""
    with pytest.raises(ConfigError, match="yet to come"):
        adopter(tenant_check=check).position(TIMESHEETS.entity, "c17", START + timedelta(hours=1))
