"""Claims, leases, versions and budgets, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroad.errors import BusyError, LostClaimError, WaitingError
from postroad.records import Payload
from postroad.store.schema import runs as runs_table
from postroad.telemetry import Point
from postroad.tracking import Tracking
from postroad.tracking.alerts import Alert, Answer
from postroad.tracking.feeds import Landed
from postroad.tracking.holder import proven_dead, this_process
from postroad.tracking.runs import Failure

MINUTE = 60.0


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock for leases and budgets."""
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def tracking(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Tracking]:
    """The books on either database."""
    url = f"sqlite:///{tmp_path}/books.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    opened = Tracking(url, "test", clock=clock, sleep=lambda seconds: setattr(clock, "now", clock.now + seconds))
    yield opened
    opened.close()


def test_a_live_holder_keeps_its_feed(tracking: Tracking) -> None:
    """A second claim of the same feed is told who has it; another feed is free."""
    tracking.runs.claim("erp", "changes", {})
    with pytest.raises(BusyError, match=f"process {os.getpid()}"):
        tracking.runs.claim("erp", "changes", {})
    tracking.runs.claim("erp", "invoices", {})


def test_an_expired_claim_is_lost_and_named_its_successor(tracking: Tracking, clock: Clock) -> None:
    """A lease that ran out is taken over; the zombie's next write is refused, and its renewal too."""
    zombie = tracking.runs.claim("erp", "changes", {})
    clock.now += 2 * MINUTE
    assert tracking.runs.list()[0]["status"] == "lost"
    heir = tracking.runs.claim("erp", "changes", {})
    assert not tracking.runs.renew(zombie)
    with pytest.raises(LostClaimError), tracking.database.write(Point.REFRESH_DUE) as db:
        tracking.runs.fence(db, zombie)
    tracking.runs.end(zombie, "succeeded", {})
    tracking.runs.end(heir, "succeeded", {})
    by_id = {row["id"]: row for row in tracking.runs.list()}
    assert by_id[zombie.run]["status"] == "lost"
    assert by_id[zombie.run]["successor"] == heir.run
    assert by_id[heir.run]["status"] == "succeeded"


def test_failures_are_told_from_the_first_since_a_good_run(tracking: Tracking, clock: Clock) -> None:
    """Of each feed by itself; cancelled runs count for nothing; with a good run it is over."""

    def ended(feed: str, status: str, reason: str | None = None) -> datetime:
        clock.now += MINUTE
        claim = tracking.runs.claim("erp", feed, {})
        tracking.runs.end(claim, status, {}, reason)
        return datetime.fromtimestamp(clock.now, UTC)

    feeds = ["north", "south", "east"]
    assert tracking.runs.failures("erp", feeds) == {}
    good = ended("north", "partly_succeeded", "2 rejected")
    first = ended("north", "failed", "a web page")
    ended("south", "succeeded")
    ended("north", "cancelled", "a person")
    ended("north", "failed", "expired")
    never = ended("east", "failed", "no such file")
    assert tracking.runs.failures("erp", feeds) == {
        "north": Failure(first, "expired"),
        "east": Failure(never, "no such file"),
    }
    assert tracking.runs.failures("erp", ["south"]) == {}
    assert tracking.runs.failures("other", feeds) == {}
    assert tracking.runs.looked("erp", ["north", "east"]) == {"north": good}
    again = ended("north", "succeeded")
    assert list(tracking.runs.failures("erp", feeds)) == ["east"]
    assert tracking.runs.looked("erp", feeds)["north"] == again


def test_a_renewed_claim_outlives_its_lease(tracking: Tracking, clock: Clock) -> None:
    """The heart-beat keeps a long run."""
    claim = tracking.runs.claim("erp", "changes", {})
    for _ in range(8):
        clock.now += MINUTE / 4
        assert tracking.runs.renew(claim)
    with pytest.raises(BusyError):
        tracking.runs.claim("erp", "changes", {})


def test_a_dead_holder_is_taken_over_at_once(tracking: Tracking) -> None:
    """On the same host nobody waits for the lease of a process that is proven dead."""
    dead = subprocess.run([sys.executable, "-c", HOLDER], capture_output=True, text=True, check=True)
    holder = eval(dead.stdout)  # our own process printed its identity
    assert proven_dead(holder)
    assert not proven_dead(this_process())
    assert not proven_dead({**holder, "host": "elsewhere"})
    claim = tracking.runs.claim("erp", "changes", {})
    with tracking.database.write(Point.RUN_CLAIMED) as db:
        db.execute(runs_table.update().values(holder=holder))
    assert tracking.runs.list()[0]["status"] == "lost"
    assert tracking.runs.claim("erp", "changes", {}).run != claim.run


HOLDER = "from postroad.tracking.holder import this_process; print(this_process())"


def test_a_waiting_run_goes_on_when_its_time_has_come(tracking: Tracking, clock: Clock) -> None:
    """Nobody holds it meanwhile; the same run goes on under a new claim."""
    claim = tracking.runs.claim("erp", "changes", {})
    until = tracking.runs.wait(claim, 20 * MINUTE, {}, "no credits")
    assert until.timestamp() == clock.now + 20 * MINUTE
    with pytest.raises(WaitingError, match="no credits"):
        tracking.runs.claim("erp", "changes", {})
    clock.now += 20 * MINUTE
    again = tracking.runs.claim("erp", "changes", {})
    assert again.run == claim.run
    assert again.token != claim.token


