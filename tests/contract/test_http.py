"""The destination suite against the simulated API, over a socket."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from postroad.connectors.http import connector
from postroad.connectors.http.settings import HttpSettings
from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN, ApiSimulator
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Tools
from postroad.testing import KEY, Row
from tests.contract.lists import ListsSuite
from tests.contract.texts import exact_text

EACH = {
    "results": "items",
    "id": ["company", "number"],
    "status": "state",
    "accepted": ["ok"],
    "unchanged": ["known"],
    "rejected": ["refused"],
    "retry": ["later"],
    "message": "error",
}


def opened(url: str, **settings: Any) -> Destination:
    """A destination on an API."""
    assert connector.destination is not None
    whole = {"url": url, "token": DEMO_TOKEN, "sign": [DEMO_SECRET], "versions": "compared", **settings}
    whole.setdefault("probe", {"path": "/targets", "targets": "targets"})
    tools = Tools(MemoryBudget(time.time), time.time, sleep=lambda _: None)
    return connector.destination(HttpSettings.model_validate(whole), tools)


class TestHttp(ListsSuite):
    """Objects, answered record by record."""

    answers = "each"

    def settings(self) -> dict[str, Any]:
        """Of the connection."""
        return {"answer": EACH}

    @pytest.fixture(autouse=True)
    def receiver(self) -> Iterator[None]:
        """An API that holds nothing."""
        with ApiSimulator(KEY) as self.api:
            self.api.switch(answers=self.answers)
            yield

    def destination(self) -> Destination:
        """The same API each time."""
        return opened(self.api.base_url, **self.settings())

    def held(self) -> Mapping[tuple[str, int], Row]:
        """All records, columns that a later one brought are null in the others."""
        rows = self.api.rows("things")
        names = dict.fromkeys(name for row in rows for name in row)
        return {(row["company"], int(row["number"])): {**names, **row} for row in rows}

    def expected(self, values: Row) -> Row:
        """As JSON has them."""
        return {name: exact_text(value) for name, value in values.items()}


class TestHttpLines(TestHttp):
    """One record a line, nothing but a status in the answer, and the key in a header."""

    answers = "silent"

    def settings(self) -> dict[str, Any]:
        """Two records a batch."""
        return {"body": "lines", "token": None, "api_key": {"key": DEMO_TOKEN}, "most_records": 2}


class TestHttpList(TestHttp):
    """A list, whose results stand in its order; sign-in by OAuth."""

    def settings(self) -> dict[str, Any]:
        """With the token endpoint of this API."""
        oauth = {"url": f"{self.api.base_url}/token", "client_id": "demo", "client_secret": DEMO_TOKEN}
        answer = {name: value for name, value in EACH.items() if name != "id"}
        return {"body": "list", "token": None, "oauth": oauth, "answer": answer, "most_bytes": 1000}


def test_nothing_is_left_open() -> None:
    """Closing twice, or what was never used, harms nothing."""
    with closing(opened("http://127.0.0.1:1")) as destination:
        destination.close()
