"""The shipped example of links, from the simulator to the lake: what an unchanged file costs, months, failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postroad.app import App
from postroad.app.runs import Report
from postroad.catalog.status import DatasetStatus
from postroad.connectors.excel_link import connector, source
from postroad.connectors.excel_link.example import SEED
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT
from postroad.engine.stage import BesideFetching, Stager
from postroad.project import Allowance, Connection, Project, Sync, init_project, load_project
from postroad.sdk.sheets import workbook

MARCH, APRIL = 1_773_576_000.0, 1_775_649_600.0  # 2026-03-15 12:00 UTC, 2026-04-08 12:00 UTC
LINKS = 13  # five tables, five subsidiaries, three months


class Company:
    """A project of the example beside its simulator, and a clock that jumps."""

    def __init__(self, folder: Path, server: ExcelLinkSimulator) -> None:
        self.folder, self.server, self.now = folder, server, MARCH
        server.clock.set(APRIL)
        server.refresh(SEED)  # months up to April
        init_project(folder, connector.name)
        links = {f"{table.replace('.', '_').upper()}_LINK": url for table, url in server.links().items()}
        (folder / ".env").write_text("".join(f"{name}='{url}'\n" for name, url in links.items()))
        assert f":{DEFAULT_PORT}/" not in (folder / ".env").read_text()

    def begin(self, *entities: str) -> None:
        """The first run of these tables, of all if none is named."""
        if entities:
            flow = {"sync": [{"from": "links", "entities": list(entities)}]}
            (self.folder / "flows" / "links.yaml").write_text(json.dumps(flow))
        assert self.sync().exit_code == 0
        assert self.asked()

    def do(self, work: Callable[[App], Any]) -> Any:
        """Something with an App of its own."""
        self.now += 1
        with App(load_project(self.folder), clock=lambda: self.now, sleep=lambda _: None) as app:
            return work(app)

    def sync(self, select: str | None = None) -> Report:
        """One `postroad run`."""
        done: Report = self.do(lambda app: app.runs.start(select))
        return done

    def sync_fully(self, select: str) -> Report:
        """One `postroad run --full-refresh`."""
        done: Report = self.do(lambda app: app.runs.start(select, full_refresh=True))
        return done

    def status(self, name: str) -> DatasetStatus:
        """One line of `postroad status`."""
        (found,) = self.do(lambda app: app.datasets.status(f"links.{name}"))
        assert isinstance(found, DatasetStatus)
        return found

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The answer's rows."""
        answer = self.do(lambda app: app.datasets.query(sql).to_pylist())
        return [tuple(row.values()) for row in answer]

    def asked(self) -> list[dict[str, Any]]:
        """The requests since the last time."""
        return self.server.log(clear=True)


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """Not yet begun."""
    with ExcelLinkSimulator(seed=SEED) as server:
        yield Company(tmp_path, server)


def landed(company: Company) -> list[Path]:
    return sorted((company.folder / "lake" / "landing").rglob("*.*"))


