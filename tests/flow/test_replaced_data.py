"""A demo that is refreshed, and keys that rotate: a full refresh or a clear pause, never a mixture (design section 3).

The data is replaced under the same endpoint; a seed of its own is another company, which `tenant_check` off hides. What
a foreign cursor does then nobody knows, so every mode of the simulator has to end well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.office import Office

SAME, OTHER = 3, 9
MODES = ("error", "oldest", "empty")
NEW = "bmV3LXRva2VuLW9mLXRoZS1kZW1v"
GROUPS = {"columns": {"dbId": "int", "code": "text", "description": "text"}, "every": "1d"}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Two entities with changes and one without, synced, with changes since."""
    with Office(tmp_path, page_size=25) as office:
        office.settings["tenant_check"] = False
        office.settings["entities"] = {"employeeGroups": GROUPS}
        office.entities = ["timesheets", "projects", "employeeGroups"]
        assert office.run().exit_code == 0
        office.sim.mutate(3)
        office.sim.mutate(1, entity="projects")
        assert office.run().exit_code == 0
        yield office


def refreshes(office: Office) -> int:
    """How many full refreshes a person was told of."""
    return len([said for said in office.said if "full refresh:" in said])


def strip(rows: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Rows without what says when they came."""
    return {key: {name: value for name, value in row.items() if name[0] != "_"} for key, row in rows.items()}


def assert_all_is_new(office: Office) -> None:
    """All three show the new data and nothing else, with the old rows as deletes in the history."""
    for name in office.entities:
        office.assert_equal(name)
        assert office.status(name).state == "in step"


@pytest.mark.parametrize(
    ("mode", "busy", "seed"),
    [*((mode, busy, SAME) for mode in MODES for busy in (False, True)), ("oldest", True, OTHER)],
)
def test_a_demo_that_is_refreshed_under_a_token_that_lives_on(office: Office, mode: str, busy: bool, seed: int) -> None:
    """A live token works on in demo: only the changes tell that it is other data, whether it has had some or not."""
    office.sim.switch(expired_cursor=mode)
    office.wait(hours=1)
    office.sim.swap_tenant(seed=seed, timesheets=45)
    if busy:
        office.sim.mutate(7)
        office.sim.mutate(2, entity="projects")
    assert office.run().exit_code == 0
    assert_all_is_new(office)
    quiet = refreshes(office)
    office.wait(hours=1)
    office.run()
    assert refreshes(office) == quiet


def test_a_demo_that_deletes_its_tokens_pauses_until_a_new_one(office: Office) -> None:
    """Every run fails and says what to do; nothing is changed. With the new token all is read anew."""
    before = {name: office.rows(name) for name in office.entities}
    office.sim.switch(expired_cursor="oldest")
    office.sim.swap_tenant(seed=9, timesheets=45, invalidate_token=True)
    office.sim.mutate(4)
    for _ in range(2):
        office.wait(hours=1)
        report = office.run()
        assert report.exit_code in (1, 2)
        assert "OFFICE_TOKEN" in str(report.outcomes[0].reason), report.outcomes[0].reason
    assert {name: office.rows(name) for name in office.entities} == before
    office.sim.set_token(NEW)
    office.token = NEW
    office.wait(hours=1)
    assert office.run().exit_code == 0
    assert_all_is_new(office)


def test_a_rotated_key_refreshes_fully_unless_told_otherwise(office: Office) -> None:
    """The same data under a new token cannot be told from other data: it is compared, and nothing is rewritten."""
    history, told = len(office.history("timesheets")), refreshes(office)
    office.sim.set_token(NEW)
    office.token = NEW
    assert office.run().exit_code == 0
    assert refreshes(office) > told
    assert len(office.history("timesheets")) == history
    office.settings["new_token"] = "keep"
    office.sim.set_token(office.sim.token)
    office.token, told, calls = office.sim.token, refreshes(office), len(office.sim.requests)
    office.sim.mutate(1)
    assert office.run().exit_code == 0
    assert refreshes(office) == told
    assert len(office.sim.requests) == calls + 1
    assert_all_is_new(office)


@pytest.mark.parametrize("mode", ["error", "oldest"])
def test_data_that_is_replaced_during_a_walk(office: Office, mode: str) -> None:
    """Half of the pages of the old data, half of the new: the walk never closes, the next one does."""
    office.sim.switch(expired_cursor=mode)
    office.sim.fault("script", skip=1, root="timesheets", call="swap_tenant",
                     arguments={"seed": 9, "timesheets": 45})  # fmt: skip
    before = {name: office.rows(name) for name in office.entities}
    for _ in range(3):
        office.run(full_refresh=True)
        for name in office.entities:
            if strip(office.rows(name)) != strip(before[name]):
                office.assert_equal(name)
        office.wait(hours=1)
    assert office.run().exit_code == 0
    assert_all_is_new(office)


@pytest.mark.parametrize("mode", ["empty", "oldest"])
def test_data_that_is_replaced_twice_in_an_hour(office: Office, mode: str) -> None:
    """The second time before the first was noticed to its end."""
    office.sim.switch(expired_cursor=mode)
    office.sim.swap_tenant(seed=9, timesheets=45)
    office.sim.mutate(1)
    office.run(limit=1)
    office.sim.swap_tenant(seed=11, timesheets=50)
    office.sim.mutate(2)
    for _ in range(2):
        office.wait(hours=1)
        office.run()
    assert_all_is_new(office)


def test_a_token_that_expires_during_a_walk_loses_nothing(office: Office) -> None:
    """The run fails with what to do; with the token renewed it begins again and ends equal."""
    for key in list(office.sim.rows())[::3]:
        office.sim.update(key, delta=False, workingHours="0.25")
    office.sim.fault("script", skip=2, root="timesheets", call="token",
                     arguments={"token": office.token, "state": "expired"})  # fmt: skip
    assert office.run(full_refresh=True).exit_code != 0
    office.sim.set_token(NEW)
    office.token = NEW
    assert office.run().exit_code == 0
    assert_all_is_new(office)


def test_another_company_under_the_same_token_is_recognised_at_once(office: Office) -> None:
    """By its id, before any row is used; that costs no call of its own."""
    office.settings["tenant_check"] = True
    assert office.run().exit_code == 0
    office.sim.swap_tenant(seed=OTHER, timesheets=45)
    assert office.run().exit_code == 0
    assert any("another tenant" in said for said in office.said)
    assert_all_is_new(office)


def test_a_guard_pauses_before_the_old_data_goes(office: Office) -> None:
    """With a bound on deletes the old rows stay, whole, and changes of the new data wait; a person decides."""
    office.flow = {"max_deletes": "10%"}
    before = strip(office.rows("timesheets"))
    office.sim.swap_tenant(seed=OTHER, timesheets=45)
    for code in (3, 0):
        office.sim.mutate(4)
        office.wait(hours=1)
        assert office.run().exit_code == code, "it asks once, and waits"
        assert strip(office.rows("timesheets")) == before
    assert "it would delete" in office.status("timesheets").parked
    with office.open() as app:
        for name in office.entities:
            if app.datasets.status(f"xledger.{name}")[0].parked:
                app.rejections.retry(f"xledger.{name}", "guard")
    assert office.run().exit_code == 0
    assert_all_is_new(office)
