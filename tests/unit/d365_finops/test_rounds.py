"""A round of the changes over the simulator's sockets, without the engine: what its payloads say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.source import FinopsSource
from postroad.records import Payload, Want
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools
from postroad.sdk.secrets import Secret


@pytest.fixture
def source() -> Iterator[FinopsSource]:
    """Vendors of one company, whose exports take no time."""
    with FinopsSimulator(sizes={"VendorsV2": 5}, companies=["usmf"], export_seconds=0, not_run_seconds=0) as simulator:
        simulator.project("Postroad", ["VendorsV2"])
        settings = FinopsSettings(
            url=simulator.url,
            sign_in_url=simulator.url,
            tenant=simulator.tenant,
            client_id=simulator.client_id,
            client_secret=Secret.literal(simulator.client_secret),
            companies=("usmf",),
            entities=("VendorsV2",),
            package_hosts=("127.0.0.1",),
            allow_http=True,
            poll_seconds=0.02,
            burst=100_000,
        )
        source = FinopsSource(settings, Tools(MemoryBudget(lambda: 0.0), simulator.clock.now))
        yield source
        source.close()


def polled(source: FinopsSource, cursor: object, landing: int) -> Iterator[Payload]:
    """One poll that is asked for at that landing number."""
    feed = next(feed for feed in source.discover() if feed.kind == "changes")
    return source.fetch(feed, Want(json.loads(json.dumps(cursor)), ("VendorsV2",), landing=landing))


def test_a_round_that_an_earlier_poll_began_says_when_it_was_asked_for(source: FinopsSource) -> None:
    begun = next(polled(source, None, 5)).cursor
    assert [payload.asked for payload in polled(source, begun, 9)][-1] == 5


def test_a_round_of_its_own_is_asked_for_now(source: FinopsSource) -> None:
    ended = [*polled(source, None, 5)][-1]
    assert ended.asked == 5
    assert [payload.asked for payload in polled(source, ended.cursor, 9)][-1] == 9
