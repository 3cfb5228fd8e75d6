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
def company() -> Iterator[FinopsSimulator]:
    """Vendors of one company, whose exports take no time."""
    with FinopsSimulator(sizes={"VendorsV2": 5}, companies=["usmf"], export_seconds=0, not_run_seconds=0) as simulator:
        simulator.project("Postroad", ["VendorsV2"])
        simulator.project("Postroad VendorsV2", ["VendorsV2"], incremental=False)
        yield simulator


@pytest.fixture
def source(company: FinopsSimulator) -> Iterator[FinopsSource]:
    """A connection to them."""
    settings = FinopsSettings(
        url=company.url,
        sign_in_url=company.url,
        tenant=company.tenant,
        client_id=company.client_id,
        client_secret=Secret.literal(company.client_secret),
        companies=("usmf",),
        entities=("VendorsV2",),
        package_hosts=("127.0.0.1",),
        allow_http=True,
        poll_seconds=0.02,
        burst=100_000,
    )
    source = FinopsSource(settings, Tools(MemoryBudget(lambda: 0.0), company.clock.now))
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


def test_who_may_not_list_executions_still_reads_changes(source: FinopsSource, company: FinopsSimulator) -> None:
    company.fault("status", count=None, root="DataManagementExecutionJobs", status=403)
    assert [*polled(source, None, 5)][-1].asked == 5
    assert any("go unnoticed" in each.sentence for each in source.check())
