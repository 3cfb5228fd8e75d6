from __future__ import annotations

from typing import Any

import httpx
import pyarrow as pa
import pytest

from postroad.errors import AuthError, CursorExpiredError, EntitiesFailedError, RemoteError, ThrottledError
from postroad.records import Payload, Rows, Want
from tests.unit.xledger.remote import START, Remote, feeds, project, sheet

Poll = tuple[list[Payload], Exception | None]
EXPIRED = {"message": "The cursor is no longer valid."}
BROKEN = {"message": "Internal error."}


def poll(remote: Remote, cursor: Any = None, entities: tuple[str, ...] = (), **settings: Any) -> Poll:
    source = remote.source(**settings)
    payloads: list[Payload] = []
    try:
        payloads.extend(source.fetch(feeds(source)["changes"], Want(cursor=cursor, entities=entities)))
    except RemoteError as error:
        return payloads, error
    return payloads, None


def rows(remote: Remote, payload: Payload) -> dict[str, Rows]:
    source = remote.source()
    return {each.entity: each for each in source.parse(feeds(source)["changes"], payload)}


def ops(found: Rows) -> list[tuple[int, str]]:
    table = pa.Table.from_batches([found.records])
    return list(zip(table["dbId"].to_pylist(), table["_op"].to_pylist(), strict=True))


@pytest.fixture
def remote() -> Remote:
    remote = Remote()
    remote.add_change("timesheet_deltas", 1, "ADDED", sheet(1))
    remote.add_change("project_deltas", 1, "ADDED", project(1))
    return remote


@pytest.fixture
def cursor(remote: Remote) -> Any:
    payloads, error = poll(remote)
    assert error is None
    return payloads[-1].cursor


def after(payload: Payload) -> dict[str, str | None]:
    return {name: position["after"] for name, position in payload.cursor.items()}


def test_a_first_poll_takes_the_newest_positions_and_lands_nothing(remote: Remote) -> None:
    (payload,), error = poll(remote)
    assert error is None
    assert payload.body is None
    assert after(payload) == {"timesheets": "0001", "projects": "0001"}
    assert {position["polled_at"] for position in payload.cursor.values()} == {START.isoformat()}
    assert len(remote.asked) == 1
    assert "_current" not in remote.asked[0]["query"]


def test_an_empty_feed_is_read_from_its_beginning_later_on(remote: Remote) -> None:
    remote.deltas["project_deltas"].clear()
    (payload,), _ = poll(remote)
    assert after(payload)["projects"] is None
    remote.add_change("project_deltas", 5, "ADDED", project(5))
    (payload,), _ = poll(remote, payload.cursor)
    assert payload.entities == ("projects",)
    assert "projects_after" not in remote.asked[-1]["query"]
    assert after(payload)["projects"] == "0001"


def test_changes_of_all_entities_come_in_one_document(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "UPDATED", sheet(2, "1.25"))
    remote.add_change("project_deltas", 2, "DELETED")
    calls = len(remote.asked)
    (payload,), error = poll(remote, cursor)
    assert error is None
    assert len(remote.asked) == calls + 1
    assert payload.entities == ("timesheets", "projects")
    found = rows(remote, payload)
    assert ops(found["timesheets"]) == [(2, "upsert")]
    assert ops(found["projects"]) == [(2, "delete")]
    assert found["timesheets"].records["_changed_at"][0].as_py().isoformat() == START.isoformat()


def test_only_the_wanted_entities_are_asked_and_the_others_stay(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "DELETED")
    (payload,), _ = poll(remote, cursor, ("timesheets",))
    assert "project_deltas" not in remote.asked[-1]["query"]
    assert payload.cursor["projects"] == cursor["projects"]


def test_pages_go_on_with_those_that_have_more(remote: Remote, cursor: Any) -> None:
    for key in range(2, 7):
        remote.add_change("timesheet_deltas", key, "DELETED")
    remote.add_change("project_deltas", 2, "DELETED")
    payloads, error = poll(remote, cursor, page_size=2)
    assert error is None
    assert [payload.entities for payload in payloads] == [("timesheets", "projects"), ("timesheets",), ("timesheets",)]
    assert [after(payload)["timesheets"] for payload in payloads] == ["0003", "0005", "0006"]


