"""Tables behind links: xlsx, xlsb, ods, csv and JSON rows over HTTP(S) or from a file, such as Flexlinks."""

from __future__ import annotations

from postroad.connectors.excel_link.demo import DEMO
from postroad.connectors.excel_link.example import EXAMPLE
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.sdk.connector import Connector, Source, Tools


def _source(settings: ExcelLinkSettings, tools: Tools) -> Source:
    """Opens a connection; imported late, because `--help` needs no Arrow."""
    from postroad.connectors.excel_link.source import ExcelLinkSource

    return ExcelLinkSource(settings, tools)


def _simulator(args: list[str]) -> None:
    """Runs the simulator; imported late for the same reason."""
    from postroad.connectors.excel_link.simulator import main

    main(args)


connector = Connector(
    name="excel_link",
    settings=ExcelLinkSettings,
    entities=lambda settings: tuple(settings.tables),
    source=_source,
    simulator=_simulator,
    example=EXAMPLE,
    demo=DEMO,
)
