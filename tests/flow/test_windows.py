"""A part of an entity, from a day on, read anew and compared (sequence 12)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from postroad.errors import ConfigError
from tests.flow.office import Office

SEPTEMBER = date(2026, 9, 1)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Sixty timesheets, forty of them of this month, synced once."""
    with Office(tmp_path) as office:
        for number, key in enumerate(sorted(office.sim.rows())):
            day = f"2026-09-{number % 20 + 1:02}" if number < 40 else f"2026-0{number % 7 + 1}-15"
            office.sim.update(key, delta=False, assignmentDate=day)
        assert office.run().exit_code == 0
        yield office


def keys(office: Office, *, new: bool) -> list[int]:
    """The timesheets of this month, or those before it."""
    return sorted(key for key, row in office.rows("timesheets").items() if (row["assignmentDate"] >= SEPTEMBER) == new)


def unseen(office: Office, key: int, entity: str = "timesheets", **fields: Any) -> None:
    """Change a row without a delta, as approvals of unapproved rows may be (fact sheet 2.2)."""
    office.sim.update(key, delta=False, entity=entity, **fields)


def foreign_company(office: Office) -> int:
    """A company that the token does not reach: what moves there is gone for us, and no delta tells it."""
    everybody, ours = (set(office.sim.rows(owner_set=owners, entity="entities")) for owners in ("ALL", "MINE"))
    return min(everybody - ours)


def test_run_since_reads_the_part_alone(office: Office) -> None:
    """Changed, gone, moved out and new rows of the part are right; what lies before it is not read; nobody told."""
    changed, moved, gone, *_ = keys(office, new=True)
    before = keys(office, new=False)[0]
    unseen(office, changed, workingHours="1.25")
    unseen(office, moved, assignmentDate="2026-01-05")
    unseen(office, before, workingHours="2.50")
    unseen(office, gone, owner=foreign_company(office))
    history = len(office.history("timesheets"))
    office.sim.requests.clear()
    office.settings["ids_per_query"] = 1
    assert office.run(select="xledger.timesheets", since="2026-09-01").exit_code == 0
    assert sorted(office.history("timesheets")[history:]) == sorted(
        [("upsert", changed), ("upsert", moved), ("delete", gone)]
    )
    looked_up = [each["variables"] for each in office.sim.requests if "timesheets_ids" in (each["variables"] or {})]
    assert sorted(each["timesheets_ids"] for each in looked_up) == sorted([[str(moved)], [str(gone)]])
    assert office.status("timesheets").state == "in step"
    assert office.run(full_refresh=True).exit_code == 0
    assert office.history("timesheets")[history + 3 :] == [("upsert", before)]
    office.assert_equal("timesheets")


def test_a_flow_reloads_from_the_first_of_last_month(office: Office) -> None:
    """Once a day: two calls more, a page and the poll after it, and nothing else."""
    office.flow = {"reload": {"since": "last_month", "every": "1d"}}
    costs = []
    for _ in range(26):
        calls = len(office.sim.requests)
        unseen(office, keys(office, new=True)[3], workingHours="3.75")
        assert office.run().exit_code == 0
        costs.append(len(office.sim.requests) - calls)
        office.wait(hours=1)
    assert costs[0] == costs[24] == 3
    assert set(costs[1:24]) == {1}
    office.assert_equal("timesheets")


def test_a_part_by_time_of_change(office: Office) -> None:
    """Projects have no day: their part is what changed since, by Xledger's local times."""
    office.entities = ["projects"]
    office.run()
    key, other, *_ = sorted(office.rows("projects"))
    unseen(office, key, "projects", description="renamed", modifiedAt="2026-09-10T12:00:00")
    unseen(office, other, "projects", description="unread", modifiedAt="2026-08-31T12:00:00")
    assert office.run(select="xledger.projects", since="2026-09-01").exit_code == 0
    texts = [row["description"] for row in office.rows("projects").values()]
    assert "renamed" in texts
    assert "unread" not in texts


def test_what_has_no_window_says_so(office: Office) -> None:
    """Transactions tell neither a day nor a time of change that Xledger can filter by (fact sheet 1.5)."""
    office.entities = ["timesheets", "transactions"]
    with pytest.raises(ConfigError, match="transactions cannot be reloaded"):
        office.run(select="xledger.transactions", since="2026-09-01")


def test_an_added_entity_without_changes_has_a_window_too(office: Office) -> None:
    """Between its refreshes a part is read anew, and rows that left it are asked for by key."""
    columns = {"dbId": "int", "dateFrom": "date", "rate": "number"}
    office.settings["entities"] = {"exchangeRates": {"columns": columns, "every": "7d", "window": "dateFrom"}}
    office.entities = ["exchangeRates"]
    assert office.run().exit_code == 0
    days = {key: row["dateFrom"] for key, row in office.rows("exchangeRates").items()}
    newest = max(days.values())
    changed = next(key for key, day in days.items() if day == newest)
    unread = next(key for key, day in days.items() if day < newest)
    unseen(office, changed, "exchangeRates", rate=9.5)
    unseen(office, unread, "exchangeRates", rate=8.5)
    history = len(office.history("exchangeRates"))
    assert office.run(since=newest.isoformat()).exit_code == 0
    assert office.history("exchangeRates")[history:] == [("upsert", changed)]
    office.wait(hours=24 * 8)
    assert office.run().exit_code == 0
    office.assert_equal("exchangeRates")


def test_a_walk_of_a_part_that_dies_half_way_goes_on(office: Office) -> None:
    """Its day stays that with which it began, whatever the calendar says by then."""
    office.settings["page_size"] = 15
    first, last = keys(office, new=True)[0], keys(office, new=True)[-1]
    unseen(office, first, workingHours="1.25")
    unseen(office, last, workingHours="1.75")
    office.sim.fault("status", count=None, skip=2, root="timesheets", status=500)
    assert office.run(since="2026-09-01").exit_code in (1, 3)
    office.sim.clear_faults()
    office.wait(hours=24 * 31)
    office.sim.requests.clear()
    office.run()
    office.assert_equal("timesheets")