def test_sequence_04_a_quiet_poll_renews_the_age(remote: Remote, cursor: Any) -> None:
    remote.advance(hours=48)
    (payload,), error = poll(remote, cursor)
    assert error is None
    assert payload.body is None
    assert payload.cursor["timesheets"]["polled_at"] == remote.now.isoformat()
    remote.advance(hours=48)
    assert poll(remote, payload.cursor)[1] is None


def test_sequence_04_a_backlog_read_half_way_does_not_renew_the_age(remote: Remote, cursor: Any) -> None:
    for key in range(2, 5):
        remote.add_change("timesheet_deltas", key, "DELETED")
    remote.advance(hours=50)
    payloads, _ = poll(remote, cursor, page_size=2)
    ages = [payload.cursor["timesheets"]["polled_at"] for payload in payloads]
    assert ages == [START.isoformat(), remote.now.isoformat()]


def test_sequence_04_an_age_over_sixty_hours_expires_before_its_rows_are_used(remote: Remote, cursor: Any) -> None:
    remote.advance(hours=61)
    remote.add_change("timesheet_deltas", 2, "DELETED")
    payloads, error = poll(remote, cursor)
    assert isinstance(error, CursorExpiredError)
    assert set(error.entities) == {"timesheets", "projects"}
    assert not error.foreign
    assert payloads == []


def test_sequence_04_one_stale_entity_does_not_hold_back_the_others(remote: Remote, cursor: Any) -> None:
    remote.advance(hours=40)
    (payload,), _ = poll(remote, cursor, ("projects",))
    remote.advance(hours=40)
    remote.add_change("timesheet_deltas", 2, "DELETED")
    remote.add_change("project_deltas", 2, "DELETED")
    (good,), error = poll(remote, payload.cursor)
    assert isinstance(error, CursorExpiredError)
    assert error.entities == ("timesheets",)
    assert good.entities == ("projects",)
    assert good.cursor["timesheets"] == cursor["timesheets"]


def test_sequence_04_silence_with_a_newer_change_is_asked_twice_then_expired(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "DELETED")
    remote.overlay["timesheets"] = {"pageInfo": {"hasNextPage": False}, "edges": None}
    calls = len(remote.asked)
    (quiet,), error = poll(remote, cursor)
    assert isinstance(error, CursorExpiredError)
    assert error.entities == ("timesheets",)
    assert quiet.body is None
    assert quiet.cursor["timesheets"] == cursor["timesheets"]
    assert len(remote.asked) == calls + 2
    assert "project_deltas" not in remote.asked[-1]["query"]


def test_sequence_04_the_second_look_may_find_what_came_meanwhile(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "DELETED")
    newest = {"edges": [{"cursor": "0002", "node": {}}]}
    empty = {"pageInfo": {"hasNextPage": False}, "edges": None}
    data = {"timesheets": empty, "timesheets_newest": newest, "tenant": {"edges": [{"node": {"dbId": 77}}]}}
    remote.scripted = [remote.respond({"data": data})]
    (payload,), error = poll(remote, cursor, ("timesheets",))
    assert error is None
    assert after(payload)["timesheets"] == "0002"


def test_an_expired_cursor_error_names_its_entity(remote: Remote, cursor: Any) -> None:
    remote.add_change("project_deltas", 2, "DELETED")
    (payload,), _ = poll(remote, cursor)
    remote.errors["timesheets"] = EXPIRED
    remote.add_change("timesheet_deltas", 2, "DELETED")
    remote.add_change("project_deltas", 2, "DELETED")
    (payload,), error = poll(remote, payload.cursor)
    assert isinstance(error, CursorExpiredError)
    assert error.entities == ("timesheets",)
    assert payload.entities == ("projects",)
    assert after(payload)["projects"] == "0003"


def test_a_failing_document_is_split_until_the_failing_entity_stands_alone(remote: Remote, cursor: Any) -> None:
    remote.errors["projects"] = BROKEN
    remote.add_change("timesheet_deltas", 2, "DELETED")
    calls = len(remote.asked)
    (payload,), error = poll(remote, cursor)
    assert isinstance(error, EntitiesFailedError)
    assert list(error.causes) == ["projects"]
    assert payload.entities == ("timesheets",)
    assert len(remote.asked) == calls + 3


