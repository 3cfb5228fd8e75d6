"""Deliveries: dispatch and drain them, look at them, pause and resume them."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from postroad.app.queue import QueueStatus, check_queue, open_queue, queue_status
from postroad.catalog.deliveries import SubscriptionStatus, forgotten, subscription_status
from postroad.engine.dispatch import dispatch
from postroad.engine.drain import Delivered, Drain
from postroad.engine.forget import forget
from postroad.engine.late import close_late
from postroad.engine.receipts import Receipts
from postroad.engine.resend import Resend, again, resends
from postroad.engine.route import Route, from_json
from postroad.engine.verify import Verification, Verified
from postroad.errors import (
    BusyError,
    ConfigError,
    DatabaseError,
    LakeError,
    LostClaimError,
    Mistake,
    QueueError,
    StateError,
    StoppedError,
)
from postroad.lake.slices import SliceReader, picked
from postroad.project import Delivery
from postroad.records import Check
from postroad.status import HELD, OPEN
from postroad.tracking.leases import PATIENCE
from postroad.tracking.queue import PAUSED

if TYPE_CHECKING:
    from postroad.app.app import App

IDLE = 2.0  # seconds between two looks of a worker that found nothing, and of a busy one at receipts
TELL = 60.0  # seconds between two looks of a worker at what people should be told


class Deliveries:
    """The deliveries of a project."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._alone = False  # the broker did not answer this worker

    def mistakes(self) -> list[Mistake]:
        """What is wrong with the cleaning of deliveries for the columns that their datasets have; needs no network."""
        found: list[Mistake] = []
        for delivery in self._app.project.deliveries:
            with self._app.bench(delivery.connection) as bench:
                found += delivery.cleaning.mistakes(bench.entity(delivery.entity))
        return found

    def deliver(self, select: str | None = None, *, most: int | None = None) -> dict[str, Delivered]:
        """Dispatch what is new in the selected datasets and drain their subscriptions until nothing is due.

        What each got, by the subscription's name. `most` ends it after so many messages.
        """
        with self._routes(select) as routes, self._drain(routes) as drain:
            receipts = self._receipts(drain, routes)
            receipts.collect()
            self._dispatch(drain, routes)
            self._empty(drain, most)
            receipts.collect()
            with suppress(DatabaseError, LakeError):  # the next run or worker does it
                close_late(self._app.tracking, routes)
        self._drop_settled()
        for name, done in drain.done.items():
            done.problem = done.problem or self._failing(name)
        return drain.done

    def dispatch(self, select: str | None = None) -> int:
        """Write what is new in the selected datasets as messages, and send none; how many messages that made."""
        with self._routes(select) as routes:
            return sum(map(dispatch, routes.values()))

    def work(self) -> None:
        """Dispatch and drain all subscriptions until somebody wants us to end; the message at hand is settled first.

        Any number of processes may do this side by side.
        """
        if not self._app.project.deliveries:
            raise ConfigError("no flow delivers anything: there is nothing for a worker to do")
        with (
            self._app.alerts.told(),
            self._routes(None) as routes,
            self._drain(routes) as drain,
            suppress(StoppedError),
        ):
            tell = 0.0
            while True:
                wait = self._round(drain, routes)
                if time.monotonic() >= tell:
                    self._app.alerts.deliver()
                    self._drop_settled()
                    tell = time.monotonic() + TELL
                self._app.stop.sleep(wait)

    def queue(self) -> QueueStatus | None:
        """How the broker is that hands out messages; None if the project has none."""
        return queue_status(self._app)

    def check_queue(self) -> Iterator[Check]:
        """Reach that broker, and declare what is missing there."""
        return check_queue(self._app)

    def status(self, select: str | None = None) -> list[SubscriptionStatus]:
        """How the subscriptions of the selected datasets stand; asks no receiver."""
        found = [self.look(each) for each in self._app.project.deliveries if _selected(each, select)]
        return found if select is not None else [*found, *self.forgotten()]

    def look(self, delivery: Delivery) -> SubscriptionStatus:
        """How one delivery's subscription stands."""
        with self._app.bench(delivery.connection) as bench:
            return subscription_status(self._app.tracking, bench.dataset(delivery.entity), delivery)

    def forgotten(self) -> list[SubscriptionStatus]:
        """The subscriptions that no flow names any more and that still have messages."""
        return forgotten(self._app.tracking, [each.to for each in self._app.project.deliveries])

    def pause(self, name: str) -> None:
        """Send nothing more to a target until it is resumed."""
        self._named(name)
        self._app.tracking.subscriptions.pause(name, f"by {getpass.getuser()}")

    def resume(self, name: str) -> None:
        """Go on with a target."""
        self._named(name)
        self._app.tracking.subscriptions.resume(name)

    def retry(self, name: str) -> dict[str, Delivered]:
        """Send the current rows of what a subscription's receiver refused, and the messages that are held."""
        delivery = self._named(name)
        with self._app.alerts.told():
            planned = self.resends(name)
            self._app.tracking.messages.retry(name, *again(planned, delivery), getpass.getuser())
            return self.deliver(delivery.dataset)

    def resends(self, name: str) -> list[Resend]:
        """What a retry does with each key that a subscription's receiver refused; changes nothing."""
        delivery = self._named(name)
        with self._app.bench(delivery.connection) as bench:
            return resends(self._app.tracking, bench.dataset(delivery.entity), name)

    def has(self, name: str) -> bool:
        """Whether some flow delivers to a target."""
        return any(each.to == name for each in self._app.project.deliveries)

    def verify(self, name: str, sample: int = 1000, *, show: bool = False) -> Verified:
        """Compare what a receiver holds with the dataset: all keys and versions, and the values of a sample.

        ConfigError if the receiver cannot be read back. `show` keeps values that differ.
        """
        delivery = self._named(name)
        with self._routes(delivery.dataset) as routes:
            return Verification(routes[name], sample, show=show).run()

    def discard(self, name: str) -> tuple[int, int]:
        """Drop the messages of a subscription that wait for a person; how many there were.

        Of one that no flow names any more all that are open, and its rejections, the second number.
        """
        tracking, actor, named = self._app.tracking, getpass.getuser(), self.has(name)
        if not named and tracking.subscriptions.get(name) is None:
            self._named(name)
        with self._app.alerts.told():
            if named:
                return tracking.messages.discard(name, actor, HELD), 0
            return tracking.messages.discard(name, actor, OPEN), tracking.rejections.discard_all(name, actor)

    def record(self, rejection: Mapping[str, Any]) -> str | None:
        """The record that a receiver refused, as JSON; None if its dataset is no longer in any flow."""
        message = self._app.tracking.messages.get(rejection["payload"])
        connection, entity = rejection["connection"], rejection["entity"]
        if entity not in self._app.entities(connection):
            return None
        with self._app.bench(connection) as bench:
            slices = picked(from_json(message["slices"]), [rejection["row"]])
            with closing(SliceReader(self._app.lake.disk)) as reader:
                rows = reader.read(bench.dataset(entity), slices)
        return json.dumps(rows.to_pylist()[0], ensure_ascii=False, default=str)

    def _drop_settled(self) -> None:
        app = self._app
        with suppress(DatabaseError, LakeError, OSError):  # the next run or worker does it, as on a full disk
            forget(app.tracking, app.lake.disk, app.heart, app.stop, app.project.keep_messages)

    def _failing(self, name: str) -> str | None:
        """Why a subscription waits or is paused since an earlier run; None if it is not, or by a person's wish."""
        known = self._app.tracking.subscriptions.get(name)
        if known is None or not known["failures"]:
            return None
        if known["status"] == PAUSED and known["reason"] != known["last_outcome"]:
            return None  # somebody paused it during an outage
        return (
            f"{known['status']}: {known['last_outcome']}" if known["status"] == PAUSED else str(known["last_outcome"])
        )

    def _named(self, name: str) -> Delivery:
        known = {each.to: each for each in self._app.project.deliveries}
        if name not in known:
            raise ConfigError(f"no flow delivers to '{name}'; there are: {', '.join(known) or 'no deliveries'}")
        return known[name]

    @contextmanager
    def _drain(self, routes: Mapping[str, Route]) -> Iterator[Drain]:
        with closing(open_queue(self._app)) as queue:
            yield Drain(self._app.tracking, queue, self._app.heart, self._app.reporter, routes)

    def _empty(self, drain: Drain, most: int | None) -> None:
        """Drain until nothing is due, or after so many messages. Without its queue everything waits."""
        try:
            drain.publish()
            while (most is None or most > 0) and (sent := drain.some(most)):
                self._app.stop.check()
                most = None if most is None else most - sent
        except QueueError as error:
            self._app.reporter.say(str(error))
            for done in drain.done.values():
                done.problem = done.problem or str(error)

    def _receipts(self, drain: Drain, routes: Mapping[str, Route]) -> Receipts:
        return Receipts(self._app.tracking, self._app.reporter, routes, drain.done)

    def _round(self, drain: Drain, routes: Mapping[str, Route]) -> float:
        """Everything that is due now; when to come back. What does not answer on our side may by the next round."""
        try:
            receipts, look = self._receipts(drain, routes), time.monotonic() + IDLE
            receipts.collect()  # first: they may come from another broker than that of our queue, which may be down
            self._dispatch(drain, routes, patience=0.0)
            drain.publish()
            if self._alone:
                self._alone = False
                self._app.reporter.say("the broker answers again")
            while not self._app.stop.asked and drain.some():
                if time.monotonic() >= look:
                    receipts.collect()
                    close_late(self._app.tracking, routes)
                    look = time.monotonic() + IDLE
            close_late(self._app.tracking, routes)
        except (DatabaseError, LakeError) as error:
            self._app.reporter.say(str(error))
        except QueueError as error:
            self._alone = True
            self._app.reporter.say(str(error))
            return max(error.wait, IDLE)
        return IDLE

    def _dispatch(self, drain: Drain, routes: Mapping[str, Route], patience: float = PATIENCE) -> None:
        """One dataset that cannot be dispatched stops no other."""
        for name, route in routes.items():
            try:
                dispatch(route, patience)
            except (BusyError, LostClaimError):
                continue  # another process does it, or the next round
            except (ConfigError, StateError) as error:
                if isinstance(error, ConfigError):
                    drain.leave(name)
                drain.done[name].problem = str(error)
                self._app.reporter.say(str(error) if str(error).startswith(f"{name} ") else f"{name}: {error}")

    @contextmanager
    def _routes(self, select: str | None) -> Iterator[dict[str, Route]]:
        """The deliveries of the selected datasets, opened; each connection once."""
        chosen = [each for each in self._app.project.deliveries if _selected(each, select)]
        with ExitStack() as opened:
            benches = {
                name: opened.enter_context(self._app.bench(name)) for name in {each.connection for each in chosen}
            }
            destinations = {
                name: opened.enter_context(self._app.destination(name))
                for name in {each.destination for each in chosen}
            }
            readers = [opened.enter_context(closing(SliceReader(self._app.lake.disk))) for _ in chosen]
            project = self._app.project
            origin = f"{project.name}/{project.environment}" if project.environment else project.name
            yield {
                each.to: Route(each, benches[each.connection], destinations[each.destination], reader, origin)
                for each, reader in zip(chosen, readers, strict=True)
            }


def _selected(delivery: Delivery, select: str | None) -> bool:
    return select is None or select in (delivery.dataset, delivery.connection)
