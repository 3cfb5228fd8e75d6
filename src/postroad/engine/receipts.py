"""Receipts: what receivers say, later, of messages that were handed over.

A receipt is acknowledged only after the books have it, so a crash brings it again, and the same one twice is harmless.
It comes from outside: what names no message, or not as we told it, is refused by name and changes nothing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from postroad.catalog.deliveries import disagreement
from postroad.engine.answers import newer, open_keys, refusals
from postroad.engine.bench import Reporter
from postroad.engine.drain import Delivered
from postroad.engine.route import Route
from postroad.errors import ConfigError, LakeError, RemoteError, StateError
from postroad.records import Outcome, Receipt
from postroad.sdk.connector import HandsOver
from postroad.store.rows import Row
from postroad.tracking import Tracking
from postroad.tracking.messages import AWAITED, Answer

IDENTIFIER = re.compile(r"([0-9]{1,18})-([0-9a-f]{1,64})", re.ASCII)
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
        """Settle what has come. A receiver that cannot be asked now is asked the next time."""
        awaiting = self._tracking.messages.awaiting()
        asked = {route.delivery.destination: route for name, route in self._routes.items() if name in awaiting}
        for connection, route in asked.items():
            if isinstance(route.destination, HandsOver):
                try:
                    route.destination.receipts(lambda receipt, of=connection: self._settle(receipt, of))  # type: ignore[misc]
                except (RemoteError, ConfigError) as error:
                    self._reporter.say(f"{connection}: no receipts: {error}")

    def _settle(self, receipt: Receipt, connection: str) -> Verdict:
        """What becomes of one receipt."""
        found = self._message(receipt, connection)
        if isinstance(found, str):
            self._reporter.say(f"{connection}: a receipt is refused: {found}")
            return "refused"
        if found["status"] not in AWAITED:
            return "settled"  # the same receipt twice, or one for each time that the message was sent
        route = self._routes.get(found["subscription"])
        if route is None:
            return "later"  # for whoever delivers that too
        try:
            answer = self._answer(route, found, receipt.rejected)
        except (ConfigError, LakeError, StateError) as error:
            self._reporter.say(f"{route.name}: a receipt waits: {error}")
            return "later"
        if answer is None:
            self._reporter.say(f"{route.name}: a receipt is refused: it rejects a record that its message has not")
            return "refused"
        if self._tracking.messages.receive(found["id"], answer, (route.delivery.connection, route.delivery.entity)):
            done = self._done[route.name]
            done.messages += 1
            done.records += answer.accepted
            done.rejected += len(answer.refused)
        return "settled"

    def _message(self, receipt: Receipt, connection: str) -> Row | str:
        """The message that a receipt is for, or why it is refused."""
        if receipt.problem:
            return receipt.problem
        named = IDENTIFIER.fullmatch(receipt.identifier)
        found = self._tracking.messages.find(int(named[1])) if named else None
        if named is None or found is None or found["subscription"].partition(".")[0] != connection:
            return "it names no message that was sent there"
        if not secrets.compare_digest(named[2], found["receipt"]):
            return f"it names message {found['number']} of {found['subscription']}, and not by its identifier"
        return found

    def _answer(self, route: Route, row: Row, rejected: Sequence[Outcome]) -> Answer | None:
        """What becomes of the records; None if one is rejected that the message has not.

        The rows are read only where some are rejected, an older rejection may close, or some rows are no records.
        """
        if not (rejected or route.delivery.cleaning.where or self._tracking.rejections.refused(route.name)):
            return Answer(row["records"])
        known = self._tracking.subscriptions.get(route.name)
        other = None if known is None else disagreement(route.delivery, known)
        if other is not None:
            raise ConfigError(other)  # under another rule other rows would be meant
        dataset = route.dataset(row["to_version"])
        rows = route.rows(dataset, row["slices"])
        cleaned = route.cleaned(dataset, rows, row["slices"])
        whose = {place: each for each in reversed(rejected) for place in each.records}
        if any(not 0 <= place < cleaned.records.num_rows for place in whose):
            return None
        applied = [place for place in range(cleaned.records.num_rows) if place not in whose]
        said = [replace(each, records=cleaned.original([place])) for place, each in sorted(whose.items())]
        return Answer(
            len(applied),
            refused=[each for outcome in said for each in refusals(rows, route, outcome)],
            newer=newer(open_keys(self._tracking, route), route, rows, cleaned.original(applied)),
            left_out=rows.num_rows - cleaned.records.num_rows,
        )