def test_an_error_that_names_its_field_saves_the_halving(remote: Remote, cursor: Any) -> None:
    remote.errors["projects"] = {**BROKEN, "path": ["projects"]}
    remote.add_change("timesheet_deltas", 2, "DELETED")
    calls = len(remote.asked)
    (payload,), error = poll(remote, cursor)
    assert isinstance(error, EntitiesFailedError)
    assert payload.entities == ("timesheets",)
    assert len(remote.asked) == calls + 2


def test_a_query_that_times_out_is_split_as_well(remote: Remote, cursor: Any) -> None:
    remote.errors["projects"] = {"message": "Your query timed out."}
    remote.add_change("timesheet_deltas", 2, "DELETED")
    (payload,), error = poll(remote, cursor)
    assert isinstance(error, EntitiesFailedError)
    assert payload.entities == ("timesheets",)


def test_an_expired_entity_takes_precedence_over_a_failed_one(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "DELETED")
    remote.errors = {"projects": BROKEN, "timesheets": EXPIRED}
    assert isinstance(poll(remote, cursor)[1], CursorExpiredError)


def test_a_token_that_cannot_read_its_company_is_told_so(remote: Remote, cursor: Any) -> None:
    remote.errors["tenant"] = {**BROKEN, "path": ["tenant"]}
    error = poll(remote, cursor)[1]
    assert "tenant_check: false" in str(error)


def test_a_cursor_of_another_tenant_is_refused_before_its_rows(remote: Remote, cursor: Any) -> None:
    remote.tenant = 78
    remote.add_change("timesheet_deltas", 2, "DELETED")
    payloads, error = poll(remote, cursor)
    assert payloads == []
    assert isinstance(error, CursorExpiredError)
    assert error.foreign
    assert set(error.entities) == {"timesheets", "projects"}


@pytest.mark.parametrize(
    "answer",
    [
        {"pageInfo": {"hasNextPage": True}, "edges": None},
        {"pageInfo": {"hasNextPage": True}, "edges": [{"cursor": "0001", "node": {}}]},
        None,
    ],
)
def test_a_page_that_does_not_advance_fails_its_entity_alone(remote: Remote, cursor: Any, answer: Any) -> None:
    remote.overlay["timesheets"] = answer
    remote.add_change("project_deltas", 2, "DELETED")
    (payload,), error = poll(remote, cursor)
    assert isinstance(error, EntitiesFailedError)
    assert payload.entities == ("projects",)
    assert payload.cursor["timesheets"] == cursor["timesheets"]


def test_limits_and_refused_tokens_are_not_split(remote: Remote, cursor: Any) -> None:
    calls = len(remote.asked)
    remote.errors["projects"] = {"message": "Insufficient credits.", "code": "BAD_REQUEST.INSUFFICIENT_CREDITS"}
    assert isinstance(poll(remote, cursor)[1], ThrottledError)
    remote.errors["projects"] = {"message": "The API token is not valid."}
    assert isinstance(poll(remote, cursor)[1], AuthError)
    assert len(remote.asked) == calls + 2


def test_gone_rows_are_refused_and_never_deleted(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "UPDATED", None)
    remote.add_change("timesheet_deltas", 3, "MOVED", sheet(3))
    remote.add_change("timesheet_deltas", 4, "UPDATED", sheet(5))
    (payload,), _ = poll(remote, cursor)
    found = rows(remote, payload)["timesheets"]
    assert found.records.num_rows == 0
    told = [(refusal.row, refusal.key, refusal.cause) for refusal in found.refusals]
    assert told == [(0, "[2]", "gone_or_unreadable"), (1, "[3]", "unknown_mutation"), (2, "[4]", "key_mismatch")]


