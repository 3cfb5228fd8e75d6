"""Collections of a MongoDB. A destination."""

from __future__ import annotations

from postroad.connectors.mongodb.demo import DEMO
from postroad.connectors.mongodb.example import EXAMPLE
from postroad.connectors.mongodb.settings import MongoSettings
from postroad.errors import ConfigError
from postroad.sdk.connector import Connector, Destination, Tools


def _destination(settings: MongoSettings, tools: Tools) -> Destination:
    """Opens a connection; imported late, because `--help` needs neither Arrow nor a driver."""
    try:
        from postroad.connectors.mongodb.destination import MongoDestination
    except ModuleNotFoundError as error:
        raise ConfigError(f"a connection to a MongoDB needs the extra postroad[mongodb]: {error}") from None
    return MongoDestination(settings, tools)


connector = Connector(
    name="mongodb",
    settings=MongoSettings,
    entities=lambda _: (),
    destination=_destination,
    example=EXAMPLE,
    demo=DEMO,
)
