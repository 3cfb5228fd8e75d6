"""Queues and exchanges of RabbitMQ, whose consumers know nothing of us. A destination."""

from __future__ import annotations

from postroad.connectors.rabbitmq.settings import RabbitmqSettings
from postroad.errors import ConfigError
from postroad.sdk.connector import Connector, Destination, Tools


def _destination(settings: RabbitmqSettings, tools: Tools) -> Destination:
    """Opens nothing yet; imported late, because `--help` needs neither Arrow nor a broker."""
    try:
        from postroad.connectors.rabbitmq.destination import RabbitmqDestination
    except ModuleNotFoundError as error:
        raise ConfigError(f"RabbitMQ needs the extra postroad[rabbitmq]: {error}") from None

    return RabbitmqDestination(settings)


connector = Connector(name="rabbitmq", settings=RabbitmqSettings, entities=lambda _: (), destination=_destination)
