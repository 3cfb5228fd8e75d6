from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator

Ask = Callable[..., Any]


@pytest.fixture
def simulator() -> Iterator[XledgerSimulator]:
    with XledgerSimulator(
        seed=3, timesheets=200, burst=None, owner_set_default="MINE", object_status_default="ALL"
    ) as simulator:
        yield simulator


@pytest.fixture
def post(simulator: XledgerSimulator) -> Iterator[Callable[..., httpx.Response]]:
    with httpx.Client(headers={"Authorization": f"token {simulator.token}"}, timeout=10) as client:

        def send(query: str, **variables: Any) -> httpx.Response:
            return client.post(simulator.url, json={"query": query, "variables": variables})

        yield send


@pytest.fixture
def ask(post: Callable[..., httpx.Response]) -> Ask:
    """The data of an answer without errors."""

    def data(query: str, **variables: Any) -> Any:
        body = post(query, **variables).json()
        assert "errors" not in body, body
        return body["data"]

    return data
