"""What one project has on a broker: its exchange, a queue for each subscription, and where dead and refused ones lie.

    exchange postroad.acme@prod ── key appdb.vendors ──▶ queue postroad.acme@prod.appdb.vendors
                                                              │ given up by the broker
    queue postroad.acme@prod.dead ◀── exchange postroad.acme@prod.dead
    queue postroad.acme@prod.refused      what came in and is no message of ours

All queues are quorum queues, which RabbitMQ has from 3.8 on. The database is the authority on a message, so nothing
here has to survive: what the broker loses is published again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from postroad.errors import ConfigError
from postroad.wire.address import broken

MOST_DELIVERIES = 50  # of one message to workers that died, of it or beside it: then the broker gives it up
NOT_FOUND, REFUSED, OTHERWISE = 404, 403, 406


@dataclass(frozen=True)
class QueueShape:
    """A queue as it has to be; `exchange` and `key` are what it is bound to, if anything."""

    name: str
    exchange: str = ""
    key: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def every_argument(self) -> dict[str, Any]:
        """With its type."""
        return {"x-queue-type": "quorum", **self.arguments}


@dataclass(frozen=True)
class Topology:
    """The names of a project in one environment, and of its subscriptions."""

    project: str
    environment: str | None
    subscriptions: Sequence[str]

    @property
    def exchange(self) -> str:
        """Where messages are published, under their subscription as the key. A project's name has no `@`."""
        return f"postroad.{self.project}" + (f"@{self.environment}" if self.environment else "")

    @property
    def dead(self) -> str:
        """The exchange and the queue of messages that the broker gave up. A subscription's name has a dot."""
        return f"{self.exchange}.dead"

    @property
    def refused(self) -> str:
        """The queue of what is no message of ours."""
        return f"{self.exchange}.refused"

    def queue(self, subscription: str) -> str:
        """The queue of a subscription."""
        return f"{self.exchange}.{subscription}"

    def shapes(self) -> Iterator[QueueShape]:
        """Every queue."""
        yield QueueShape(self.dead, self.dead)
        yield QueueShape(self.refused)
        given_up = {"x-dead-letter-exchange": self.dead, "x-delivery-limit": MOST_DELIVERIES}
        for name in self.subscriptions:
            yield QueueShape(self.queue(name), self.exchange, name, given_up)


def declare(to: pika.ConnectionParameters, topology: Topology) -> None:
    """Make what is missing; ConfigError if something of that name is otherwise there, or we may not."""
    with connected(to) as connection:
        channel = connection.channel()
        with _named(topology.exchange):
            channel.exchange_declare(topology.exchange, "direct", durable=True)
        with _named(topology.dead):
            channel.exchange_declare(topology.dead, "fanout", durable=True)
        for shape in topology.shapes():
            with _named(shape.name):
                _declare(channel, shape)


def drop(to: pika.ConnectionParameters, topology: Topology) -> None:
    """Delete all of it, also where only some of it is there; what waits is in the database."""
    with connected(to) as connection:
        channel = connection.channel()
        for shape in topology.shapes():
            channel.queue_delete(shape.name)
        for exchange in (topology.exchange, topology.dead):
            channel.exchange_delete(exchange)


def lengths(to: pika.ConnectionParameters, names: Sequence[str]) -> dict[str, int | None]:
    """How many messages wait in each of these queues; None for one that is not there."""
    found: dict[str, int | None] = {}
    with connected(to) as connection:
        for name in names:
            channel = connection.channel()
            try:
                found[name] = channel.queue_declare(name, passive=True).method.message_count
            except ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    raise
                found[name] = None
    return found


def _declare(channel: BlockingChannel, shape: QueueShape) -> None:
    channel.queue_declare(shape.name, durable=True, arguments=shape.every_argument)
    if shape.exchange:
        channel.queue_bind(shape.name, shape.exchange, shape.key)


@contextmanager
def connected(to: pika.ConnectionParameters) -> Iterator[pika.BlockingConnection]:
    """A connection for a few questions; QueueError if the broker does not answer them."""
    with broken():
        connection = pika.BlockingConnection(to)
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except ChannelClosedByBroker as error:
        if error.reply_code == OTHERWISE:
            raise ConfigError(
                f"queue: the broker has '{name}' otherwise than Postroad declares it ({error.reply_text}): delete it "
                "there and go on; what it holds is published again"
            ) from None
        if error.reply_code == REFUSED:
            raise ConfigError(f"queue: our user may not declare '{name}': give it configure, write and read") from None
        raise
