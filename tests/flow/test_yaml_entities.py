"""Columns and entities that a project adds in YAML, and nothing else (fact sheet 2.2 and 2.9; sequence 16)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.errors import ConfigError
from tests.flow.office import Office
from tests.shell import Shell

GROUPS = {"columns": {"dbId": "int", "code": "text", "description": "text", "modifiedAt": "local_time"}, "every": "6h"}
BUDGET = {
    "root": "budgetDetails",
    "columns": {"dbId": "int", "amount3": "money", "account.code": "text", "period.fiscalYear": "int"},
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A project that reads timesheets."""
    with Office(tmp_path) as office:
        yield office


def test_an_entity_without_deltas_is_added_by_yaml(office: Office) -> None:
    """Not one line of Python: it is refreshed when it is time, and compared, deletions included."""
    office.settings["entities"] = {"employeeGroups": GROUPS, "budget": BUDGET}
    office.entities = ["timesheets", "employeeGroups", "budget"]
    assert office.run().exit_code == 0
    for name in ("timesheets", "employeeGroups"):
        office.assert_equal(name)
    assert office.rows("budget").keys() == office.sim.rows(entity="budgetDetails").keys()
    before = office.history("employeeGroups")
    changed = office.sim.mutate(1, entity="employeeGroups")
    added = office.sim.add(1, entity="employeeGroups")
    office.wait(hours=5)
    calls = len(office.sim.requests)
    office.run()
    assert len(office.sim.requests) == calls + 1, "before its time only the changes of the others are asked for"
    office.wait(hours=2)
    assert office.run().exit_code == 0
    office.assert_equal("employeeGroups")
    assert sorted(office.history("employeeGroups")[len(before) :]) == sorted(("upsert", key) for key in changed + added)
    office.sim.delete(added, entity="employeeGroups")
    office.wait(hours=7)
    office.run()
    assert office.history("employeeGroups")[-1] == ("delete", added[0])
    office.assert_equal("employeeGroups")


def test_an_added_entity_may_have_deltas(office: Office) -> None:
    """One that we do know, read under another name and with columns of its own, as any that Xledger will tell of."""
    office.settings["entities"] = {
        "hours": {
            "root": "timesheets",
            "deltas": "timesheet_deltas",
            "columns": {"dbId": "id64", "comment": "text", "workingHours": "decimal", "approvedBy.code": "text"},
        }
    }
    office.entities = ["hours"]
    office.run()
    changed = office.sim.mutate(4)
    gone = office.sim.delete(1)
    calls = len(office.sim.requests)
    assert office.run().exit_code == 0
    assert len(office.sim.requests) == calls + 1
    truth = office.sim.rows()
    assert {key: row["comment"] for key, row in office.rows("hours").items()} == {
        key: node["comment"] for key, node in truth.items()
    }
    assert {key for _, key in office.history("hours")[-5:]} == {*changed, *gone}


