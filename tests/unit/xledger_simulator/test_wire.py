from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from gql import Client, gql
from gql.transport.httpx import HTTPXTransport

from postroad.connectors.xledger.simulator import XledgerSimulator

Ask = Callable[..., Any]
Post = Callable[..., httpx.Response]
WALK = """query ($after: String) { timesheets(first: 30, after: $after) {
  edges { cursor node { dbId } } pageInfo { hasNextPage } } }"""
HELLO = "{ __typename }"


def refusal(simulator: XledgerSimulator, headers: dict[str, str]) -> Any:
    return httpx.post(simulator.url, json={"query": HELLO}, headers=headers).json()["errors"][0]["message"]


def test_a_walk_shows_every_row_once_in_ascending_order(simulator: XledgerSimulator, ask: Ask) -> None:
    found, after, more = [], None, True
    while more:
        page = ask(WALK, after=after)["timesheets"]
        found += [int(edge["node"]["dbId"]) for edge in page["edges"]]
        after, more = page["edges"][-1]["cursor"], page["pageInfo"]["hasNextPage"]
    assert found == sorted(simulator.rows())


def test_edges_are_null_when_nothing_matches(ask: Ask) -> None:
    page = ask("{ timesheets(filter: {dbId: 1}) { edges { cursor } pageInfo { hasNextPage hasPreviousPage } } }")
    assert page == {"timesheets": {"edges": None, "pageInfo": {"hasNextPage": False, "hasPreviousPage": False}}}


def test_values_have_the_forms_of_the_fact_sheet(simulator: XledgerSimulator) -> None:
    row = next(iter(simulator.rows().values()))
    assert isinstance(row["dbId"], str)
    assert int(row["dbId"]) > 2**31
    assert isinstance(row["employee"]["dbId"], int)
    assert isinstance(row["workingHours"], str)
    assert len(row["modifiedAt"]) == len("2024-10-27T02:30:00")


def test_some_times_lie_in_the_hour_that_comes_twice_and_none_in_the_one_that_does_not_exist() -> None:
    rows = XledgerSimulator(timesheets=3_000).rows("ALL").values()
    times = {row[name] for row in rows for name in ("createdAt", "modifiedAt", "approvedAt") if row[name]}
    assert any("-10-" in time and "T02:" in time for time in times)
    assert not any("-03-" in time and "T02:" in time for time in times)


def test_a_company_is_the_same_each_time_and_another_with_another_seed() -> None:
    assert XledgerSimulator(seed=5, timesheets=50).rows() == XledgerSimulator(seed=5, timesheets=50).rows()
    assert XledgerSimulator(seed=5, timesheets=50).rows() != XledgerSimulator(seed=6, timesheets=50).rows()


def test_a_company_of_five_million_starts_at_once() -> None:
    simulator = XledgerSimulator(timesheets=5_000_000)
    assert simulator.counts()["timesheets"] == 5_000_000
    assert len(simulator.mutate(200)) == 200


def test_tokens(simulator: XledgerSimulator) -> None:
    expected = 'Bad format for API Token. Expected header: "Authorization: token <your-token>"'
    assert refusal(simulator, {}) == expected
    assert refusal(simulator, {"Authorization": f"Bearer {simulator.token}"}) == expected
    assert "not valid" in refusal(simulator, {"Authorization": "token bm9uZQ"})
    simulator.set_token(simulator.token, "expired")
    assert "expired" in refusal(simulator, {"Authorization": f"token {simulator.token}"})


def test_an_unknown_field_is_refused_in_the_words_of_the_remote_system(post: Post) -> None:
    answer = post("{ foo }")
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["message"].startswith("Cannot query field `foo` on type `Query`")


def test_a_wrong_argument_names_the_rule(simulator: XledgerSimulator, post: Post) -> None:
    simulator.switch(error_status=400)
    answer = post('{ timesheets(first: "x") { edges { cursor } } }')
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "ARGUMENTS_OF_CORRECT_TYPE"


@pytest.mark.parametrize(
    "document",
    [
        "{ timesheets(first: 10001) { edges { cursor } } }",
        "{ timesheets(first: -1) { edges { cursor } } }",
        "{ timesheets(first: 1, last: 1) { edges { cursor } } }",
        '{ timesheets(after: "x") { edges { cursor } } }',
        "{",
        "mutation { x }",
    ],
)
def test_what_cannot_be_answered_is_an_error(post: Post, document: str) -> None:
    assert post(document).json()["errors"]


def test_too_many_rows_are_cut_off_on_wish(simulator: XledgerSimulator, ask: Ask) -> None:
    simulator.switch(page_limit=50, page_limit_mode="clamp")
    assert len(ask("{ timesheets(first: 100) { edges { cursor } } }")["timesheets"]["edges"]) == 50


def test_an_empty_reference_is_null_or_an_object_with_dbid_0(simulator: XledgerSimulator, ask: Ask) -> None:
    db_id = next(db_id for db_id, row in simulator.rows().items() if row["project"] is None)
    document = """query ($id: Int64String) { timesheets(filter: {dbId: $id}) {
      edges { node { projectDbId project { dbId code } } } } }"""
    assert ask(document, id=db_id)["timesheets"]["edges"][0]["node"] == {"projectDbId": None, "project": None}
    simulator.switch(null_reference="zero")
    node = {"projectDbId": 0, "project": {"dbId": 0, "code": None}}
    assert ask(document, id=db_id)["timesheets"]["edges"][0]["node"] == node


def test_the_date_header_follows_the_clock(simulator: XledgerSimulator, post: Post) -> None:
    simulator.set_clock("2024-10-27T00:30:00")
    assert parsedate_to_datetime(post(HELLO).headers["date"]).isoformat().startswith("2024-10-27T00:30:0")


def test_answers_are_compressed_only_when_switched_on(simulator: XledgerSimulator, post: Post) -> None:
    assert "content-encoding" not in post(HELLO).headers
    simulator.switch(gzip=True)
    answer = post(HELLO)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["data"] == {"__typename": "Query"}


def test_the_other_spelling_of_the_path_and_text_plain(simulator: XledgerSimulator) -> None:
    headers = {"Authorization": f"token {simulator.token}", "Content-Type": "text/plain"}
    answer = httpx.post(f"{simulator.base_url}/GraphQL", content='{"query": "{ __typename }"}', headers=headers)
    assert answer.json()["data"] == {"__typename": "Query"}


def test_a_graphql_client_reads_the_schema_and_checks_documents(simulator: XledgerSimulator) -> None:
    transport = HTTPXTransport(simulator.url, headers={"Authorization": f"token {simulator.token}"})
    client = Client(transport=transport, fetch_schema_from_transport=True)
    with client as session:
        result = session.execute(gql("{ entities(ownerSet: CURRENT, first: 1) { edges { node { dbId } } } }"))
    assert result["entities"]["edges"][0]["node"]["dbId"] > 0