def test_unchanged_links_cost_one_conditional_request_each_and_no_reading(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.begin()
    before = landed(company)
    monkeypatch.setattr(source, "usable", None)  # whoever reads a file fails
    assert company.sync().exit_code == 0
    asked = company.asked()
    assert [(each["status"], each["bytes"]) for each in asked] == [(304, 0)] * LINKS
    company.server.switch(etag=False)
    assert company.sync().exit_code == 0
    assert [each["status"] for each in company.asked()] == [200] * LINKS
    assert landed(company) == before


def test_another_tag_of_the_same_rows_is_fetched_once(company: Company) -> None:
    company.begin()
    before = landed(company)
    company.server.change("cost_categories", 0)
    for wanted in (1, 0):
        assert company.sync().exit_code == 0
        assert [each["status"] for each in company.asked()].count(200) == wanted
    assert landed(company) == before


def test_a_changed_file_is_read_once_and_the_others_not_at_all(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.begin("cost_categories", "employment_types")
    read = []
    original = workbook._looked_through

    def counted(*given: Any) -> Any:
        read.append(given)
        return original(*given)

    monkeypatch.setattr(workbook, "_looked_through", counted)
    company.server.change("cost_categories")
    report = company.sync()
    assert report.counts["links.cost_categories"].changed == 1
    assert len(read) == 1
    assert company.do(lambda app: app.runs.replay("links.cost_categories")).exit_code == 0
    assert len(read) == 2, "a replay reads it again, from landing"


def test_a_page_that_lands_while_earlier_ones_are_caught_up_with_is_counted_once(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stager looks for what landed beside the fetching, which hands the same page over."""
    company.begin("cost_categories")
    landed, catch_up, add = threading.Event(), Stager.catch_up, BesideFetching.add

    def late(stager: Stager) -> None:
        assert landed.wait(30)
        catch_up(stager)

    def told(staging: BesideFetching, *page: Any) -> None:
        landed.set()
        add(staging, *page)

    monkeypatch.setattr(Stager, "catch_up", late)
    monkeypatch.setattr(BesideFetching, "add", told)
    company.server.change("cost_categories")
    counts = company.sync().counts["links.cost_categories"]
    assert (counts.payloads, counts.read) == (1, len(company.server.rows("cost_categories")))


def test_a_new_month_is_asked_for_and_the_oldest_is_left_as_it_is(company: Company) -> None:
    company.begin("financial_results")
    months = "select period, count(*) from links.financial_results group by 1 order by 1"
    before = company.query(months)
    assert [month for month, _ in before] == ["2026-01", "2026-02", "2026-03"]
    company.now = APRIL
    report = company.sync("links.financial_results")
    assert [each.feed for each in report.outcomes] == [f"financial_results.2026-0{month}" for month in (2, 3, 4)]
    assert [each["status"] for each in company.asked()] == [304, 304, 200]
    after = company.query(months)
    assert after[:3] == before
    assert after[3][0] == "2026-04"
    assert after[3][1] > 0


def test_a_link_is_looked_at_no_more_often_than_it_says_unless_that_failed(company: Company) -> None:
    company.begin("employee_groups")
    settings = company.folder / "postroad.yaml"
    settings.write_text(settings.read_text().replace("key: [Owner, Code]", "key: [Owner, Code]\n        every: 12h", 1))
    company.now += 3600
    company.sync("links.employee_groups")
    assert company.asked() == []
    company.now += 12 * 3600
    company.server.fault("status", count=None, table="employee_groups", status=404)
    for _ in range(2):
        assert company.sync("links.employee_groups").exit_code == 1
        assert [each["status"] for each in company.asked()] == [404]
    company.server.clear_faults()
    company.sync("links.employee_groups")
    assert [each["status"] for each in company.asked()] == [304]
    company.sync("links.employee_groups")
    assert company.asked() == []
    company.sync_fully("links.employee_groups")
    assert [each["status"] for each in company.asked()] == [200], "whoever asks is answered"


def test_status_tells_since_when_a_link_fails_and_why_until_it_is_good_again(company: Company) -> None:
    company.begin("employee_groups", "employment_types")
    looked = company.status("employee_groups").last_poll
    assert looked is not None
    fault = company.server.fault("html", count=None, table="employee_groups")
    first = company.now
    assert company.sync().exit_code == 3
    company.now += 3600
    company.sync()
    found = company.status("employee_groups")
    assert (found.state, found.rows, found.last_poll) == ("failed", 30, looked)
    (sentence,) = found.failed.values()
    assert list(found.failed) == ["links.employee_groups"]
    since, _, reason = sentence.partition(" UTC: ")
    assert since == f"failed since {_spelt(first + 1)}"
    assert reason.startswith("a web page came instead of xlsx")
    assert company.status("employment_types").state == "in step"
    company.server.clear_faults(fault)
    company.sync()
    good = company.status("employee_groups")
    assert (good.state, good.failed) == ("in step", {})
    assert good.last_poll is not None
    assert good.last_poll > looked


def test_a_renamed_caption_is_followed_in_the_settings_and_no_row_changes(company: Company) -> None:
    company.begin("employee_groups")
    company.server.rename_column("employee_groups", "Code", "Kode")
    assert company.sync().exit_code == 1
    assert "did you mean 'Kode'?" in next(iter(company.status("employee_groups").failed.values()))
    settings = company.folder / "postroad.yaml"
    text = settings.read_text().replace("key: [Owner, Code]", "key: [Owner, Kode]", 1)
    settings.write_text(text.replace("Code: int", "Kode: {type: int, as: Code}", 1))
    report = company.sync()
    assert report.exit_code == 0
    counts = report.counts["links.employee_groups"]
    assert (counts.read, counts.new, counts.changed, counts.deleted) == (30, 0, 0, 0)
    assert company.status("employee_groups").state == "in step"


def test_one_dead_link_of_five_is_named(company: Company) -> None:
    company.begin("part_time_employees")
    company.server.fault("expired", count=None, table="part_time_employees.coast")
    company.sync("links.part_time_employees")
    found = company.status("part_time_employees")
    assert found.state == "failed"
    assert list(found.failed) == ["links.part_time_employees.coast"]
    assert "make a new export link" in found.failed["links.part_time_employees.coast"]


def test_no_link_is_written_down_anywhere(company: Company, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither lake nor books nor anything that is said holds a link or its token, errors included."""
    company.begin("employee_groups", "cost_categories", "employment_types")
    company.server.fault("html", count=None, table="employee_groups")
    company.server.fault("expired", count=None, table="cost_categories")
    company.sync()
    company.server.change("employment_types")
    company.sync()
    shown = company.do(lambda app: f"{app.datasets.status()} {app.runs.list()} {app.datasets.state()}")
    tokens = [url.partition("t=")[2] for url in company.server.links().values()]
    for token in tokens:
        assert token not in shown + "".join(capfd.readouterr())
    for path in company.folder.rglob("*"):
        if path.is_file() and path.name != ".env":
            body = path.read_bytes()
            assert not [token for token in tokens if token.encode() in body], path


KEYS: list[tuple[str, list[Any]]] = [
    ("date", ["1999-12-31", "2026-03-01", "2026-03-02"]),
    ("datetime", ["2026-03-01T10:00:00", "2026-03-01T10:00:00.250", "2026-03-02T00:00:00"]),
    ("decimal", [9.5, 10, 10.25]),
    ("bool", [False, True]),
]


@pytest.mark.parametrize(("kind", "keys"), KEYS, ids=[kind for kind, _ in KEYS])
def test_a_key_may_have_any_type(tmp_path: Path, kind: str, keys: list[Any]) -> None:
    """Loaded, refused, good again, changed and gone: by keys that JSON has no type for as well."""
    path = tmp_path / "table.json"
    table = {"file": str(path), "columns": {"K": kind, "V": "int"}, "key": ["K"]}
    settings = ExcelLinkSettings.model_validate({"tables": {"t": table}})
    connections = {"links": Connection("links", connector.name, settings)}
    project = Project("keys", tmp_path, connections=connections, syncs=(Sync("links", ("t",), Allowance(rows=9)),))

    def synced(*values: Any) -> tuple[list[int], list[str]]:
        path.write_text(json.dumps([{"K": key, "V": value} for key, value in zip(keys, values, strict=False)]))
        with App(project) as app:
            app.runs.start()
            held = app.datasets.query('select "V" from links.t order by "K"').column(0).to_pylist()
            return held, [each["cause"] for each in app.rejections.list()]

    assert synced(1, 2, 3)[0] == [1, 2, 3][: len(keys)]
    assert synced(1, "many", 3) == ([1, 2, 3][: len(keys)], ["bad_number"])
    assert synced(4, 5, 3) == ([4, 5, 3][: len(keys)], [])
    assert synced(4) == ([4], [])


def _spelt(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
