"""The connector over a socket, against the simulator: what was fetched and parsed equals what it holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from postroad.connectors.xledger.entities import EIGHT
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.connectors.xledger.source import XledgerSource
from postroad.errors import AuthError, CursorExpiredError, RemoteError, ThrottledError
from postroad.records import DELETE, Refusal, Want
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools
from tests.unit.xledger.remote import feeds

Table = dict[int, dict[str, Any]]


OPENED: list[XledgerSource] = []


@pytest.fixture
def simulator() -> Iterator[XledgerSimulator]:
    with XledgerSimulator(timesheets=700, burst=None) as simulator:
        yield simulator
        while OPENED:
            OPENED.pop().close()


def source_of(simulator: XledgerSimulator, **settings: Any) -> XledgerSource:
    made = XledgerSettings(**{"url": simulator.url, "token": simulator.token, "burst": 10_000, **settings})
    OPENED.append(XledgerSource(made, Tools(MemoryBudget(), time.time, lambda _seconds: None)))
    return OPENED[-1]


class Copy:
    """A table that is kept in step, the simplest way there is."""

    def __init__(self, simulator: XledgerSimulator, **settings: Any) -> None:
        self.source = source_of(simulator, **{"page_size": 100, **settings})
        self.cursor: Any = None
        self.table: Table = {}
        self.refusals: list[Refusal] = []
        self._read("changes")
        self._read("timesheets", walk=True)

    def poll(self) -> None:
        self._read("changes")

    def _read(self, name: str, *, walk: bool = False) -> None:
        feed = feeds(self.source)[name]
        for payload in self.source.fetch(feed, Want(cursor=None if walk else self.cursor)):
            self.cursor = self.cursor if walk else payload.cursor
            for rows in self.source.parse(feed, payload) if payload.body is not None else ():
                self.refusals += rows.refusals
                for row in rows.records.to_pylist():
                    self.table.pop(row["dbId"], None)
                    if row["_op"] != DELETE:
                        self.table[row["dbId"]] = row


def equal(copy: Copy, simulator: XledgerSimulator) -> bool:
    truth = simulator.rows()
    assert copy.table.keys() == truth.keys()
    for key, node in truth.items():
        row = copy.table[key]
        assert row["workingHours"] == Decimal(node["workingHours"])
        assert row["assignmentDate"].isoformat() == node["assignmentDate"]
        assert row["employee_description"] == (node["employee"] or {}).get("description")
        assert row["timesheetStatus_name"] == (node["timesheetStatus"] or {}).get("name")
        assert row["isHeaderApproved"] == node["isHeaderApproved"]
    return True


@pytest.mark.parametrize("switches", [{}, {"current_available": False}, {"null_reference": "zero"}, {"gzip": True}])
def test_a_copy_stays_equal(simulator: XledgerSimulator, switches: dict[str, Any]) -> None:
    simulator.switch(**switches)
    copy = Copy(simulator, ids_per_query=50)
    assert equal(copy, simulator)
    for _ in range(3):
        simulator.mutate(120)
        gone = simulator.delete(7)
        simulator.add(5)
        simulator.restore(gone[:2])
        copy.poll()
        assert equal(copy, simulator)
    # A change on one page whose deletion came on the next is refused, and superseded by that deletion (sequence 9).
    assert {refusal.cause for refusal in copy.refusals} <= {"gone_or_unreadable"}
    assert all(int((refusal.key or "")[1:-1]) not in copy.table for refusal in copy.refusals)


@pytest.mark.parametrize("mode", ["error", "empty", "oldest"])
@pytest.mark.parametrize("days", [2.6, 10])
def test_sequence_04_an_expired_position_is_seen_in_every_mode(
    simulator: XledgerSimulator, mode: str, days: float
) -> None:
    simulator.mutate(3)
    copy = Copy(simulator)
    simulator.switch(expired_cursor=mode)
    simulator.mutate(3)
    simulator.advance(days=days)
    simulator.mutate(3)
    with pytest.raises(CursorExpiredError) as raised:
        copy.poll()
    assert raised.value.entities == tuple(entity.name for entity in EIGHT)


@pytest.mark.parametrize("kind", ["burst", "status", "html", "query_timeout", "drop", "malformed", "concurrency"])
def test_passing_faults_leave_no_trace(simulator: XledgerSimulator, kind: str) -> None:
    simulator.fault(kind, count=2, skip=1)
    assert equal(Copy(simulator), simulator)


@pytest.mark.parametrize("kind", ["repeat_cursor"])
def test_guards_stop_a_walk(simulator: XledgerSimulator, kind: str) -> None:
    simulator.fault(kind, count=None, root="timesheets")
    with pytest.raises(RemoteError):
        Copy(simulator)


def test_credits_are_the_engines_to_wait_for(simulator: XledgerSimulator) -> None:
    simulator.switch(credits=3)
    with pytest.raises(ThrottledError) as raised:
        Copy(simulator)
    assert 3_000 < raised.value.wait < 3_700


@pytest.mark.parametrize("state", ["expired", "unknown"])
def test_a_refused_token_is_an_auth_error(simulator: XledgerSimulator, state: str) -> None:
    simulator.set_token(simulator.token, state)
    with pytest.raises(AuthError):
        Copy(simulator)


def test_another_tenant_behind_the_same_url(simulator: XledgerSimulator) -> None:
    copy = Copy(simulator)
    simulator.swap_tenant(2)
    with pytest.raises(CursorExpiredError) as raised:
        copy.poll()
    assert raised.value.foreign


def test_unreadable_rows_are_refused_and_kept(simulator: XledgerSimulator) -> None:
    copy = Copy(simulator)
    key = next(iter(copy.table))
    simulator.unreadable([key])
    simulator.update(key, workingHours="1.00")
    copy.poll()
    assert [(each.cause, each.key) for each in copy.refusals] == [("gone_or_unreadable", f"[{key}]")]
    assert key in copy.table


def test_the_check_passes(simulator: XledgerSimulator) -> None:
    assert all(check.ok for check in source_of(simulator).check())
