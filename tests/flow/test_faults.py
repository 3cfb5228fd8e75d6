"""Every fault and switch of the simulators: a run under it shows what the source shows, or says what it could not do.

The cases are asked of the simulators' own lists, so that a new fault without a case fails a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from postroad.app.runs import Report
from postroad.connectors.excel_link.simulator import faults as link_faults
from postroad.connectors.excel_link.simulator import hostile
from postroad.connectors.excel_link.simulator.server import Switches as LinkSwitches
from postroad.connectors.xledger.simulator import outages
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.records import key_text
from tests.flow.harness import World
from tests.flow.law import assert_law, settle, table_rows
from tests.flow.shown import Shown
from tests.flow.stages import Cast, Stage

Options = Mapping[str, Any]

FAULTS: Mapping[str, list[Options]] = {
    "field_error": [{}, {"message": "No access.", "code": "FORBIDDEN"}],
    "null_edges": [{}],
    "null_nodes": [{}],
    "null_current": [{}],
    "repeat_cursor": [{}],
    "expired_cursor": [{"mode": "error"}, {"mode": "oldest"}, {"mode": "empty"}],
    "bad_value": [{"field": "workingHours", "value": "x"}, {"field": "dbId", "value": "x"},
                  {"field": "createdAt", "value": 5}],
    "burst": [{}],
    "credits": [{}, {"resetAt": "tomorrow"}],
    "concurrency": [{}],
    "status": [{}, {"status": 500}, {"status": 429, "retry_after": 3}, {"status": 404}, {"status": 401}],
    "html": [{}],
    "query_timeout": [{}],
    "token_echo": [{}],
    "error": [{}, {"message": "Something else.", "code": "NEW_CODE"}],
    "latency": [{"seconds": 0.01}],
    "timeout": [{"seconds": 0.01}],
    "drop": [{}],
    "malformed": [{}],
    "script": [{"call": "delete", "arguments": {"which": 1}},
               {"call": "mutate", "arguments": {"n": 3}, "when": "after"}],
}  # fmt: skip
UNKEYED = ({"field": "dbId", "value": "x"}, "null_nodes")
"""Rows that nobody can tell are rejected and named; a full refresh brings them."""

SWITCHES: Mapping[str, list[Options]] = {
    "owner_set_default": [{"owner_set_default": each} for each in ("UPPER", "ALL")],
    "object_status_default": [{"object_status_default": each} for each in ("ALL", "CLOSED")],
    "page_limit": [{"page_limit": 10}],
    "page_limit_mode": [{"page_limit_mode": "clamp", "page_limit": 10}],
    "page_default": [{"page_default": 5}],
    "dbid_in_limit": [{"dbid_in_limit": 2, "current_available": False}],
    "error_status": [{"error_status": 400, "burst": 2}, {"error_status": 500, "page_limit": 10}],
    "auth_status": [{"auth_status": 401}],
    "partial_data": [{"partial_data": True}],
    "expired_cursor": [{"expired_cursor": each} for each in ("error", "oldest", "empty")],
    "expired_when": [{"expired_when": "gap"}],
    "retention_hours": [{"retention_hours": 60.0}],
    "renames_make_delta": [{"renames_make_delta": False}],
    "current_available": [{"current_available": False}],
    "vanished_fields": [{"vanished_fields": ("Timesheet.hourlyRevenueCurrency", "Project.shortInfo")}],
    "null_reference": [{"null_reference": each} for each in ("zero", "mixed")],
    "burst": [{"burst": 1}],
    "burst_seconds": [{"burst_seconds": 60.0, "burst": 2}],
    "concurrency": [{"concurrency": 1}],
    "credits": [{"credits": 3}],
    "credits_seconds": [{"credits_seconds": 30.0, "credits": 2}],
    "reset_format": [{"reset_format": each, "credits": 3} for each in ("utc", "local", "epoch")],
    "latency_ms": [{"latency_ms": 5.0}],
    "gzip": [{"gzip": True}],
}

LINK_FAULTS: Mapping[str, list[Options]] = {
    "html": [{}, {"status": 503}],
    "expired": [{}, {"status": 410}],
    "status": [{}, {"status": 503, "retry_after": 2}, {"status": 429, "retry_after": 7200}, {"status": 401},
               {"status": 418}],
    "slow": [{"seconds": 0.01}],
    "truncated": [{}, {"unnoticed": True}],
    "malformed": [{}],
    "hostile": [{"file": each} for each in hostile.KINDS],
    "content_type": [{}, {"value": "text/html"}],
    "empty": [{}],
    "redirect": [{}, {"to": "https://elsewhere.example/x"}, {"to": "::"}],
}  # fmt: skip
LINK_SWITCHES: Mapping[str, list[Options]] = {
    "etag": [{"etag": False}],
    "last_modified": [{"last_modified": True}, {"last_modified": True, "etag": False}],
    "stamped": [{"stamped": False}, {"stamped": False, "etag": False}],
    "gone_status": [{"gone_status": 410}],
}


RUNS: Sequence[tuple[int | None, bool]] = ((1, False), (None, True))
"""A fault that strikes once while changes are read, and one that always does while all is read anew."""


def cases(found: Mapping[str, list[Options]]) -> list[Any]:
    """One parameter for each option of each kind; all but the first of a kind belong to `make soak`."""
    return [
        pytest.param(
            kind,
            each,
            id="-".join([kind, *(str(value) for value in each.values())]),
            marks=[pytest.mark.soak] if number else [],
        )
        for kind, several in found.items()
        for number, each in enumerate(several)
    ]


def test_every_fault_and_switch_has_a_case() -> None:
    assert set(FAULTS) == set(outages.KINDS)
    assert set(SWITCHES) == {each.name for each in fields(Switches)}
    assert set(LINK_FAULTS) == set(link_faults.KINDS)
    assert set(LINK_SWITCHES) == {each.name for each in fields(LinkSwitches)}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two entities that refer to each other, loaded."""
    stage = Stage(Cast(("timesheets", "projects")), tmp_path_factory.mktemp("company"))
    yield stage
    stage.servers.stop()


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two links into one dataset, loaded."""
    stage = Stage(Cast(tables={"part_time_employees": ("north", "south")}), tmp_path_factory.mktemp("linked"))
    yield stage
    stage.servers.stop()


@pytest.mark.parametrize(("kind", "options"), cases(FAULTS))
def test_a_fault_of_xledger_ends_well_or_named(kind: str, options: Options, company: Stage, tmp_path: Path) -> None:
    """Once while changes are read; then at every request while all is read anew."""
    with company.loaded(tmp_path) as world:
        for count, full_refresh in RUNS:
            _change(world)
            world.sim.fault(kind, count=count, **options)
            report = world.sync(full_refresh=full_refresh)
            if kind != "script":  # what changes after a run looked is nothing that it could tell
                _honest(world, report)
            world.sim.clear_faults()
            world.wait(seconds=61)
        settle(world, full_refresh=kind in UNKEYED or options in UNKEYED)
        assert_law(world)


@pytest.mark.parametrize(("name", "values"), cases(SWITCHES))
def test_a_switch_of_xledger_ends_well_or_named(name: str, values: Options, company: Stage, tmp_path: Path) -> None:
    """It behaved otherwise when the lake was loaded; somebody changes something before each run, and days pass."""
    with company.loaded(tmp_path) as world:
        world.sim.switch(**values)
        for hours, full_refresh in ((1, True), (80, False)):
            world.wait(hours=hours)
            _change(world)
            _honest(world, world.sync(full_refresh=full_refresh))
        world.sim.switch(page_limit=10_000, dbid_in_limit=None, vanished_fields=(), burst=None)
        if "vanished_fields" in values:
            world.wait(hours=25)  # what was lacking is looked for again after a day, if there is any change
            _change(world)
        settle(world)
        assert_law(world)


@pytest.mark.parametrize(("kind", "options"), cases(LINK_FAULTS))
def test_a_fault_of_a_link_ends_well_or_named(kind: str, options: Options, linked: Stage, tmp_path: Path) -> None:
    """Once at one of two links that changed; then at every request while all is read anew."""
    with linked.loaded(tmp_path) as world:
        for count, full_refresh in RUNS:
            _rework(world)
            world.links.fault(kind, count=count, **options)
            _honest(world, world.sync(full_refresh=full_refresh))
            world.links.clear_faults()
            world.wait(seconds=61)
        settle(world)
        assert_law(world)


@pytest.mark.parametrize(("name", "values"), cases(LINK_SWITCHES))
def test_a_switch_of_the_links_ends_well(name: str, values: Options, linked: Stage, tmp_path: Path) -> None:
    """Whatever tells that a file changed, every change arrives; a dead link is named."""
    with linked.loaded(tmp_path) as world:
        world.links.switch(**values)
        for _ in range(2):
            _rework(world)
            world.wait(hours=1)
            _honest(world, world.sync())
        settle(world)
        assert_law(world)
        seed = world.links._seed
        world.links.refresh()  # every link is dead now
        report = world.sync()
        assert report is not None
        assert {outcome.status for outcome in report.outcomes} == {"failed"}
        assert all(str(world.links.switches.gone_status) in str(outcome.reason) for outcome in report.outcomes)
        world.links.refresh(seed)


def _change(world: World) -> None:
    world.sim.mutate(3)
    world.sim.delete(1)
    world.sim.add(2)
    world.sim.mutate(2, entity="projects")
    world.sim.add(1, entity="projects")


def _rework(world: World) -> None:
    for link in ("north", "south"):
        world.links.change(f"part_time_employees.{link}", 2)
        world.links.add(f"part_time_employees.{link}", 1)
        world.links.delete(f"part_time_employees.{link}", 1)


def _honest(world: World, report: Report | None) -> None:
    """Each dataset shows what its source shows, or the run, the rejections or the status say why it does not."""
    assert report is not None
    for outcome in report.outcomes:
        assert outcome.status == "succeeded" or outcome.reason, outcome
        assert world.sim.token not in str(outcome.reason)
    rejected = world.rejected()
    statuses = {status.dataset: status for status in world.statuses()}
    for shown in world.datasets:
        status = statuses[shown.name]
        refused = [each for each in rejected if each.get("entity") == shown.entity]
        exempt = {each.get("key") for each in refused}
        if _differs(world, shown, exempt, set(status.absent)):
            said = _said(report, shown) or status.state != "in step" or None in exempt
            assert said, f"{shown.name} differs, and nobody says so: {report.outcomes}; {status}"


def _said(report: Report, shown: Shown) -> bool:
    """Whether a run of this dataset told that something is missing."""
    unwell = [each for each in report.outcomes if each.connection == shown.connection and each.status != "succeeded"]
    return any(each.feed == "changes" or each.feed.partition(".")[0] == shown.entity for each in unwell)


def _differs(world: World, shown: Shown, exempt: set[str | None], absent: set[str]) -> bool:
    held = {shown.key_of(row): row for row in table_rows(world, shown)}
    source = shown.source()
    if {key_text(key) for key in held.keys() ^ source.keys()} - exempt:
        return True
    return any(
        wanted is None or any(held[key][name] != value for name, value in wanted.items() if name not in absent)
        for key, wanted in source.items()
        if key_text(key) not in exempt
    )