def test_added_columns_are_filled_by_a_full_refresh(office: Office) -> None:
    """The lake is widened, every row gets its value, and the history shows it once."""
    office.run()
    rows = len(office.rows("timesheets"))
    office.settings["columns"] = {"timesheets": {"comment": "text", "hourlyCost": "money", "approvedBy.dbId": "int"}}
    assert office.run().exit_code == 0
    assert any("new columns: approvedBy_dbId, comment, hourlyCost" in said for said in office.said)
    office.assert_equal("timesheets")
    assert len(office.history("timesheets")) <= 2 * rows
    calls = len(office.sim.requests)
    office.run()
    assert len(office.sim.requests) == calls + 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"columns": {"timesheet": {"comment": "text"}}}, "did you mean 'timesheets'"),
        ({"columns": {"timesheets": {"employee": "text"}}}, "has fields of its own"),
        ({"columns": {"timesheets": {"workingHours": "text"}}}, "would be the same column as workingHours"),
        ({"columns": {"timesheets": {"comment": "string"}}}, "comment"),
        ({"entities": {"Projects": GROUPS}}, "add columns to it under columns: projects:"),
        ({"entities": {"groups": {"columns": {"code": "text"}}}}, "must have dbId, the key"),
        ({"entities": {"groups": {**GROUPS, "deltas": "group_deltas"}}}, "has no effect beside deltas"),
        ({"entities": {"groups": {**GROUPS, "every": "daily"}}}, "must be a time such as 30m, 12h or 7d"),
        ({"entities": {"groups": {**GROUPS, "window": "code"}}}, "must be one of the columns, a date or a local_time"),
        (
            {"entities": {"a": {"columns": {"dbId": "int", "period.toDate": "date"}, "window": "period.toDate"}}},
            "must be a field of the record itself",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(office: Office, settings: dict[str, object], sentence: str) -> None:
    """With the key of the file at which they stand."""
    office.settings |= settings
    with pytest.raises(ConfigError) as raised:
        office.open()
    assert sentence in str(raised.value)
    assert not office.sim.requests


def test_a_query_that_xledger_does_not_have_fails_alone(office: Office) -> None:
    """A misspelt root of an added entity: its sentence names it, all others go on."""
    office.settings["entities"] = {"groups": {**GROUPS, "root": "employeeGroup"}}
    office.entities = ["timesheets", "groups"]
    report = office.run()
    assert report.exit_code == 3
    assert {each.feed: each.status for each in report.outcomes} == {
        "changes": "succeeded",
        "timesheets": "succeeded",
        "groups": "failed",
    }
    assert "no query 'employeeGroup'" in str(next(each.reason for each in report.outcomes if each.feed == "groups"))
    office.assert_equal("timesheets")


def test_an_added_entity_that_tells_no_changes_after_all_fails_alone(office: Office) -> None:
    """`deltas` names a query that is not there: the others' changes still come, and finding out costs calls once."""
    office.settings["entities"] = {
        "groups": {"root": "employeeGroups", "deltas": "employeeGroup_deltas", "columns": GROUPS["columns"]}
    }
    office.entities = ["timesheets", "groups"]
    office.run()
    office.sim.mutate(2)
    report = office.run()
    assert report.exit_code == 3
    office.assert_equal("timesheets")
    changes = next(each for each in report.outcomes if each.feed == "changes")
    assert changes.status == "partly_succeeded"
    assert "employeeGroup_deltas" in str(changes.reason)


def test_what_the_documentation_shows_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of the connector's page, typed into a project, by the command line alone."""
    page = (Path(__file__).parents[2] / "docs" / "connectors" / "xledger.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    connections = next(block for block in blocks if "entities:\n" in block)
    flow = next(block for block in blocks if "budget]" in block)
    with XledgerSimulator(seed=3, timesheets=60, burst=None, concurrency=None) as company:
        (tmp_path / "flows").mkdir()
        (tmp_path / "flows" / "added.yaml").write_text(flow)
        head = "project: added\nlake: ./lake\ndatabase: sqlite:///postroad.db\n"
        (tmp_path / "postroad.yaml").write_text(head + connections.replace("https://www.xledger.net", company.base_url))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XLEDGER_TOKEN", company.token)
        shell = Shell(tmp_path, monkeypatch)
        told = shell("check", "--connect")
        assert "FAILED" not in told
        assert "read the budget" in told
        assert "read the suppliers" not in told, "no flow asks for them, so nobody needs a right to them"
        new = {name: counts["new"] for name, counts in shell.json("run")["datasets"].items()}
        assert new == {
            f"xledger.{name}": len(company.rows(entity=root))
            for name, root in {
                "timesheets": "timesheets",
                "projects": "projects",
                "employeeGroups": "employeeGroups",
                "budget": "budgetDetails",
            }.items()
        }
        (counted,) = shell.json("query", "select count(hourlyCost) as n, count(comment) as m from xledger.timesheets")
        assert counted["n"] == sum(node["hourlyCost"] is not None for node in company.rows().values())
        since = shell.json("run", "xledger.timesheets", "--since", "2024-01-01")
        assert since["datasets"]["xledger.timesheets"]["changed"] == 0