def test_a_run_waits_since_it_last_landed_something(tracking: Tracking, clock: Clock) -> None:
    """Looking again and again whether an export is ready is one wait."""
    begun = clock.now
    for _ in range(3):
        tracking.runs.wait(tracking.runs.claim("erp", "changes", {}), MINUTE, {}, "no credits")
        clock.now += MINUTE
        (run,) = tracking.runs.list()
        assert run["wait_begun_at"] == begun * 1e6
    claim = tracking.runs.claim("erp", "changes", {})
    tracking.feeds.land(claim, Payload(b"{}", None), Landed("a", 2, "b"), 1, None)
    clock.now += MINUTE
    tracking.runs.wait(claim, MINUTE, {}, "no credits")
    (run,) = tracking.runs.list()
    assert run["wait_begun_at"] == clock.now * 1e6


def test_an_alert_is_noted_with_the_end_of_its_run_and_mailed_once(tracking: Tracking, clock: Clock) -> None:
    """On either database; a run that is not ours any more tells nothing."""
    url = tracking.database.url.render_as_string(hide_password=False)
    books = Tracking(url, "test", clock=clock, alerting=True)
    failed = Alert("run:erp.changes", "failed", "erp.changes failed")
    claim = books.runs.claim("erp", "changes", {})
    assert books.runs.end(claim, "failed", {}, "no answer", failed)
    assert not books.runs.end(claim, "failed", {}, "no answer", replace(failed, state="other"))
    assert books.alerts.left()
    for _ in range(2):
        books.alerts.gather(lambda: [Alert("parked:erp", "invoices", "parked")], "acme.example")
    (mail,) = books.alerts.unsent(["me@acme.example"])
    assert [alert["subject"] for alert in mail.alerts] == ["erp.changes failed", "parked"]
    books.alerts.answered(mail, {"me@acme.example": Answer("sent", "250 taken")}, ["me@acme.example"])
    assert books.alerts.unsent(["me@acme.example"]) == []
    assert not books.alerts.left()
    clock.now += 181 * 24 * 60 * MINUTE
    books.alerts.gather(lambda: [Alert("parked:erp", "", "decided")], "acme.example")
    (mail,) = books.alerts.unsent(["me@acme.example"])
    assert [alert["happened"] for alert in mail.alerts] == ["over"]
    books.close()


def test_a_stopped_run_loses_its_next_write(tracking: Tracking) -> None:
    """What a person ends is ended: the holder is refused and cannot call it succeeded."""
    claim = tracking.runs.claim("erp", "changes", {})
    with tracking.database.write(Point.RUN_ENDED) as db:
        tracking.runs.stop(db, "erp", "changes", "by hand")
    tracking.runs.end(claim, "succeeded", {})
    assert tracking.runs.list()[0]["status"] == "cancelled"
    assert not tracking.runs.renew(claim)


def test_old_runs_are_forgotten(tracking: Tracking, clock: Clock) -> None:
    """Succeeded ones after 30 days, others after 180."""
    for status in ("succeeded", "failed"):
        tracking.runs.end(tracking.runs.claim("erp", "changes", {}), status, {})
    for days, left in ((29, ["failed", "succeeded"]), (2, ["failed"]), (150, [])):
        clock.now += days * 86_400
        claim = tracking.runs.claim("erp", "clean-up", {})
        assert sorted(run["status"] for run in tracking.runs.list() if run["feed"] == "changes") == left
        tracking.runs.end(claim, "cancelled", {})


def test_a_dataset_has_one_writer(tracking: Tracking, clock: Clock) -> None:
    """A second writer waits its turn; a lease that ran out is replaced and its first holder refused."""
    first = tracking.leases.take("erp.invoices")
    with pytest.raises(BusyError):
        tracking.leases.take("erp.invoices")
    began = clock.now
    with tracking.leases.hold("erp.invoices"):
        assert clock.now >= began + MINUTE
        with pytest.raises(LostClaimError):
            tracking.leases.check(first)
        assert not tracking.leases.renew(first)
    tracking.leases.take("erp.invoices")


def test_versions_never_go_back(tracking: Tracking, clock: Clock) -> None:
    """Not when the clock is set back, not below what the lake holds."""
    one = tracking.leases.version(0)
    assert one == int(clock.now * 1e6)
    clock.now -= 86_400
    two = tracking.leases.version(0)
    three = tracking.leases.version(two + 1000)
    assert two == one + 1
    assert three == two + 1001


def test_a_budget_allows_so_many_calls_in_any_window(tracking: Tracking, clock: Clock) -> None:
    """However the calls fall, no window of five seconds holds more than three."""
    made = []
    for pause in (0, 0, 0, 0, 1, 7, 0, 0.5, 0, 0, 0, 3):
        clock.now += pause
        clock.now += tracking.budget.take("tenant", 5.0, 3, 60.0)[0]
        made.append(clock.now)
    for start in made:
        assert sum(start <= at < start + 4.999 for at in made) <= 3
    assert tracking.budget.take("another", 5.0, 3, 60.0)[0] == 0


def test_calls_that_wait_at_the_same_time_keep_the_budget_too(tracking: Tracking) -> None:
    """Several processes may have booked more than one window ahead."""
    waits = [tracking.budget.take("tenant", 5.0, 2, 60.0)[0] for _ in range(8)]
    assert waits == [0.0, 0.0, 5.0, 5.0, 10.0, 10.0, 15.0, 15.0]


def test_calls_are_counted_by_month(tracking: Tracking, clock: Clock) -> None:
    """For the allowance of a price list."""
    clock.now = datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC).timestamp()
    assert [tracking.budget.take("tenant", 5.0, 2, 60.0)[1] for _ in range(3)] == [1, 2, 1]  # the third waits till then
    assert tracking.budget.take("tenant", 5.0, 2, 1.0) == (5.0, 0)  # too long: not taken, not counted
    assert tracking.budget.counted() == {"tenant": {"2026-11": 2, "2026-12": 1}}
