"""Small entities of Finance & Operations over OData alone: no package, no project, and deletions are seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postroad.telemetry import Point
from tests.flow.doomed import Trap
from tests.flow.finops_world import FinopsWorld, assert_law

ENTITIES = ("VendorsV2", "CustomersV3", "Employees")
OF_VENDORS = "VendorsV2"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FinopsWorld]:
    """Entities with a field of every type, in two companies; pages of five rows."""
    settings = {"odata": (OF_VENDORS,), "odata_hours": 0}
    with FinopsWorld(tmp_path, entities=(OF_VENDORS,), settings=settings, page_limit=5) as world:
        yield world


def test_every_type_of_field(tmp_path: Path) -> None:
    with FinopsWorld(tmp_path, entities=ENTITIES, settings={"odata": ENTITIES}) as world:
        world.sync()
        assert_law(world)


def test_rows_changes_and_deletions_without_an_export(world: FinopsWorld) -> None:
    world.sync()
    assert_law(world)
    world.sim.mutate(3)
    world.sim.add(2)
    gone = [*world.sim.delete(1, company="usmf"), *world.sim.delete(1, company="demf")]
    before = len(world.history(OF_VENDORS))
    world.sync()
    assert_law(world)
    assert [row["_op"] for row in world.history(OF_VENDORS)[before:]].count("delete") == len(gone)
    assert world.exports() == []


def test_rows_are_counted_at_the_source(world: FinopsWorld) -> None:
    """One call for each company; what changed there since the last run is seen."""
    world.sync()
    calls = len(world.sim.log)
    found = world.do(lambda app: app.datasets.count(f"finops.{OF_VENDORS}"))
    assert (found.equal, found.rows) == (True, len(world.source(OF_VENDORS)))
    assert [each["path"] for each in world.sim.log[calls:] if "oauth2" not in each["path"]] == ["/data/VendorsV2"] * 2
    world.sim.add(2)
    found = world.do(lambda app: app.datasets.count(f"finops.{OF_VENDORS}"))
    assert (found.equal, found.there - found.rows) == (False, 2)
    assert "not equal; `postroad run" in found.sentence


def test_a_record_is_traced_by_its_company_and_number(world: FinopsWorld) -> None:
    world.sync()
    for company, number in [*world.table(OF_VENDORS)][:3]:
        found = _traced(world, f"{company}/{number}")
        assert found.values["VendorAccountNumber"] == number
        assert found.versions[0].origin.feed == f"finops.{OF_VENDORS}.{company}"
        assert found.versions[0].origin.path is not None


def _traced(world: FinopsWorld, key: str) -> Any:
    return world.do(lambda app: app.tracing.trace(f"finops.{OF_VENDORS}", key))


def test_beside_packages(tmp_path: Path) -> None:
    """One entity over OData, the others in packages: each is whole."""
    with FinopsWorld(tmp_path, settings={"odata": ("MainAccounts",), "odata_hours": 8}) as world:
        world.sync_wait()
        world.sim.mutate(2)
        world.sim.delete(1, "MainAccounts")
        world.now += 9 * 3600
        world.sync_wait()
        assert_law(world)
        calls = len(world.sim.log)
        world.sync_wait()
        assert not [each for each in world.sim.log[calls:] if each["path"] == "/data/MainAccounts"]


@pytest.mark.parametrize("nth", [2, 4])
def test_a_kill_costs_one_page(world: FinopsWorld, nth: int) -> None:
    world.sync()
    world.sim.mutate(2)
    world.sim.delete(1, company="usmf")
    assert world.sync(Trap(Point.PAYLOAD_ROW, nth)) is None
    world.sync()
    assert_law(world)


def test_a_set_that_changes_between_two_pages_is_read_again(world: FinopsWorld) -> None:
    """Links by count: a row that goes shifts the others, and one that lives is on no page."""
    world.sync()
    world.sim.switch(next_link="skip")
    early = sorted(key for key in world.table(OF_VENDORS) if key[0] == "usmf")[1]
    world.sim.fault("script", root=OF_VENDORS, call="delete", arguments={"which": [list(early)]}, when="after")
    before = len(world.history(OF_VENDORS))
    world.sync()
    assert [row["_op"] for row in world.history(OF_VENDORS)[before:]] == ["delete"]
    assert any("changed between two pages" in said for said in world.said)
    assert_law(world)


def test_pages_that_go_round_in_circles_close_nothing(world: FinopsWorld) -> None:
    world.sync()
    before = world.table(OF_VENDORS)
    world.sim.fault("repeat_page", root=OF_VENDORS, skip=1)
    report = world.sync()
    assert report is not None
    assert any("go round in circles" in (each.reason or "") for each in report.outcomes)
    assert world.table(OF_VENDORS) == before


def test_a_value_that_cannot_be_read_costs_its_row_alone(world: FinopsWorld) -> None:
    world.sync()
    before = world.table(OF_VENDORS)
    world.sim.mutate(4)
    world.sim.fault("bad_value", root=OF_VENDORS, field="CreditLimit", value="much", row=2)
    world.sync()
    causes = [(each["cause"], each["key"]) for each in world.rejected()]
    assert len(causes) == 1
    assert causes[0][0] == "bad_decimal"
    assert world.table(OF_VENDORS).keys() == before.keys()
    world.sync()
    assert world.rejected() == []
    assert_law(world)


@pytest.mark.parametrize("point", [Point.CHANGES_COMMIT, Point.CLOSE_DONE])
def test_a_kill_behind_a_close_is_repaired_before_the_next_look_is_due(tmp_path: Path, point: Point) -> None:
    """The table shows what `changes` holds after the next run, which asks for nothing."""
    settings = {"odata": ("MainAccounts",), "odata_hours": 8}
    with FinopsWorld(tmp_path, entities=("MainAccounts",), settings=settings) as world:
        world.sync()
        world.sim.mutate(2, "MainAccounts")
        world.now += 9 * 3600
        assert world.sync(Trap(point)) is None
        calls = len(world.sim.log)
        report = world.sync()
        assert report is not None
        assert {outcome.status for outcome in report.outcomes} == {"succeeded"}
        assert_law(world)
        assert not [each for each in world.sim.log[calls:] if each["path"] == "/data/MainAccounts"]
        assert world.sync().outcomes == []  # type: ignore[union-attr]
