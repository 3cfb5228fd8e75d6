"""Dynamics 365 Finance & Operations: its records as data packages. Facts and their sources: the project's fact sheet
on Finance & Operations.
"""

from __future__ import annotations

from postroad.connectors.d365_finops.demo import DEMO
from postroad.connectors.d365_finops.example import EXAMPLE
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.sdk.connector import Connector, Source, Tools


def _source(settings: FinopsSettings, tools: Tools) -> Source:
    """Opens a connection; imported late, because `--help` needs no Arrow."""
    from postroad.connectors.d365_finops.source import FinopsSource

    return FinopsSource(settings, tools)


def _simulator(args: list[str]) -> None:
    """Runs the simulator; imported late for the same reason."""
    from postroad.connectors.d365_finops.simulator import main

    main(args)


connector = Connector(
    name="d365_finops",
    settings=FinopsSettings,
    entities=lambda settings: settings.entities,
    source=_source,
    simulator=_simulator,
    example=EXAMPLE,
    demo=DEMO,
)
