from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator

Post = Callable[..., httpx.Response]
WALK = """query ($after: String) { timesheets(first: 20, after: $after) {
  edges { cursor node { dbId workingHours } } pageInfo { hasNextPage } } }"""
BOTH = """{ timesheets(first: 5) { edges { node { dbId } } } deltas: timesheet_deltas(first: 5) {
  edges { cursor node { dbId _current { dbId } } } } }"""


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("burst", "BAD_REQUEST.BURST_RATE_LIMIT_REACHED"),
        ("credits", "BAD_REQUEST.INSUFFICIENT_CREDITS"),
        ("concurrency", "BAD_REQUEST.CONCURRENCY_LIMIT_REACHED"),
    ],
)
def test_limit_errors_on_demand(simulator: XledgerSimulator, post: Post, kind: str, code: str) -> None:
    simulator.fault(kind)
    assert post(WALK).json()["errors"][0]["code"] == code
    assert "data" in post(WALK).json()


def test_the_burst_limit_is_over_after_five_seconds(simulator: XledgerSimulator, post: Post) -> None:
    simulator.switch(burst=20)
    codes = [post(WALK).json().get("errors", [{}])[0].get("code") for _ in range(21)]
    assert codes == [None] * 20 + ["BAD_REQUEST.BURST_RATE_LIMIT_REACHED"]
    simulator.advance(seconds=5.1)
    assert "errors" not in post(WALK).json()


def test_credits_run_out_until_they_are_renewed(simulator: XledgerSimulator, post: Post) -> None:
    simulator.switch(credits=1, credits_seconds=600)
    simulator.set_clock("2026-01-01T00:00:00")
    simulator.refill_credits()
    post(WALK)
    error = post(WALK).json()["errors"][0]
    assert error["message"] == "Insufficient credits."
    assert error["extensions"]["resetAt"] == "2026-01-01T00:10:00Z"
    simulator.advance(seconds=601)
    assert "errors" not in post(WALK).json()


def test_held_answers_count_as_concurrent(simulator: XledgerSimulator, post: Post) -> None:
    simulator.switch(concurrency=1)
    simulator.fault("latency", seconds=1.0)
    held = threading.Thread(target=post, args=(WALK,))
    held.start()
    while not simulator.log:
        time.sleep(0.01)
    assert post(WALK).json()["errors"][0]["code"] == "BAD_REQUEST.CONCURRENCY_LIMIT_REACHED"
    held.join()
    assert "errors" not in post(WALK).json()


