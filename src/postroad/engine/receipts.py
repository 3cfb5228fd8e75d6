"""Receipts: what receivers say, later, of messages that were handed over.

A receipt is acknowledged only after the books have it, so a crash brings it again, and the same one twice is harmless.
It comes from outside: what names no message, or not as we told it, is refused by name and changes nothing.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from postroad.catalog.deliveries import disagreement
from postroad.engine.answers import newer, refusals
from postroad.engine.bench import Reporter
from postroad.engine.drain import Delivered
from postroad.engine.route import Route
from postroad.errors import ConfigError, LakeError, LostClaimError, MessageError, RemoteError, StateError
from postroad.project import Cleaning
from postroad.records import Outcome, Receipt
from postroad.sdk.connector import HandsOver
from postroad.store.rows import Row
from postroad.tracking import Tracking
from postroad.tracking.messages import AWAITED, Answer
from postroad.tracking.rejections import Newer

IDENTIFIER = re.compile(r"([0-9]{1,18})-([0-9a-f]{1,64})", re.ASCII)
MOST_SAID = 10  # different refusals that one look tells; the receipts themselves are put aside
Verdict = Literal["settled", "refused", "later"]


class Receipts:
    """Settles messages of some subscriptions by the receipts that came for them."""

    def __init__(
        self, tracking: Tracking, reporter: Reporter, routes: Mapping[str, Route], done: Mapping[str, Delivered]
    ) -> None:
        self._tracking = tracking
        self._reporter = reporter
        self._routes = routes
        self._done = done

    def collect(self) -> None:
        """Settle what has come. Who cannot be asked now is asked the next time. StoppedError if we are to stop."""
        awaiting = self._tracking.messages.awaiting()
        asked = {route.delivery.destination: route for name, route in self._routes.items() if name in awaiting}
        for connection, route in asked.items():
            if isinstance(route.destination, HandsOver):
                refused: Counter[str] = Counter()
                try:
                    route.destination.receipts(partial(self._settle, route, refused))
                except (RemoteError, ConfigError) as error:
                    self._reporter.say(f"{connection}: no receipts: {error}")
                for sentence, count in refused.most_common(MOST_SAID):
                    self._reporter.say(f"{connection}: a receipt is refused ({count:,} times): {sentence}")

    def _settle(self, at: Route, refused: Counter[str], receipt: Receipt) -> Verdict:
        """What becomes of one receipt."""
        at.bench.stop.check()
        try:
            found = self._message(receipt, at.delivery.destination)
            if found["status"] not in AWAITED:
                return "settled"  # the same receipt twice, or one for each time that the message was sent
            return self._receive(found, receipt.rejected)
        except MessageError as error:
            refused[str(error)] += 1
            return "refused"

    def _message(self, receipt: Receipt, connection: str) -> Row:
        """The message that a receipt is for; MessageError if it is for none."""
        if receipt.problem:
            raise MessageError(receipt.problem)
        named = IDENTIFIER.fullmatch(receipt.identifier)
        found = self._tracking.messages.find(int(named[1])) if named else None
        if named is None or found is None or found["subscription"].partition(".")[0] != connection:
            raise MessageError("it names no message that was sent there")
        if not secrets.compare_digest(named[2], found["receipt"]):
            raise MessageError(f"it names message {found['number']} of {found['subscription']} by another identifier")
        return found

    def _receive(self, row: Row, rejected: Sequence[Outcome]) -> Verdict:
        """Settle a message; what only somebody else can settle now, or nobody, is for later."""
        name = row["subscription"]
        known, route = self._tracking.subscriptions.get(name), self._routes.get(name)
        assert known is not None  # it began in the transaction of its first messages
        any_open, upto = self._tracking.rejections.any_open(name)
        try:
            if rejected or any_open or _ruled(known):
                if route is None:
                    return "later"  # for whoever delivers that too
                answer = self._answer(route, known, row, rejected)
            else:
                answer = Answer(row["records"], newer=Newer({}, upto, _look_again))
        except (ConfigError, LakeError, StateError) as error:
            self._reporter.say(f"{name}: a receipt waits: {error}")
            return "later"
        try:
            settled = self._tracking.messages.receive(row["id"], answer, known["dataset"].partition(".")[::2])
        except LostClaimError:
            return "later"
        if settled and name in self._done:
            done = self._done[name]
            done.messages += 1
            done.records += answer.accepted
            done.rejected += len(answer.refused)
        return "settled"

    def _answer(self, route: Route, known: Row, row: Row, rejected: Sequence[Outcome]) -> Answer:
        """What becomes of the records; MessageError if one is rejected that the message has not."""
        other = disagreement(route.delivery, known)
        if other is not None:
            raise ConfigError(other)  # under another rule other rows would be meant
        dataset = route.dataset(row["to_version"])
        rows = route.rows(dataset, row["slices"])
        cleaned = route.cleaned(dataset, rows, row["slices"])
        whose = {place: each for each in reversed(rejected) for place in each.records}
        if any(not 0 <= place < cleaned.records.num_rows for place in whose):
            raise MessageError(f"it rejects a record that its message of {cleaned.records.num_rows:,} has not")
        applied = [place for place in range(cleaned.records.num_rows) if place not in whose]
        said = [replace(each, records=cleaned.original([place])) for place, each in sorted(whose.items())]
        (found,) = newer(self._tracking, route, [(rows, cleaned.original(applied))])
        return Answer(
            len(applied),
            refused=[each for outcome in said for each in refusals(rows, route, outcome)],
            newer=found,
            left_out=rows.num_rows - cleaned.records.num_rows,
        )


def _ruled(known: Row) -> bool:
    """Whether the delivery's rule may have left rows out."""
    return (known["cleaning"] or Cleaning().digest) != Cleaning().digest


def _look_again(_: Collection[str]) -> Mapping[str, int]:
    raise LostClaimError("a record was rejected meanwhile: the message's rows have to be read")
