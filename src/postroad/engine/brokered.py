"""The queue of a project with a broker. The database stays the authority; the broker hands out the work.

    dispatch ─▶ messages in the database ── publish ──▶ broker ── take: its delivery, then the lease ──▶ drain
                       ▲                                  │            of exactly that message             │
                       └────────── given up ──────────────┴──── outcome in the database, acknowledged ◀────┘

So a broker may lose, repeat and reorder. What it lost is published again when nobody took it; what comes twice finds a
lease or an outcome, and is dropped. A message is acknowledged when its outcome stands, or when it was put back: then it
is published again once it is due. All that is durable here is written by `Published`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from postroad.engine.notices import named, notice, require_same
from postroad.errors import MessageError, QueueError
from postroad.sdk.secrets import Secret
from postroad.store.rows import Row
from postroad.tracking.published import UNTAKEN, Published
from postroad.tracking.queue import Held, Queue
from postroad.wire.address import parameters
from postroad.wire.envelope import MEDIA_TYPE, MOST_BYTES, Event, decode, encode
from postroad.wire.line import Delivery, Letter, Line
from postroad.wire.topology import Topology, declare

SOON = 0.2  # seconds within which a message that the broker has is in our hands
LOOKS = 25  # so often we wait for one
STALE = 1.0  # seconds until we look again which subscriptions are paused
LONGEST = 30.0  # seconds between two tries of a broker that does not answer
MOST_DEAD = 100  # messages that the broker gave up, taken back at once
REASON, BYTES, CAME_BY = "x-postroad-reason", "x-postroad-bytes", "x-postroad-queue"
DIED = "x-first-death-reason"
DEATHS = {"delivery_limit", "expired", "maxlen", "rejected"}


@dataclass(frozen=True)
class Broker:
    """Where the broker is, what the project has there, and the source of its events."""

    url: Secret
    topology: Topology
    source: str

    def line(self) -> Line:
        """An open line to what is declared; QueueError if there is none, ConfigError if it is otherwise there."""
        url = self.url.reveal()
        declare(parameters(url, self.topology.exchange), self.topology)
        return Line(parameters(url, self.topology.exchange))


class BrokeredQueue:
    """Takes messages from a broker over one line, opened when it is needed and again after it broke.

    Every method that asks the broker raises QueueError if it does not answer, and then leaves it alone for a while.
    `books` is the embedded queue, which renews.
    """

    def __init__(self, books: Queue, published: Published, broker: Broker, say: Callable[[str], None]) -> None:
        self._books = books
        self._published = published
        self._broker = broker
        self._say = say
        self._line: Line | None = None
        self._at_hand: dict[int, Delivery] = {}
        self._put_by: list[Delivery] = []
        self._looked = 0.0
        self._failures = 0
        self._again_at = 0.0

    def take(self, names: Sequence[str]) -> Held | None:
        """See `Queue.take`. What is due is published first where need be.

        None also while all that is due lies in the hands of other workers, for at most `UNTAKEN`: then we take it all
        the same.
        """
        with self._answering() as line:
            self._acknowledge(line)
            for _ in range(LOOKS):
                self._look(line, names)
                held = self._next(line, names, 0.0)
                if held is not None:
                    return held
                waiting = self._published.waiting(names)
                if not waiting:
                    return None
                self._publish(line, waiting)
                held = self._next(line, names, SOON)
                if held is not None:
                    return held
                held, coming = self._untaken(line, names, waiting)
                if held is not None or not coming:
                    return held
        return None

    def more(self, held: Held, most: int, room: int) -> Sequence[Held]:
        """See `Queue.more`: what of its queue lies in our hands already. A line that breaks gives none."""
        queue = self._broker.topology.queue(held.subscription)
        ours: dict[int, tuple[Delivery, Event]] = {}
        with suppress(QueueError), self._answering() as line:
            while len(ours) < most and (delivery := self._delivered(line, 0.0)) is not None:
                with suppress(MessageError):
                    event, message = self._read(delivery)
                    if delivery.queue == queue and message != held.message and message not in ours:
                        ours[message] = delivery, event
                        continue
                self._put_by.append(delivery)  # it is for `take`, whatever it is
                break
            known = {message: partial(require_same, event) for message, (_, event) in ours.items()}
            found, later = self._published.more(known, held.subscription, room) if known else ([], set())
            self._at_hand |= {each.message: ours.pop(each.message)[0] for each in found}
            self._put_by += [ours.pop(message)[0] for message in later]
            for delivery, _ in ours.values():
                line.acknowledge(delivery)
            return found
        return []

    def renew(self, helds: Sequence[Held]) -> bool:
        """See `Queue.renew`."""
        return self._books.renew(helds)

    def done(self, held: Held) -> None:
        """See `Queue.done`. A line that broke meanwhile needs no acknowledgement: what comes again is dropped."""
        delivery = self._at_hand.pop(held.message, None)
        if self._line is not None and delivery is not None:
            self._line.acknowledge(delivery)

    def publish(self, names: Sequence[str]) -> None:
        """See `Queue.publish`: what is not on the broker yet, and what it gave up."""
        with self._answering() as line:
            self._take_back(line)
            self._publish(line, names)

    def close(self) -> None:
        """See `Queue.close`. What we had not acknowledged the broker hands to others."""
        self._at_hand.clear()
        self._put_by.clear()
        if self._line is not None:
            self._line.close()
            self._line = None

    # To the broker

    def _publish(self, line: Line, names: Sequence[str]) -> None:
        while self._send(line, *self._published.publishing(names)):
            pass

    def _send(self, line: Line, stamp: int, rows: Sequence[Row]) -> bool:
        """Whether there were any. Those without a confirm are in doubt, and sent again by and by."""
        if not rows:
            return False
        sent = line.publish([self._letter(row) for row in rows])
        self._published.confirmed(stamp, [row["id"] for row, there in zip(rows, sent, strict=True) if there])
        if not all(sent):
            raise QueueError(
                f"the broker did not take {sent.count(False)} of {len(sent)} messages: they are sent again"
            )
        return True

    def _letter(self, row: Row) -> Letter:
        event = notice(row, self._broker.source)
        return Letter(self._broker.topology.exchange, row["subscription"], encode(event), MEDIA_TYPE, event.id)

    def _untaken(self, line: Line, names: Sequence[str], waiting: Sequence[str]) -> tuple[Held | None, bool]:
        """What the broker was given and has no more, though nobody took it; else whether it has something.

        It was lost there, or lies with a worker that is busy or frozen; with no consumer but us it cannot do that. We
        hold the first such message, and the others are published again. The first not: the broker might hand it to
        that very worker.
        """
        coming = False
        for name in waiting:
            ready, consumers = line.length(self._broker.topology.queue(name))
            if ready:
                coming = True
                continue
            after = 0 if consumers <= 1 else UNTAKEN
            stamp, rows = self._published.publishing([name], again=True, after=after)
            self._send(line, stamp, rows[1:])
            held = self._published.take(rows[0]["id"], names, lambda _: None) if rows else None
            if held is not None:
                return held, True
        return None, coming

    # From the broker

    def _look(self, line: Line, names: Sequence[str]) -> None:
        if time.monotonic() >= self._looked + STALE or self._looked == 0.0:
            line.consume([self._broker.topology.queue(name) for name in self._published.awake(names)])
            self._looked = time.monotonic()

    def _next(self, line: Line, names: Sequence[str], patience: float) -> Held | None:
        while (delivery := self._delivered(line, patience)) is not None:
            held = self._taken(line, delivery, names)
            if held is not None:
                return held
        return None

    def _delivered(self, line: Line, patience: float) -> Delivery | None:
        return self._put_by.pop() if self._put_by else line.next(patience)

    def _taken(self, line: Line, delivery: Delivery, names: Sequence[str]) -> Held | None:
        """The message of a delivery, held by us; else it is done with, whatever it was."""
        with self._refusing(line, delivery):
            event, message = self._read(delivery)
            held = self._published.take(message, names, partial(require_same, event))
            if held is None:
                line.acknowledge(delivery)
            else:
                self._at_hand[message] = delivery
            return held
        return None

    def _take_back(self, line: Line) -> None:
        for _ in range(MOST_DEAD):
            delivery = line.get(self._broker.topology.dead)
            if delivery is None:
                return
            with self._refusing(line, delivery):
                event, message = self._read(delivery)
                death = delivery.headers.get(DIED)
                reason = f"given up by the broker: {death if isinstance(death, str) and death in DEATHS else 'unknown'}"
                self._published.given_up(message, reason, partial(require_same, event))
                line.acknowledge(delivery)

    def _read(self, delivery: Delivery) -> tuple[Event, int]:
        event = decode(delivery.body)
        return event, named(event, self._broker.source)

    @contextmanager
    def _refusing(self, line: Line, delivery: Delivery) -> Iterator[None]:
        """What is no message of ours is kept where a person finds it, with the reason, and never looked at again."""
        try:
            yield
        except MessageError as error:
            told = {REASON: str(error), BYTES: len(delivery.body), CAME_BY: delivery.queue}
            kept = Letter("", self._broker.topology.refused, delivery.body[:MOST_BYTES], "", "refused", told)
            if not all(line.publish([kept])):
                raise QueueError(f"the broker did not take a message for '{kept.key}'") from error
            line.acknowledge(delivery)
            self._say(f"a message on {delivery.queue} is refused and kept on {kept.key}: {error}")

    def _acknowledge(self, line: Line) -> None:
        """What was in hand when something else failed: its lease ends, and it is published again."""
        while self._at_hand:
            line.acknowledge(self._at_hand.popitem()[1])

    @contextmanager
    def _answering(self) -> Iterator[Line]:
        """The line; where it breaks it is dropped, and with it what it had in hand."""
        wait = self._again_at - time.monotonic()
        if wait > 0:
            raise QueueError("the broker does not answer", wait)
        try:
            if self._line is None:
                self._line = self._broker.line()
                self._looked, self._failures = 0.0, 0
            yield self._line
        except QueueError as error:
            self._failures += 1
            error.wait = min(2.0 ** min(self._failures, 10), LONGEST)
            self._again_at = time.monotonic() + error.wait
            self.close()
            raise
        except BaseException:
            self.close()  # what had come and was not looked at is for others, or for our next try
            raise
