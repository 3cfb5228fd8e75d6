"""Fields that Xledger does not know any more (sequence 16): left out with an alert, and nothing is overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.connectors.xledger.entities import EIGHT
from tests.flow.office import Office

GONE = ["Timesheet.workingHours", "Project.yourReference", "TimesheetDelta.mutatedAt"]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Two entities, synced once."""
    with Office(tmp_path) as office:
        office.entities = ["timesheets", "projects"]
        assert office.run().exit_code == 0
        yield office


@pytest.mark.parametrize("introspection", [True, False])
def test_landing_goes_on_without_a_vanished_field(office: Office, introspection: bool) -> None:
    """Changes and a full refresh; old values stay, new rows have none, and a person is told, once."""
    before = office.rows("timesheets")
    office.sim.switch(vanished_fields=GONE)
    if not introspection:
        office.sim.fault("error", count=None, root="__schema", message="Introspection is off.")
    changed = office.sim.mutate(5)
    added = office.sim.add(2)
    gone = office.sim.delete(1)
    assert office.run().exit_code == 0
    asked = [each["faults"] for each in office.sim.requests if "__schema" in each["roots"]]
    assert asked == ([[]] if introspection else [["error"]] * len(asked))
    assert asked
    alerts = [said for said in office.said if "not sent any more" in said]
    assert any("xledger.timesheets" in said and "workingHours" in said for said in alerts)
    assert office.status("timesheets").absent == ["workingHours"]
    held = office.rows("timesheets")
    assert held.keys() == (before.keys() | {*added}) - {*gone}
    assert {key: held[key]["workingHours"] for key in changed if key not in gone} == {
        key: before[key]["workingHours"] for key in changed if key not in gone
    }
    assert [held[key]["workingHours"] for key in added] == [None, None]
    history = len(office.history("timesheets"))
    assert office.run(full_refresh=True).exit_code == 0
    assert len(office.history("timesheets")) == history, "nothing that is not sent looks like a change"
    office.assert_equal("projects", except_for=["yourReference"])


def test_finding_out_costs_calls_once(office: Office) -> None:
    """Afterwards a quiet hour is one document again; after a day it is tried whether the field is back."""
    office.sim.switch(vanished_fields=GONE)
    office.sim.mutate(1)
    office.run()
    costs = []
    for hours in (1, 5, 12, 5, 2, 1, 12):
        office.wait(hours=hours)
        calls = len(office.sim.requests)
        office.run()
        costs.append(len(office.sim.requests) - calls)
    assert costs == [1, 1, 1, 1, 2, 1, 1]


def test_a_field_that_comes_back_is_filled(office: Office) -> None:
    """By itself, a day later at the latest: a full refresh brings what changed meanwhile."""
    office.sim.switch(vanished_fields=GONE)
    office.sim.mutate(5)
    office.sim.add(2)
    office.run()
    office.sim.switch(vanished_fields=[])
    office.wait(hours=25)
    office.sim.mutate(1)
    office.run()
    office.run()
    assert any("sent again: workingHours" in said for said in office.said)
    for name in office.entities:
        office.assert_equal(name)
    assert office.status("timesheets").absent == []


@pytest.mark.parametrize("hours", [25, 100])
def test_a_field_that_comes_back_to_a_quiet_entity(office: Office, hours: int) -> None:
    """Nothing changes any more, and yet what was not sent is filled."""
    office.sim.switch(vanished_fields=GONE)
    for name in office.entities:
        office.sim.mutate(3, entity=name)
        office.sim.add(2, entity=name)
    office.run()
    office.sim.switch(vanished_fields=[])
    for _ in range(25, hours, 25):
        office.wait(hours=25)
        office.run()
    office.wait(hours=25)
    assert office.run().exit_code == 0
    for name in office.entities:
        office.assert_equal(name)
        assert office.status(name).state == "in step"
    calls = len(office.sim.requests)
    office.wait(hours=1)
    office.run()
    assert len(office.sim.requests) == calls + 1


def test_a_field_that_vanishes_during_a_walk(office: Office) -> None:
    """Pages with and without it in one snapshot: it counts as absent in all, until the next refresh."""
    office.settings["page_size"] = 10
    for key in list(office.sim.rows())[:50]:
        office.sim.update(key, delta=False, hourlyRevenueCurrency="12.50")
    office.sim.fault("script", skip=3, root="timesheets", call="switches",
                     arguments={"vanished_fields": ["Timesheet.workingHours"]})  # fmt: skip
    assert office.run(full_refresh=True).exit_code == 0
    office.assert_equal("timesheets")
    office.sim.mutate(3)
    assert office.run().exit_code == 0
    office.assert_equal("timesheets", except_for=["workingHours"])


def test_a_vanished_key_or_query_fails_its_entity_alone(office: Office) -> None:
    """Without dbId, or without the feed of changes, nothing can be kept in step; the others go on."""
    office.sim.switch(vanished_fields=["Timesheet.dbId"])
    changed = office.sim.mutate(1, entity="projects")
    report = office.run()
    assert report.exit_code == 3
    assert "dbId" in str(report.outcomes[0].reason)
    assert office.history("projects")[-1] == ("upsert", changed[0])
    office.sim.switch(vanished_fields=[])
    office.sim.mutate(2)
    office.wait(hours=25)
    assert office.run().exit_code == 0
    for name in office.entities:
        office.assert_equal(name)


def test_a_reference_that_vanishes_is_found_in_every_entity(office: Office) -> None:
    """A whole object of one entity, and a field of a type that many share: one look at the schema tells all."""
    office.entities = [each.name for each in EIGHT]
    assert office.run().exit_code == 0
    before = office.rows("timesheets")
    office.sim.switch(vanished_fields=["Timesheet.project", "ObjectValue.code"])
    changed = office.sim.mutate(2)
    for name in office.entities[1:]:
        office.sim.mutate(1, entity=name)
    calls = len(office.sim.requests)
    assert office.run().exit_code == 0
    assert len(office.sim.requests) == calls + 3
    absent = {name: office.status(name).absent for name in office.entities}
    assert [column for column in absent["timesheets"] if column.startswith("project")] == [
        "project_code",
        "project_dbId",
        "project_description",
    ]
    assert all("glObject1_code" in str(absent[name]) for name in ("projects", "employees", "transactions"))
    assert absent["customers"] == []
    held = office.rows("timesheets")
    assert [held[key]["project_code"] for key in changed] == [before[key]["project_code"] for key in changed]
    for name in office.entities:
        fields = [each.name for each in office.declaration(name).fields if each.column in absent[name]]
        office.assert_equal(name, except_for=fields)
