"""Tables of a SQL database: SQLite or PostgreSQL. A destination."""

from __future__ import annotations

from postroad.connectors.sql.demo import DEMO
from postroad.connectors.sql.example import EXAMPLE
from postroad.connectors.sql.settings import SqlSettings
from postroad.sdk.connector import Connector, Destination, Tools


def _destination(settings: SqlSettings, tools: Tools) -> Destination:
    """Opens a connection; imported late, because `--help` needs neither Arrow nor a database."""
    from postroad.connectors.sql.destination import SqlDestination

    return SqlDestination(settings, tools)


connector = Connector(
    name="sql",
    settings=SqlSettings,
    entities=lambda _: (),
    destination=_destination,
    example=EXAMPLE,
    demo=DEMO,
)
