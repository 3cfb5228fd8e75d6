"""A destination before a simulated API whose answers a test orders, and records for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from postroad.connectors.http.destination import HttpDestination
from postroad.connectors.http.settings import HttpSettings
from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN, ApiSimulator
from postroad.records import CHANGED_AT, OP, VERSION, Entity, Facts, Outcome
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools

ITEMS = Entity("items", ("id",), pa.schema([pa.field("id", pa.string()), pa.field("name", pa.string())]))
EACH = {
    "results": "items",
    "id": "id",
    "status": "state",
    "accepted": ["ok"],
    "unchanged": ["known"],
    "rejected": ["refused"],
    "retry": ["later"],
    "message": "error",
}


def settings(url: str = "https://shop.example", **values: Any) -> HttpSettings:
    """Settings with everything that the simulator wants."""
    whole = {"url": url, "token": DEMO_TOKEN, "sign": [DEMO_SECRET], "versions": "compared", **values}
    return HttpSettings.model_validate(whole)


def opened(api: ApiSimulator, sleeps: list[float] | None = None, **values: Any) -> HttpDestination:
    """A destination of the simulator, whose sleeps take no time."""
    sleep = (lambda _: None) if sleeps is None else sleeps.append
    tools = Tools(MemoryBudget(time.time), time.time, sleep=sleep)
    return HttpDestination(settings(api.base_url, **values), tools)


def items(*names: str, version: int = 1, op: str = "upsert") -> pa.RecordBatch:
    """Records with these ids."""
    schema = pa.schema([*ITEMS.schema, OP, CHANGED_AT, VERSION])
    rows = [{"id": name, "name": f"item {name}", "_op": op, "_changed_at": None, "_version": version} for name in names]
    return pa.RecordBatch.from_pylist(rows, schema)


def sent(api: ApiSimulator, *names: str, message: str = "7", version: int = 1, **values: Any) -> Sequence[Outcome]:
    """The outcomes of one package."""
    with closing(opened(api, **values)) as destination:
        (package,) = destination.render(ITEMS, items(*names, version=version))
        facts = Facts(message, "shop", "stock.items", 1, 1, datetime(2026, 11, 21, 18, 30, tzinfo=UTC))
        return destination.send(ITEMS, replace(package, facts=facts))


def words(outcomes: Sequence[Outcome]) -> dict[int, str]:
    """The answer of each record by its place."""
    return {place: each.answer for each in outcomes for place in each.records}
