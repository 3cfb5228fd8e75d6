"""What operators of the remote system do: fields that vanish, a demo that is refreshed, tokens that are rotated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator

Ask = Callable[..., Any]
Post = Callable[..., httpx.Response]
FIELDS = '{ __type(name: "%s") { fields { name } inputFields { name } } }'
TENANT = "{ entities(ownerSet: CURRENT, first: 1) { edges { node { dbId } } } }"
DELTAS = """query ($after: String) { timesheet_deltas(after: $after) { edges { cursor node { dbId } } }
  project_deltas { edges { cursor } } }"""


def names(ask: Ask, kind: str) -> set[str]:
    found = ask(FIELDS % kind)["__type"]
    return {each["name"] for each in found["fields"] or found["inputFields"]}


def test_a_field_vanishes_and_comes_back(simulator: XledgerSimulator, ask: Ask, post: Post) -> None:
    document = "{ timesheets(first: 1) { edges { node { dbId hourlyCost } } } }"
    before = post(document).json()
    simulator.switch(vanished_fields=["Timesheet.hourlyCost", "Timesheet.text"])
    message = post(document).json()["errors"][0]["message"]
    assert message.startswith("Cannot query field `hourlyCost` on type `Timesheet`")
    assert not {"hourlyCost", "text"} & (names(ask, "Timesheet") | names(ask, "TimesheetDelta"))
    assert not {"text", "text_in"} & names(ask, "Timesheet_Filter")
    assert "errors" in post("{ timesheet_deltas { edges { node { text } } } }").json()
    assert "errors" in post('{ timesheets(filter: {text: ""}) { edges { cursor } } }').json()
    assert "hourlyCost" in next(iter(simulator.rows().values()))
    simulator.switch(vanished_fields=[])
    assert post(document).json() == before


def test_a_feed_or_a_member_of_a_reference_vanishes(simulator: XledgerSimulator, ask: Ask, post: Post) -> None:
    simulator.switch(vanished_fields=["Query.project_deltas", "ObjectValue.code", "TimesheetDelta.text"])
    assert "project_deltas" not in names(ask, "Query")
    assert "errors" in post("{ project_deltas { edges { cursor } } }").json()
    assert "errors" in post("{ employees { edges { node { superior { code } } } } }").json()
    assert "text" in names(ask, "Timesheet")


@pytest.mark.parametrize("name", ["Timesheet.txt", "Timesheets.text", "text", "Query"])
def test_only_what_is_there_can_vanish(simulator: XledgerSimulator, name: str) -> None:
    with pytest.raises(ValueError, match="can vanish"):
        simulator.switch(vanished_fields=[name])
    assert simulator.switch()["vanished_fields"] == ()


def test_the_last_field_of_a_type_stays(simulator: XledgerSimulator) -> None:
    with pytest.raises(ValueError, match="last field"):
        simulator.switch(vanished_fields=["PageInfo.hasNextPage", "File.url", "File.dbId"])


def test_a_refreshed_demo_is_a_copy_of_live(simulator: XledgerSimulator, ask: Ask, post: Post) -> None:
    """The same tenant with other rows: some changed, some gone, some new, under ids that the demo had given away."""
    live, tenant = simulator.rows(), ask(TENANT)
    [mine] = simulator.add(1)
    simulator.update(mine, text="only in the demo")
    cursor = ask(DELTAS)["timesheet_deltas"]["edges"][-1]["cursor"]
    counts = simulator.refresh_demo(tokens="kept", changes=9)
    rows = simulator.rows()
    assert ask(TENANT) == tenant
    assert counts["timesheets"] == simulator.counts()["timesheets"] == 200 + 3 - 2
    assert len(live.keys() - rows.keys()) == 2
    assert len(rows.keys() - live.keys()) == 3
    assert rows[mine]["text"] != "only in the demo"
    assert any(live[key] != rows[key] for key in live.keys() & rows.keys())
    assert "errors" in post(DELTAS, after=cursor).json()
    fresh = ask(DELTAS)
    assert len(fresh["timesheet_deltas"]["edges"]) == 14
    assert fresh["project_deltas"]["edges"]


def test_live_goes_on_between_two_refreshes(simulator: XledgerSimulator) -> None:
    simulator.refresh_demo(changes=6)
    first = simulator.rows()
    simulator.mutate(20)
    simulator.advance(days=14)
    simulator.refresh_demo(changes=6)
    second = simulator.rows()
    assert len(second.keys() - first.keys()) == 2
    same = [key for key in first.keys() & second.keys() if first[key] == second[key]]
    assert len(same) >= len(first) - 6 - 2
    assert simulator.counts()["deltas"] == 8 * (6 + 2 + 2)


def test_a_demo_refreshed_from_another_company(simulator: XledgerSimulator, ask: Ask) -> None:
    tenant, rows = ask(TENANT), simulator.rows()
    simulator.refresh_demo(tokens="kept", seed=21, sizes={"timesheets": 40})
    assert ask(TENANT) != tenant
    assert not simulator.rows().keys() & rows.keys()
    assert simulator.counts()["timesheets"] == 40 + 4 - 2


def test_tokens_of_the_demo_die_with_it(simulator: XledgerSimulator, post: Post) -> None:
    simulator.refresh_demo()
    assert "not valid" in post(TENANT).json()["errors"][0]["message"]
    simulator.set_token(simulator.token, "valid")
    assert "errors" not in post(TENANT).json()
    with pytest.raises(ValueError, match="'deleted' or 'kept'"):
        simulator.refresh_demo(tokens="lost")


@pytest.mark.parametrize(("old", "message"), [("expired", "expired"), ("unknown", "not valid")])
def test_a_token_is_rotated(simulator: XledgerSimulator, post: Post, old: str, message: str) -> None:
    before = simulator.token
    answer = httpx.post(f"{simulator.base_url}/_simulator/rotate_token", json={"old": old})
    assert answer.json() == simulator.token != before
    assert message in post(TENANT).json()["errors"][0]["message"]
    headers = {"Authorization": f"token {simulator.token}"}
    assert "errors" not in httpx.post(simulator.url, json={"query": TENANT}, headers=headers).json()
    assert simulator.rotate_token("bmV3") == simulator.token == "bmV3"
    with pytest.raises(ValueError, match="'expired' or 'unknown'"):
        simulator.rotate_token(old="valid")
