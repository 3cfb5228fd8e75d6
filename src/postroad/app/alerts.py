"""Alerts: gather what a person should know into a mail, and send what is unsent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from postroad.errors import BusyError, LakeError, PostroadError, StateError
from postroad.records import Check
from postroad.tracking.runs import moment

if TYPE_CHECKING:
    from postroad.app.app import App
    from postroad.catalog.deliveries import SubscriptionStatus
    from postroad.project import Notify
    from postroad.tracking.alerts import Alert

SENDING = "mail"  # the lease of whoever sends; datasets have a dot in their names
TURN = 3.0  # seconds that we wait for somebody else who sends


class Alerts:
    """What the people of `notify:` are told; without it nothing is noted and nothing sent."""

    def __init__(self, app: App) -> None:
        self._app = app

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around the work of a command that writes: tell afterwards what there is to tell, failed or not.

        Before it what killed commands left is told, as this one may be killed too. Nothing of it fails the command.
        Who is stopped leaves it to the next command.
        """
        self.deliver(standing=False)
        try:
            yield
        except Exception:
            self.deliver()
            raise
        self.deliver()

    def deliver(self, *, standing: bool = True) -> None:
        """Gather what is to be told into a mail, and send every mail that is unsent.

        `standing`: look at how the connections stand, which is known once the work is done; without it only what
        nobody tried to tell yet is told.
        """
        notify = self._app.project.notify
        if notify is None or self._app.stop.asked:
            return
        try:
            if not standing and not self._app.tracking.alerts.left():
                return
            self._gather(notify, standing=standing)
            self._send(notify)
        except BusyError:
            pass  # whoever sends takes ours too, or the next command does
        except (PostroadError, OSError, ValueError) as error:
            self._app.reporter.say(f"alerts: {error}; the next command tries again")

    def unsent(self) -> list[dict[str, Any]]:
        """What was not told yet, oldest first, and why; then the addresses that refuse mail."""
        notify, alerts = self._app.project.notify, self._app.tracking.alerts
        if notify is None:
            return []
        found: list[dict[str, Any]] = [
            {
                "subject": "; ".join(alert["subject"] for alert in mail.alerts),
                "made_at": moment(mail.made_at),
                "unsent": {to: mail.answers[to]["answer"] if to in mail.answers else "" for to in mail.open(notify.to)},
            }
            for mail in alerts.unsent(notify.to)
        ]
        refusing = alerts.refusing(notify.to)
        waiting = {address for each in found for address in each["unsent"]}
        if set(refusing) - waiting:
            found.append({"subject": None, "made_at": None, "unsent": refusing})
        return found

    def check(self) -> Iterator[Check]:
        """Try the server without sending."""
        if self._app.project.notify is not None:
            from postroad.engine.mail import check_server  # smtplib is for this alone

            yield from check_server(self._app.project.notify.server)

    def _gather(self, notify: Notify, *, standing: bool) -> None:
        from postroad.engine.alerts import of_subscription
        from postroad.engine.alerts import standing as how_it_stands

        with ExitStack() as stack:
            deliveries = self._deliveries() if standing else []
            benches = []
            for connection, entities in self._app.selected(None).items() if standing else ():
                with suppress(PostroadError, OSError):  # a connection that cannot be opened fails its own runs
                    benches.append((stack.enter_context(self._app.bench(connection)), entities))

            def found() -> Iterator[Alert]:
                for bench, entities in benches:
                    with suppress(LakeError, StateError):  # so does one whose lake cannot be read
                        yield from how_it_stands(bench, entities)
                for each in deliveries:
                    yield from of_subscription(each)

            self._app.tracking.alerts.gather(found, notify.sender.rpartition("@")[2])

    def _deliveries(self) -> list[SubscriptionStatus]:
        """How the deliveries stand, those aside whose dataset cannot be looked at: its own runs fail."""
        found = self._app.deliveries.forgotten()
        for delivery in self._app.project.deliveries:
            with suppress(PostroadError, OSError):
                found.append(self._app.deliveries.look(delivery))
        return found

    def _send(self, notify: Notify) -> None:
        tracking = self._app.tracking
        if not self._letters(notify):
            return
        from postroad.engine.mail import post

        with tracking.leases.hold(SENDING, TURN) as lease, closing(post(notify, self._letters(notify))) as posted:
            for letter, answers in posted:
                tracking.alerts.answered(letter.mail, answers, notify.to)
                tracking.leases.check(lease)  # before the next: who slept meanwhile is not the one who sends any more
                failed = sorted({f"{to}: {each.text}" for to, each in answers.items() if each.state != "sent"})
                if failed:
                    self._app.reporter.say(f"alert not sent to {'; '.join(failed)}; the next command tries again")

    def _letters(self, notify: Notify) -> list[Any]:
        """What is to be sent now, as messages."""
        alerts = self._app.tracking.alerts
        unsent = [(mail, mail.due(notify.to, alerts.now())) for mail in alerts.unsent(notify.to)]
        if not any(to for _, to in unsent):
            return []
        from postroad.engine.mail import Letter, message

        return [Letter(mail, message(self._app.project, notify, mail), to) for mail, to in unsent if to]
