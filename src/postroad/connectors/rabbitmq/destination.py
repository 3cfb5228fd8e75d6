"""The writing half of the connector: one CloudEvents event a message, for foreign consumers.

Its records are inline, or where the event is large and the connection says so, in a file that it names.

The broker's confirm says that a queue of its has the event durably, and nothing of the consumer: a message is handed
over by it, and settled by the consumer's receipt, unless the connection says that nobody sends any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import pika
import pyarrow as pa
import pyarrow.compute as pc
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from postroad.connectors.rabbitmq import claims
from postroad.connectors.rabbitmq.link import NOT_FOUND, Link
from postroad.connectors.rabbitmq.receipts import read_receipt
from postroad.connectors.rabbitmq.settings import RabbitmqSettings
from postroad.errors import AuthError, BatchRefusedError, ConfigError, PostroadError, StateError, TransientError
from postroad.records import CHANGED_AT, DELETE, OP, VERSION, Check, Entity, Facts, Outcome, Package, key_text
from postroad.sdk.connector import Settle
from postroad.sdk.jsontext import Form, objects
from postroad.wire.envelope import ABSENT, MEDIA_TYPE, Event, encode

TYPE = "org.postroad.records.v1"
CONFIRMED = "confirmed"  # by whose word records count as acknowledged where no receipts come
AT_ONCE = 10_000  # receipts that one call looks at: a flood of them stops nothing else
# The receipt's queue hands a receipt out again whenever we crash or are not the ones who can settle it.
NEVER_GIVEN_UP = 1_000_000_000
MOST_REFUSED = 10_000
LONGEST_COMPANY = 100  # letters; an attribute of an event is for routing, and is not to be long


class RabbitmqDestination:
    """Queues, or an exchange, of one virtual host."""

    def __init__(self, settings: RabbitmqSettings) -> None:
        self._settings = settings
        self._link = Link(settings.url)
        self._ready: set[str] = set()  # queues that are there
        self._claims = None if settings.claims is None else claims.opened(settings.claims)

    def check(self) -> Iterator[Check]:
        """See `Destination.check`."""
        try:
            where = self._link.where
            yield from self._steps(where)
        except PostroadError as error:
            yield Check("reach the broker" if not self._link.is_open else "queues and exchange", False, str(error))
            return
        if self._claims is not None:
            yield self._claimed(self._claims)

    def _claimed(self, store: claims.Store) -> Check:
        try:
            return Check("claims", True, f"{store.put(claims.PROBE, b'[]')} is there")
        except PostroadError as error:
            return Check("claims", False, str(error))

    def _steps(self, where: str) -> Iterator[Check]:
        with self._link.named_errors("sign-in"):
            self._link.channel()
        yield Check("reach the broker", True, f"{where} answers")
        if self._settings.exchange:
            with self._link.named_errors(f"exchange {self._settings.exchange}"):
                self._link.other_channel().exchange_declare(self._settings.exchange, passive=True)
            yield Check("exchange", True, f"{self._settings.exchange} is there")
        if self._settings.receipts is False:
            yield Check("receipts", True, "none: what the broker has counts as acknowledged")
            return
        with self._link.named_errors(f"queue {self._settings.receipts}"):
            waiting, refused = map(self._length, (self._settings.receipts, _refused(self._settings.receipts)))
        told = "its queue is made with the first message" if waiting is None else f"{waiting:,} wait"
        told += f"; {refused:,} were refused and lie in {_refused(self._settings.receipts)}" if refused else ""
        yield Check("receipts", True, told)

    def discover(self) -> Iterator[Entity]:
        """None: a broker does not tell which queues it has."""
        yield from ()

    def render(self, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """One package: the records as a JSON array. Of a delete the key and what is ours are left; the rest is null."""
        deleted = pc.equal(records.column(OP.name), DELETE)
        whole = not pc.any(deleted).as_py()
        names = [*target.schema.names, CHANGED_AT.name, OP.name, VERSION.name]
        columns = [records.column(name) for name in names]
        for place, (name, column) in enumerate(zip(names, columns, strict=True)):
            if not whole and name not in {*target.key, CHANGED_AT.name, OP.name, VERSION.name}:
                columns[place] = pc.if_else(deleted, pa.scalar(None, column.type), column)
        texts = objects(pa.RecordBatch.from_arrays(columns, names=names), Form())
        listed = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
        body = b"[" + pc.binary_join(listed, ",")[0].as_buffer().to_pybytes() + b"]"
        yield Package((body, self._company(records)), records.num_rows)

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """Publish one event and wait for the broker's confirm."""
        if package.facts is None:
            raise StateError("a message without its facts cannot be handed over: a bug of the engine")
        event = self._fitting(target, package, package.facts)
        self._anew(partial(self._publish, target, event, package.facts))
        if self._settings.receipts is False:
            return [Outcome(range(package.records), "applied", CONFIRMED)]
        return [Outcome(range(package.records), "handed_over", wait=self._settings.patience)]

    def receipts(self, settle: Settle) -> None:
        """See `HandsOver.receipts`."""
        if self._settings.receipts is not False:
            self._anew(partial(self._collect, self._settings.receipts, settle))

    def close(self) -> None:
        """See `Destination.close`; what is used after it connects anew."""
        self._link.close()
        self._ready.clear()

    def _anew(self, work: Callable[[], None]) -> None:
        """Do it, and once more if what we had made was gone: our connection, the secret that it used, or a queue.

        What is done twice does no harm.
        """
        used, made = self._link.is_open, {*self._ready}
        try:
            work()
        except (AuthError, ConfigError, TransientError) as error:
            self._ready.clear()
            if isinstance(error, AuthError):
                self._link.close()
            if not (made if isinstance(error, ConfigError) else used and not self._link.is_open):
                raise
            work()

    def _collect(self, queue: str, settle: Settle) -> None:
        with self._link.named_errors(f"queue {queue}"):
            self._declare_receipts(queue)
            # A channel of its own: what is not acknowledged when it ends is there again.
            channel = self._link.other_channel()
        try:
            for _ in range(AT_ONCE):
                with self._link.named_errors(f"queue {queue}"):
                    method, _properties, body = channel.basic_get(queue)
                if method is None:
                    break
                verdict, tag = settle(read_receipt(body or b"")), method.delivery_tag or 0
                with self._link.named_errors(f"queue {queue}"):
                    if verdict == "settled":
                        channel.basic_ack(tag)
                    elif verdict == "refused":
                        channel.basic_reject(tag, requeue=False)
        finally:
            with suppress(AMQPError, OSError):
                channel.close()

    def _publish(self, target: Entity, event: bytes, facts: Facts) -> None:
        exchange = self._settings.exchange
        properties = pika.BasicProperties(
            content_type=MEDIA_TYPE,
            message_id=facts.identifier,
            type=TYPE,
            timestamp=int(facts.dispatched_at.timestamp()),
            reply_to=self._settings.receipts or None,
            delivery_mode=pika.DeliveryMode.Persistent.value,
        )
        to = f"exchange {exchange}, key {target.name}" if exchange else f"queue {target.name}"
        with self._link.named_errors(to):
            if not exchange:
                self._declare(target.name)
            if self._settings.receipts is not False:
                self._declare_receipts(self._settings.receipts)
            self._link.channel().basic_publish(exchange, target.name, event, properties, mandatory=True)

    def _fitting(self, target: Entity, package: Package, facts: Facts) -> bytes:
        """The event, with its records where they fit. BatchRefusedError if they do not and have no other place."""
        body, _ = package.body
        event = self._event(target, package, facts, msgspec.Raw(body))
        most = self._settings.most_kilobytes * 1024
        if len(event) <= most:
            return event
        if self._claims is None:
            raise BatchRefusedError(f"it is {len(event):,} bytes as JSON; the most is {most:,} (most_kilobytes)")
        where = f"{facts.origin}/{target.name}/{facts.identifier}"
        return self._event(target, package, facts, ABSENT, **claims.claim(self._claims, where, body))

    def _event(self, target: Entity, package: Package, facts: Facts, data: Any, **more: str | int | bool) -> bytes:
        _, company = package.body
        known = {"company": company} if company is not None else {}
        extensions: dict[str, str | int | bool] = {
            "target": target.name,
            "entitykey": key_text(target.key),
            "batch": facts.batch,
            "batches": facts.batches,
            "lastbatch": facts.batch == facts.batches,
            "records": package.records,
            **known,
            **more,
        }
        source = f"postroad://{facts.origin}"
        return encode(
            Event(facts.identifier, source, TYPE, data, facts.dataset, facts.dispatched_at, extensions=extensions)
        )

    def _company(self, records: pa.RecordBatch) -> str | None:
        """The one company of all records, if there is one."""
        name = self._settings.company
        if name is None:
            return None
        if name not in records.schema.names:
            raise ConfigError(f"company names column {name}, which the delivery has not")
        found = pc.unique(records.column(name)).to_pylist()
        only = str(found[0]) if len(found) == 1 and found[0] is not None else None
        return only if only is not None and len(only) <= LONGEST_COMPANY else None

    def _declare_receipts(self, queue: str) -> None:
        refused = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": _refused(queue)}
        self._declare(_refused(queue), {"x-max-length": MOST_REFUSED})
        self._declare(queue, {**refused, "x-delivery-limit": NEVER_GIVEN_UP})

    def _declare(self, queue: str, arguments: dict[str, Any] | None = None) -> None:
        """See that a queue is there. One that somebody made is taken as it is."""
        if queue in self._ready:
            return
        if self._length(queue) is None:
            channel: BlockingChannel = self._link.other_channel()
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})})
            channel.close()
        self._ready.add(queue)

    def _length(self, queue: str) -> int | None:
        """How many messages wait in a queue; None if there is none of that name."""
        channel = self._link.other_channel()
        try:
            found = channel.queue_declare(queue, passive=True).method.message_count
        except ChannelClosedByBroker as error:
            if error.reply_code != NOT_FOUND:
                raise
            return None
        channel.close()
        return int(found)


def _refused(queue: str) -> str:
    """Where receipts lie that we refused."""
    return f"{queue}.refused"
