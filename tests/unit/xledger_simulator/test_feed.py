from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator

Ask = Callable[..., Any]
DELTAS = """query ($after: String, $last: Int) { timesheet_deltas(after: $after, last: $last) {
  edges { cursor mutationType
    node { dbId workingHours project { description } syncVersion _current { dbId workingHours } } }
  pageInfo { hasNextPage } } }"""


def deltas(ask: Ask, **variables: Any) -> list[Any]:
    return ask(DELTAS, **variables)["timesheet_deltas"]["edges"] or []


def test_each_change_is_one_delta_in_order(simulator: XledgerSimulator, ask: Ask) -> None:
    [changed], [deleted], [added] = simulator.mutate(1), simulator.delete(1), simulator.add(1)
    found = [(edge["mutationType"], int(edge["node"]["dbId"])) for edge in deltas(ask)]
    assert found == [("UPDATED", changed), ("DELETED", deleted), ("ADDED", added)]
    assert [edge["node"]["dbId"] for edge in deltas(ask, last=1)] == [str(added)]


def test_a_delta_shows_the_row_then_and_now(simulator: XledgerSimulator, ask: Ask) -> None:
    db_id = min(simulator.rows())
    simulator.update(db_id, workingHours="1.11")
    simulator.update(db_id, workingHours="2.22")
    first, second = deltas(ask)
    assert (first["node"]["workingHours"], first["node"]["_current"]["workingHours"]) == ("1.11", "2.22")
    simulator.delete([db_id])
    assert deltas(ask)[0]["node"]["_current"] is None
    assert second["cursor"] == second["node"]["syncVersion"]


def test_a_deleted_row_can_come_back(simulator: XledgerSimulator, ask: Ask) -> None:
    before = simulator.rows()
    [db_id] = simulator.delete(1)
    simulator.restore([db_id])
    assert [edge["mutationType"] for edge in deltas(ask)] == ["DELETED", "ADDED"]
    assert simulator.rows().keys() == before.keys()


def test_deltas_are_kept_for_three_days(simulator: XledgerSimulator, ask: Ask) -> None:
    simulator.mutate(2)
    simulator.advance(hours=71)
    assert len(deltas(ask)) == 2
    simulator.mutate(1)
    simulator.advance(hours=2)
    assert len(deltas(ask)) == 1


@pytest.mark.parametrize(("mode", "expected"), [("oldest", 1), ("empty", 0), ("error", None)])
@pytest.mark.parametrize("foreign", [False, True])
def test_an_expired_or_foreign_cursor_in_three_modes(
    simulator: XledgerSimulator, post: Any, mode: str, expected: int | None, foreign: bool
) -> None:
    simulator.switch(expired_cursor=mode)
    simulator.mutate(1)
    cursor = post(DELTAS, last=1).json()["data"]["timesheet_deltas"]["edges"][0]["cursor"]
    if foreign:
        simulator.swap_tenant(seed=9)
    else:
        simulator.mutate(1)
        simulator.advance(hours=73)
    simulator.mutate(1)
    body = post(DELTAS, after=cursor).json()
    if expected is None:
        assert body["errors"]
    else:
        assert len(body["data"]["timesheet_deltas"]["edges"] or []) == expected


def test_a_quiet_feed_is_expired_by_switch_only(simulator: XledgerSimulator, post: Any) -> None:
    simulator.switch(expired_when="gap")
    simulator.mutate(1)
    cursor = post(DELTAS, last=1).json()["data"]["timesheet_deltas"]["edges"][0]["cursor"]
    simulator.advance(days=5)
    assert "errors" not in post(DELTAS, after=cursor).json()
    simulator.switch(expired_when="gone")
    assert "errors" in post(DELTAS, after=cursor).json()


@pytest.mark.parametrize("logged", [True, False])
def test_renames_make_deltas_or_not(simulator: XledgerSimulator, ask: Ask, logged: bool) -> None:
    simulator.switch(renames_make_delta=logged)
    project = next(row["project"] for row in simulator.rows().values() if row["project"])
    simulator.rename_project(project["dbId"], "Nytt namn")
    renamed = [
        row for row in simulator.rows().values() if row["project"] and row["project"]["description"] == "Nytt namn"
    ]
    assert renamed
    assert len(deltas(ask)) == (len(renamed) if logged else 0)


def test_a_delta_before_a_rename_keeps_the_old_name(simulator: XledgerSimulator, ask: Ask) -> None:
    db_id, project = next((db_id, row["project"]) for db_id, row in simulator.rows().items() if row["project"])
    simulator.update(db_id, workingHours="1.00")
    simulator.rename_project(project["dbId"], "Nytt namn")
    assert deltas(ask)[0]["node"]["project"]["description"] == project["description"]


def test_the_schema_without_current(simulator: XledgerSimulator, post: Any, ask: Ask) -> None:
    simulator.switch(current_available=False)
    assert "_current" in post(DELTAS).json()["errors"][0]["message"]
    fields = ask('{ __type(name: "TimesheetDelta") { fields { name } } }')["__type"]["fields"]
    assert {"name": "_current"} not in fields


def test_an_unreadable_row_is_null_and_missing_by_id(simulator: XledgerSimulator, ask: Ask) -> None:
    [db_id] = simulator.mutate(1)
    simulator.unreadable([db_id])
    assert deltas(ask)[0]["node"]["_current"] is None
    by_id = ask(
        "query ($ids: [Int64String!]) { timesheets(filter: {dbId_in: $ids}) { edges { cursor } } }", ids=[db_id]
    )
    assert by_id["timesheets"]["edges"] is None
    assert db_id in simulator.rows()


def test_a_page_asked_again_after_a_change_shows_it(simulator: XledgerSimulator, ask: Ask) -> None:
    document = "{ timesheets(first: 1) { edges { node { dbId workingHours } } } }"
    db_id = int(ask(document)["timesheets"]["edges"][0]["node"]["dbId"])
    simulator.update(db_id, workingHours="9.99")
    assert ask(document)["timesheets"]["edges"][0]["node"]["workingHours"] == "9.99"


def test_the_local_time_of_a_mutation(simulator: XledgerSimulator, ask: Ask) -> None:
    simulator.set_clock("2024-07-01T12:00:00")
    simulator.mutate(1)
    document = "{ timesheet_deltas { edges { node { mutatedAt modifiedAt } } } }"
    node = ask(document)["timesheet_deltas"]["edges"][0]["node"]
    assert node["mutatedAt"].startswith("2024-07-01T14:00:0")
    assert node["modifiedAt"] == node["mutatedAt"]
