"""An in-house HTTP API that takes records in batches. A destination."""

from __future__ import annotations

from postroad.connectors.http.example import EXAMPLE
from postroad.connectors.http.settings import HttpSettings
from postroad.connectors.http.simulator import main
from postroad.sdk.connector import Connector, Destination, Tools


def _destination(settings: HttpSettings, tools: Tools) -> Destination:
    """Opens a connection; imported late, because `--help` needs neither Arrow nor HTTP."""
    from postroad.connectors.http.destination import HttpDestination

    return HttpDestination(settings, tools)


connector = Connector(
    name="http",
    settings=HttpSettings,
    entities=lambda _: (),
    destination=_destination,
    simulator=main,
    example=EXAMPLE,
)
