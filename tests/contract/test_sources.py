"""The source suite, run against every connector that has a source and a simulator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.connectors.d365_finops import connector as d365_finops
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.excel_link import connector as excel_link
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT
from postroad.connectors.files import connector as files
from postroad.connectors.files import reading
from postroad.connectors.xledger import connector
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.project import init_project, load_project
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Source, Tools
from postroad.sdk.secrets import Secret
from postroad.testing import SourceSuite


class TestXledger(SourceSuite):
    """Xledger against its simulator."""

    @pytest.fixture(autouse=True)
    def simulator(self) -> Iterator[None]:
        """A small company; small pages make a walk of several."""
        with XledgerSimulator(seed=5, timesheets=120, burst=None) as self.company:
            yield

    def source(self) -> Source:
        """A source with a budget of its own."""
        settings = XledgerSettings.model_validate(
            {"url": self.company.url, "token": Secret.literal(self.company.token), "page_size": 25, "burst": 1000}
        )
        assert connector.source is not None
        return connector.source(settings, Tools(MemoryBudget(time.time), time.time))

    def change_one(self) -> None:
        """One timesheet changes."""
        self.company.mutate(1)


class TestExcelLink(SourceSuite):
    """The tables of the shipped example against their simulator."""

    @pytest.fixture(autouse=True)
    def simulator(self, tmp_path: Path) -> Iterator[None]:
        """The example's project, its links led to a port that is free."""
        with ExcelLinkSimulator() as self.server:
            init_project(tmp_path, excel_link.name)
            env = tmp_path / ".env"
            env.write_text(env.read_text().replace(f"http://127.0.0.1:{DEFAULT_PORT}", self.server.base_url))
            self.settings = load_project(tmp_path).settings("links")
            yield

    def source(self) -> Source:
        """A source with a budget of its own, and no need to wait."""
        assert excel_link.source is not None
        return excel_link.source(self.settings, Tools(MemoryBudget(time.time), time.time, lambda _: None))

    def change_one(self) -> None:
        """One row changes."""
        self.server.change("cost_categories")


class TestFiles(SourceSuite):
    """The shipped example's folder, each file of several pages."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The example's project as it is written."""
        monkeypatch.setattr(reading, "BLOCK", 80)
        init_project(tmp_path, files.name)
        self.drop = tmp_path / "drop"
        self.settings = load_project(tmp_path).settings("drop")

    def source(self) -> Source:
        """A source that looks into the folder."""
        assert files.source is not None
        return files.source(self.settings, Tools(MemoryBudget(time.time), time.time))

    def change_one(self) -> None:
        """A file with one row is dropped."""
        (self.drop / "vendors_9.csv").write_text("Account;Name;Credit limit;Since\nV-1001;Nordic Paper AB;1;\n")


class TestFinops(SourceSuite):
    """Finance & Operations against its simulator, whose exports take no time."""

    entities = ("VendorsV2", "MainAccounts", "Employees")

    @pytest.fixture(autouse=True)
    def simulator(self) -> Iterator[None]:
        """Three entities of one company, one of them over OData; small blocks and pages make walks of several."""
        sizes = dict.fromkeys(self.entities, 40)
        with FinopsSimulator(seed=5, sizes=sizes, companies=["usmf"], export_seconds=0, page_limit=15) as self.company:
            self.company.project("Postroad", self.entities)
            for name in self.entities:
                self.company.project(f"Postroad {name}", [name], incremental=False)
            yield

    def source(self) -> Source:
        """A source with a budget of its own."""
        company = self.company
        settings = FinopsSettings(
            url=company.url,
            sign_in_url=company.url,
            tenant=company.tenant,
            client_id=company.client_id,
            client_secret=Secret.literal(company.client_secret),
            companies=("usmf",),
            entities=self.entities,
            odata=("Employees",),
            package_hosts=("127.0.0.1",),
            allow_http=True,
            poll_seconds=0.02,
            polls=200,
            block_megabytes=0.005,
            burst=100_000,
        )
        assert d365_finops.source is not None
        return d365_finops.source(settings, Tools(MemoryBudget(time.time), time.time))

    def change_one(self) -> None:
        """One vendor changes."""
        self.company.mutate(1)
