"""A line to a broker: one connection with a thread of its own that reads and writes it, also while its owner works.

So heart-beats are answered during a long send, and many publishes are in flight at once: their confirms come in any
order. A line that broke stays broken; its owner opens another. What it had not acknowledged the broker hands out again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pika
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.exceptions import AMQPError

from postroad.errors import QueueError
from postroad.wire.address import PATIENCE, sentence

PREFETCH = 32  # the next messages wait in our hands, for the broker needs milliseconds between two of them

FAREWELL = 5.0  # seconds; a broker that does not say good-bye is left to its heart-beats


@dataclass(frozen=True)
class Letter:
    """A message to be published: where to, and its bytes."""

    exchange: str
    key: str
    body: bytes
    content_type: str
    identifier: str
    headers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def properties(self) -> pika.BasicProperties:
        """As AMQP has them; a broker that is restarted keeps it."""
        return pika.BasicProperties(
            content_type=self.content_type, message_id=self.identifier, headers=dict(self.headers) or None,
            delivery_mode=2,
        )  # fmt: skip


@dataclass(frozen=True)
class Delivery:
    """A message that the broker handed to us, until it is acknowledged or given back."""

    queue: str
    tag: int
    body: bytes
    headers: Mapping[str, Any]


class Line:
    """An open connection with one channel; every method raises QueueError once it is broken."""

    def __init__(self, to: pika.ConnectionParameters) -> None:
        self._fault: str | None = None
        self._waiting: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._consuming: dict[str, str] = {}
        self._published = 0
        self._unconfirmed: dict[int, str] = {}
        self._missed: set[str] = set()
        self._all_confirmed: Callable[[], None] = lambda: None
        self._none_there: Callable[[], None] = lambda: None
        self._channel: Channel
        opened: Future[None] = Future()
        self._waiting.add(opened)
        self._connection = SelectConnection(
            to,
            on_open_callback=lambda _: self._connection.channel(
                on_open_callback=lambda made: self._begin(made, opened)
            ),
            on_open_error_callback=lambda _, error: self._end(error),
            on_close_callback=lambda _, error: self._end(error),
        )
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._thread.start()
        try:
            self._result(opened)
        except QueueError:
            self.close()
            raise

    def publish(self, letters: Sequence[Letter]) -> list[bool]:
        """Send them all, then wait for the broker's word on each: whether it has it, durably, in some queue."""

        def act(done: Callable[[None], None]) -> None:
            self._missed = set()
            self._all_confirmed = lambda: done(None)
            for letter in letters:
                self._published += 1
                self._unconfirmed[self._published] = letter.identifier
                self._channel.basic_publish(letter.exchange, letter.key, letter.body, letter.properties, mandatory=True)
            if not letters:
                done(None)

        self._ask(act)
        return [letter.identifier not in self._missed for letter in letters]

    def consume(self, names: Sequence[str]) -> None:
        """Take messages from these queues from now on, and from no others."""
        for name in self._consuming.keys() - set(names):
            self._ask(partial(self._end_to_consume, self._consuming.pop(name)))
        for name in names:
            if name not in self._consuming:
                self._ask(partial(self._begin_to_consume, name))

    def next(self, patience: float) -> Delivery | None:
        """The next message of the queues that we consume; None if none comes for so many seconds."""
        while True:
            try:
                found = self._inbox.get(timeout=patience) if patience else self._inbox.get_nowait()
            except queue.Empty:
                self._require()
                return None
            if found is None:
                self._require()
            elif found.queue in self._consuming:
                return found
            else:  # it came before its queue was left
                self.give_back(found)

    def get(self, name: str) -> Delivery | None:
        """One message of a queue that we do not consume; None if it is empty."""

        def act(done: Callable[[Delivery | None], None]) -> None:
            def got(_: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
                done(Delivery(name, method.delivery_tag, body, properties.headers or {}))

            self._none_there = lambda: done(None)
            self._channel.basic_get(name, got)

        return self._ask(act)  # type: ignore[no-any-return]

    def length(self, name: str) -> tuple[int, int]:
        """How many messages of a queue are in nobody's hands, and how many consumers it has."""

        def act(done: Callable[[tuple[int, int]], None]) -> None:
            self._channel.queue_declare(
                name,
                passive=True,
                callback=lambda frame: done((frame.method.message_count, frame.method.consumer_count)),
            )

        return self._ask(act)  # type: ignore[no-any-return]

    def acknowledge(self, delivery: Delivery) -> None:
        """The broker may forget it."""
        self._tell(lambda: self._channel.basic_ack(delivery.tag))

    def give_back(self, delivery: Delivery) -> None:
        """The broker hands it to somebody else."""
        self._tell(lambda: self._channel.basic_nack(delivery.tag, requeue=True))

    def close(self) -> None:
        """Say good-bye; what was acknowledged before is so."""
        self._tell(lambda: self._connection.close() if self._connection.is_open else None)
        self._thread.join(FAREWELL)

    # The thread of the connection

    def _run(self) -> None:
        self._connection.ioloop.start()
        with suppress(OSError):
            self._connection.ioloop.close()

    def _begin(self, channel: Channel, opened: Future[None]) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _, error: self._break(error))
        channel.add_on_cancel_callback(lambda _: self._break(None))
        channel.add_on_return_callback(lambda _, __, properties, ___: self._missed.add(properties.message_id or ""))
        channel.add_callback(lambda _: self._none_there(), [pika.spec.Basic.GetEmpty], one_shot=False)
        channel.confirm_delivery(self._confirmed, callback=lambda _: None)
        channel.basic_qos(prefetch_count=PREFETCH, callback=lambda _: self._answer(opened, None))

    def _begin_to_consume(self, name: str, done: Callable[[None], None]) -> None:
        def came(_: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self._inbox.put(Delivery(name, method.delivery_tag, body, properties.headers or {}))

        self._consuming[name] = self._channel.basic_consume(name, came, callback=lambda _: done(None))

    def _end_to_consume(self, tag: str, done: Callable[[None], None]) -> None:
        self._channel.basic_cancel(tag, lambda _: done(None))

    def _confirmed(self, frame: Any) -> None:
        """One confirm, or one for all up to a number; a refused message is missed as one that reached no queue."""
        tag = frame.method.delivery_tag
        tags = [each for each in self._unconfirmed if each <= tag] if frame.method.multiple else [tag]
        for each in tags:
            identifier = self._unconfirmed.pop(each, "")
            if isinstance(frame.method, pika.spec.Basic.Nack):
                self._missed.add(identifier)
        if not self._unconfirmed:
            self._all_confirmed()

    def _break(self, error: BaseException | None) -> None:
        """Whoever waits is told; nothing works from now on."""
        with self._lock:
            if self._fault is None:
                self._fault = "the broker took a queue away" if error is None else sentence(error)
            waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each.set_exception(QueueError(self._fault))
        self._inbox.put(None)
        if self._connection.is_open:
            self._connection.close()

    def _end(self, error: BaseException) -> None:
        self._break(error)
        self._connection.ioloop.stop()

    # The thread of the owner

    def _ask(self, act: Callable[[Callable[[Any], None]], Any]) -> Any:
        """Do something on the connection's thread; what it hands to its argument, once the broker has answered."""
        future: Future[Any] = Future()
        with self._lock:
            self._require()
            self._waiting.add(future)
        self._tell(lambda: act(lambda value: self._answer(future, value)))
        return self._result(future)

    def _answer(self, future: Future[Any], value: Any) -> None:
        with self._lock:
            expected = future in self._waiting
            self._waiting.discard(future)
        if expected:
            future.set_result(value)

    def _result(self, future: Future[Any]) -> Any:
        try:
            return future.result(PATIENCE)
        except Late:
            self._tell(lambda: self._break(TimeoutError()))
            raise QueueError(f"the broker did not answer for {PATIENCE:.0f} seconds") from None

    def _tell(self, act: Callable[[], Any]) -> None:
        def guarded() -> None:
            if self._fault is None:
                try:
                    act()
                except AMQPError as error:
                    self._break(error)

        self._connection.ioloop.add_callback_threadsafe(guarded)

    def _require(self) -> None:
        if self._fault is not None:
            raise QueueError(self._fault)
