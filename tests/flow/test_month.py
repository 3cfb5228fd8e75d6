"""What a month of hourly runs of everything costs: calls are money (weakness 23; fact sheet 1.3)."""

from __future__ import annotations

from pathlib import Path

from postroad.connectors.xledger.entities import EIGHT
from postroad.records import Feed, Want
from postroad.sdk.connector import Source
from tests.flow.office import Office

DAYS = 31
GROUPS = {"columns": {"dbId": "int", "code": "text", "description": "text"}, "every": "1d"}


def is_at_work(hour: int) -> bool:
    """Whether people change things: on weekdays from 8 to 17, but for four days off in the third week."""
    day, clock = divmod(hour, 24)
    return day % 7 < 5 and not 14 <= day < 18 and 8 <= clock < 17


def a_month_of_polls(office: Office, source: Source, feed: Feed) -> list[int]:
    """The calls of every hour of a month in which a run finds no walk due: it asks for the changes, and lands them."""
    (first,) = source.fetch(feed, Want(None))
    cursor, calls = first.cursor, []
    for hour in range(DAYS * 24):
        office.wait(hours=1)
        if is_at_work(hour):
            office.sim.mutate(3)
            office.sim.mutate(1, entity=EIGHT[hour % 8].name)
        before = len(office.sim.requests)
        payloads = list(source.fetch(feed, Want(cursor)))
        cursor = payloads[-1].cursor
        assert any(payload.body is not None for payload in payloads) == is_at_work(hour)
        calls.append(len(office.sim.requests) - before)
    return calls


def test_a_month_of_hourly_runs_stays_under_a_thousand_calls(tmp_path: Path) -> None:
    """All eight, an entity without changes read daily, and timesheets reloaded daily from the first of last month.

    Whole runs are made for what they add: the first load, and a day's reload and refresh. The hours of the month are
    asked of Xledger itself, over the socket, by what a run calls: a whole run takes a second, and there are 744.
    """
    with Office(tmp_path, timesheets=40, page_size=10_000) as office:
        office.settings["entities"] = {"employeeGroups": GROUPS}
        office.entities = [*(each.name for each in EIGHT[1:]), "employeeGroups"]
        reload = {"since": "last_month", "every": "1d"}
        office.rules = [{"from": "xledger", "entities": ["timesheets"], "max_deletes": "100%", "reload": reload}]
        costs = []
        for hours in (0, 1, 24, 1):
            office.wait(hours=hours)
            office.sim.mutate(2)
            before = len(office.sim.requests)
            assert office.run().exit_code == 0
            costs.append(len(office.sim.requests) - before)
        first, _, daily, hourly = costs
        assert hourly == 1
        with office.open() as app, app.bench("xledger") as bench:
            calls = a_month_of_polls(office, bench.source, bench.feed("changes"))
        assert {calls[hour] for hour in range(DAYS * 24) if not is_at_work(hour)} == {1}, "a quiet hour is one document"
        assert sum(calls) <= DAYS * 24 + 8 * 4, "once more where an entity's first change comes after a long weekend"
        assert first + sum(calls) + DAYS * (daily - hourly) < 1_000
