"""The source suite, run against every connector that has a source and a simulator."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from postroad.connectors.xledger import connector
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
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