def test_whole_answers_that_are_not_graphql(simulator: XledgerSimulator, post: Post) -> None:
    simulator.fault("status", status=503, retry_after=7)
    answer = post(WALK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    simulator.fault("html")
    answer = post(WALK)
    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")
    simulator.fault("malformed")
    with pytest.raises(ValueError, match=r"."):
        post(WALK).json()
    simulator.fault("query_timeout")
    assert post(WALK).json()["errors"][0]["message"] == "Your query timed out."
    simulator.fault("token_echo")
    assert simulator.token in post(WALK).json()["errors"][0]["message"]


def test_connections_that_break(simulator: XledgerSimulator, post: Post) -> None:
    simulator.fault("drop")
    with pytest.raises(httpx.RemoteProtocolError):
        post(WALK)
    simulator.fault("timeout", seconds=0.2)
    with pytest.raises(httpx.RemoteProtocolError):
        post(WALK)
    assert [entry["answered"] for entry in simulator.log] == [False, False]
    assert "data" in post(WALK).json()


def test_faults_strike_the_request_they_are_meant_for(simulator: XledgerSimulator, post: Post) -> None:
    simulator.fault("html", skip=1, count=2, root="timesheets")
    kinds = [post(document).text[:1] for document in (WALK, "{ __typename }", WALK, WALK, WALK)]
    assert kinds == ["{", "{", "<", "<", "{"]


def test_one_root_field_fails(simulator: XledgerSimulator, post: Post) -> None:
    simulator.fault("field_error", root="timesheet_deltas", count=2)
    body = post(BOTH).json()
    assert body["data"] is None
    assert body["errors"][0]["path"] == ["deltas"]
    simulator.switch(partial_data=True)
    body = post(BOTH).json()
    assert body["data"]["deltas"] is None
    assert body["data"]["timesheets"]["edges"]


def test_nulls_and_repeated_cursors(simulator: XledgerSimulator, post: Post) -> None:
    simulator.mutate(1)
    simulator.fault("null_current")
    assert post(BOTH).json()["data"]["deltas"]["edges"][0]["node"]["_current"] is None
    simulator.fault("null_edges")
    assert post(WALK).json()["data"]["timesheets"] == {"edges": None, "pageInfo": {"hasNextPage": True}}
    simulator.fault("null_nodes")
    assert post(WALK).json()["data"]["timesheets"]["edges"][0]["node"] is None
    cursor = post(WALK).json()["data"]["timesheets"]["edges"][-1]["cursor"]
    simulator.fault("repeat_cursor")
    page = post(WALK, after=cursor).json()["data"]["timesheets"]
    assert {edge["cursor"] for edge in page["edges"]} == {cursor}
    assert page["pageInfo"]["hasNextPage"]


@pytest.mark.parametrize("value", ["abc", 7.5, None, "1.0000000000001", True, 'quote " and \\ and å'])
def test_bad_values_for_one_answer_or_for_good(simulator: XledgerSimulator, post: Post, value: Any) -> None:
    simulator.fault("bad_value", field="workingHours", value=value, row=3)
    first, second = (post(WALK).json()["data"]["timesheets"]["edges"] for _ in range(2))
    assert first[3]["node"]["workingHours"] == value
    assert second[3]["node"]["workingHours"] != value
    simulator.update(int(second[3]["node"]["dbId"]), delta=False, workingHours=value)
    assert post(WALK).json()["data"]["timesheets"]["edges"][3]["node"]["workingHours"] == value
    assert simulator.counts()["deltas"] == 0


def test_an_expired_cursor_for_one_request(simulator: XledgerSimulator, post: Post) -> None:
    document = "query ($after: String) { timesheet_deltas(after: $after) { edges { cursor } } }"
    simulator.mutate(2)
    cursor = post(document).json()["data"]["timesheet_deltas"]["edges"][0]["cursor"]
    for mode, expected in {"empty": 0, "oldest": 2}.items():
        simulator.fault("expired_cursor", mode=mode)
        assert len(post(document, after=cursor).json()["data"]["timesheet_deltas"]["edges"] or []) == expected
    simulator.fault("expired_cursor", mode="error")
    assert "errors" in post(document, after=cursor).json()
    assert len(post(document, after=cursor).json()["data"]["timesheet_deltas"]["edges"]) == 1


def test_rows_change_during_a_walk(simulator: XledgerSimulator, post: Post) -> None:
    simulator.fault("script", skip=1, call="delete", arguments={"which": 3})
    simulator.fault("script", skip=2, call="add", arguments={"n": 2}, when="after")
    before = simulator.counts()["timesheets"]
    counts = []
    for _ in range(3):
        post(WALK)
        counts.append(simulator.counts()["timesheets"] - before)
    assert counts == [0, -3, -1]
    with pytest.raises(ValueError, match="call"):
        simulator.fault("script", call="nothing")


def test_an_unknown_fault_or_switch_is_named(simulator: XledgerSimulator) -> None:
    with pytest.raises(ValueError, match="null_edges"):
        simulator.fault("nul_edges")
    with pytest.raises(ValueError, match="expired_cursor"):
        simulator.switch(expired_curser="empty")
    with pytest.raises(ValueError, match="cannot be"):
        simulator.switch(expired_cursor="never")