def test_weakness_6_edges_of_one_key_keep_their_order(remote: Remote, cursor: Any) -> None:
    remote.add_change("timesheet_deltas", 2, "ADDED", None)
    remote.add_change("timesheet_deltas", 2, "DELETED")
    remote.add_change("timesheet_deltas", 3, "DELETED", sheet(3))
    remote.add_change("timesheet_deltas", 3, "ADDED", sheet(3))
    (payload,), _ = poll(remote, cursor)
    found = rows(remote, payload)["timesheets"]
    assert ops(found) == [(2, "delete"), (3, "delete"), (3, "upsert")]
    assert found.records["workingHours"].null_count == 2
    assert found.refusals == []


def test_sequence_13_without_current_rows_land_with_their_changes(remote: Remote, cursor: Any) -> None:
    remote.has_current = False
    remote.rows["timesheets"] = [sheet(key, f"{key}.5") for key in range(2, 7)]
    remote.rows["projects"] = [project(2, "P2")]
    for key in range(2, 8):
        remote.add_change("timesheet_deltas", key)
    remote.add_change("timesheet_deltas", 2, "DELETED")
    remote.add_change("project_deltas", 2)
    calls = len(remote.asked)
    (payload,), error = poll(remote, cursor, ids_per_query=3)
    assert error is None
    assert payload.body is not None
    assert payload.body.startswith(b'{"deltas":{')
    # Refused for `_current`, asked without it, then five ids in two look-ups of at most three.
    assert len(remote.asked) == calls + 4
    assert remote.asked[-2]["variables"] == {"timesheets_ids": ["3", "4", "5"], "projects_ids": [2]}
    assert "[Int64String!]" in remote.asked[-1]["query"]
    found = rows(remote, payload)
    assert ops(found["timesheets"]) == [(3, "upsert"), (4, "upsert"), (5, "upsert"), (6, "upsert"), (2, "delete")]
    assert ops(found["projects"]) == [(2, "upsert")]
    (refusal,) = found["timesheets"].refusals
    assert (refusal.row, refusal.key, refusal.cause) == (5, "[7]", "gone_or_unreadable")
    assert payload.cursor["timesheets"]["current"] is False


def test_sequence_13_that_there_is_no_current_is_learned_once(remote: Remote, cursor: Any) -> None:
    remote.has_current = False
    remote.add_change("timesheet_deltas", 2, "DELETED")
    (payload,), _ = poll(remote, cursor)
    calls = len(remote.asked)
    poll(remote, payload.cursor)
    assert len(remote.asked) == calls + 1


def test_sequence_13_a_failed_look_up_adopts_no_cursor(remote: Remote, cursor: Any) -> None:
    remote.has_current = False
    remote.rows["projects"] = [project(2)]
    remote.add_change("timesheet_deltas", 2)
    remote.add_change("project_deltas", 2)
    original = remote.handle

    def handle(request: httpx.Request) -> httpx.Response:
        response = original(request)
        if "timesheets_ids" in remote.asked[-1]["query"]:
            return remote.error(BROKEN)
        return response

    remote.handle = handle  # type: ignore[method-assign]
    (payload,), error = poll(remote, cursor)
    assert isinstance(error, EntitiesFailedError)
    assert list(error.causes) == ["timesheets"]
    assert payload.entities == ("projects",)
    assert payload.cursor["timesheets"]["after"] == cursor["timesheets"]["after"]


def test_sequence_13_a_bad_row_is_refused_for_what_it_is(remote: Remote, cursor: Any) -> None:
    remote.has_current = False
    remote.rows["timesheets"] = [sheet(2, "much"), sheet(3, modifiedAt="2026-10-25T02:30:00"), sheet(4)]
    remote.rows["timesheets"][2]["workingHours"] = 4.5
    for key in (2, 3, 4):
        remote.add_change("timesheet_deltas", key)
    (payload,), _ = poll(remote, cursor)
    found = rows(remote, payload)["timesheets"]
    assert ops(found) == [(3, "upsert")]
    assert found.records["_ambiguous"].to_pylist() == [[("modifiedAt", "2026-10-25T02:30:00")]]
    assert [(refusal.row, refusal.cause) for refusal in found.refusals] == [(0, "bad_decimal"), (2, "wrong_type")]
    assert '"much"' in found.refusals[0].raw
    assert "4.5" in found.refusals[1].raw
