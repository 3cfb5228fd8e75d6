from __future__ import annotations

import httpx
import pytest

from postroad.sdk.simulator import Answer, Clock, Fault, FaultTable, Request, Simulator, json_answer


class Echo(Simulator):
    """Answers with the path."""

    def answer(self, request: Request) -> Answer:
        if request.path == "/chunks":
            return Answer(iter([b"one,", b"", b"two"]))
        if request.path in {"/sized", "/cut", "/short"}:
            length = 12 if request.path == "/short" else 7
            return Answer(iter([b"one,", b"two"]), cut=request.path == "/cut", length=length)
        request.facts["seen"] = request.body.decode()
        return json_answer({"path": request.path, "query": dict(request.query)})


def test_a_clock_runs_with_its_source_and_can_be_moved() -> None:
    time = [100.0]
    clock = Clock(lambda: time[0])
    clock.advance(50)
    assert clock.now() == 150
    clock.set(1_000)
    time[0] += 5
    assert clock.now() == 1_005


def test_faults_are_counted_skipped_and_lifted() -> None:
    table = FaultTable()
    table.add(Fault("a", count=2, skip=1))
    forever = table.add(Fault("b", count=None, root="x"))
    taken = [[fault.kind for fault in table.take(roots)] for roots in (["x"], ["y"], ["x", "y"], ["x"])]
    assert taken == [["b"], ["a"], ["a", "b"], ["b"]]
    table.clear(forever)
    assert table.list() == []


def test_requests_are_answered_and_logged_on_one_connection() -> None:
    with Echo() as echo, httpx.Client(base_url=echo.base_url) as client:
        assert client.post("/a?b=c", content="body").json() == {"path": "/a", "query": {"b": "c"}}
        assert client.get("/chunks").text == "one,two"
        assert [entry["path"] for entry in echo.requests] == ["/a", "/chunks"]
        assert echo.requests[0]["seen"] == "body"


def test_a_streamed_body_of_known_length_is_promised_and_a_broken_promise_breaks_the_connection() -> None:
    with Echo() as echo, httpx.Client(base_url=echo.base_url) as client:
        whole = client.get("/sized")
        assert (whole.text, whole.headers["content-length"]) == ("one,two", "7")
        for path in ("/cut", "/short"):
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(path)
        assert client.patch("/a").json()["path"] == "/a"


def test_a_control_call_is_a_function_by_its_name() -> None:
    with Echo() as echo:
        echo.controls["double"] = lambda n: 2 * int(n)
        assert httpx.post(f"{echo.base_url}/_simulator/double", json={"n": 4}).json() == 8
        assert httpx.get(f"{echo.base_url}/_simulator/double?n=5").json() == 10
        assert httpx.get(f"{echo.base_url}/_simulator/treble").status_code == 404
        assert not echo.requests


def test_stopping_breaks_open_connections_and_frees_the_port() -> None:
    echo = Echo().start()
    with httpx.Client(base_url=echo.base_url) as client:
        client.get("/")
        port = int(echo.base_url.rpartition(":")[2])
        echo.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/")
    with pytest.raises(RuntimeError, match="not started"):
        _ = echo.base_url
    with Echo(port=port) as again:
        assert httpx.get(again.base_url).status_code == 200
