"""Alerts: what a person is told by e-mail, and the mails that tell it (run_engine.md, rule 13).

Written only here: the tables `alerts` and `mails`. An alert is noted in the transaction of what it tells of, such as
the one that makes a run's status final. What lasts, such as a parked close, is looked at again and noted in the
transaction that gathers all new alerts into one mail, at the end of every command that writes: a crash before it
leaves alerts without a mail and conditions that nobody noted, and the next such command gathers and notes them. A
mail has its Message-ID from then on; what the server answered is written after it was asked. A crash between the two
leaves a mail that was perhaps delivered: the next command sends it again under the same Message-ID, by which the
reader's side knows it. So an alert is told at least once, and twice only where an answer never came.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from postroad.store.database import Database
from postroad.store.rows import Row, first, many
from postroad.store.schema import alerts, mails
from postroad.telemetry import Point

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
KEEP = 180 * DAY
AT_ONCE = 100  # outlived rows that one mail's transaction forgets

SENT: Final = "sent"
REFUSED: Final = "refused"
LATER: Final = "later"
DOUBT: Final = "in doubt"


@dataclass(frozen=True)
class Alert:
    """How something stands, said whenever that is known: it is told when the state changes.

    `state` is empty where all is well. `since` (microseconds) is when it began, if that is known better than now.
    `reminds`: told again once a day while the state stays and is noted.
    """

    topic: str
    state: str
    subject: str
    text: str = ""
    since: int | None = None
    reminds: bool = True


@dataclass(frozen=True)
class Answer:
    """What the server answered for one address. `refused` is its final no; `in doubt`: no answer came to the text."""

    state: Literal["sent", "refused", "later", "in doubt"]
    text: str = ""


@dataclass(frozen=True)
class Mail:
    """One mail: its alerts, and by address the last answer and when to try again."""

    number: int
    message_id: str
    made_at: int
    answers: Mapping[str, Mapping[str, Any]]
    alerts: Sequence[Row]

    def open(self, to: Iterable[str]) -> list[str]:
        """The addresses that it has not reached and that are still to be tried."""
        states = {address: answer["state"] for address, answer in self.answers.items()}
        over = {SENT, REFUSED} if SENT in states.values() else {SENT}
        return [address for address in to if states.get(address) not in over]

    def due(self, to: Iterable[str], now: int) -> list[str]:
        """Those of them that are tried now."""
        return [each for each in self.open(to) if each not in self.answers or self.answers[each]["try_at"] <= now]


class Alerts:
    """The alerts of a project and their mails; where it is not `on`, nothing is noted."""

    def __init__(self, database: Database, *, on: bool) -> None:
        self._database = database
        self._on = on

    def note(self, db: Connection, alert: Alert) -> None:
        """Within the transaction of what it tells of: keep the alert if its topic's state is another one now."""
        if not self._on:
            return
        now = self._database.now(db)
        last = first(
            db.execute(select(alerts).where(alerts.c.topic == alert.topic).order_by(alerts.c.id.desc()).limit(1))
        )
        happened, since = _happened(alert, last, now)
        if happened is not None:
            values = {name: getattr(alert, name) for name in ("topic", "state", "subject", "text")}
            db.execute(insert(alerts).values(happened=happened, since_at=since, noted_at=now, **values))

    def gather(self, standing: Callable[[], Iterable[Alert]], domain: str) -> None:
        """Note what stands, and make one mail of all alerts that are in none yet; `domain` ends its Message-ID.

        `standing` is called while nobody else writes, so that what it reads is not overtaken.
        """
        with self._database.write(Point.MAIL_MADE) as db:
            for alert in standing():
                self.note(db, alert)
            now = self._database.now(db)
            if db.execute(select(alerts.c.id).where(alerts.c.mail.is_(None)).limit(1)).first() is None:
                return
            made = {"message_id": f"<postroad.{secrets.token_hex(12)}@{domain}>", "answers": {}, "made_at": now}
            mail = db.execute(insert(mails).values(**made).returning(mails.c.id)).scalar_one()
            db.execute(update(alerts).where(alerts.c.mail.is_(None)).values(mail=mail))
            self._forget(db, now)

    def unsent(self, to: Sequence[str]) -> list[Mail]:
        """The mails that have not reached all of these addresses, oldest first."""
        with self._database.read() as db:
            rows = many(db.execute(select(mails).where(mails.c.done_at.is_(None)).order_by(mails.c.id)))
            found = [self._mail(db, row) for row in rows]
        return [mail for mail in found if mail.open(to)]

    def left(self) -> bool:
        """Whether there is what nobody tried to tell yet: alerts of commands that were killed."""
        with self._database.read() as db:
            if db.execute(select(alerts.c.id).where(alerts.c.mail.is_(None)).limit(1)).first() is not None:
                return True
            return any(not row.answers for row in db.execute(select(mails.c.answers).where(mails.c.done_at.is_(None))))

    def refusing(self, to: Iterable[str]) -> dict[str, str]:
        """The addresses for which the server's last word was a final no, and that word."""
        with self._database.read() as db:
            rows = many(db.execute(select(mails.c.answers).order_by(mails.c.id.desc()).limit(AT_ONCE)))
        found = {}
        for address in to:
            last = next((row["answers"][address] for row in rows if address in row["answers"]), None)
            if last is not None and last["state"] == REFUSED:
                found[address] = str(last["answer"])
        return found

    def answered(self, mail: Mail, answers: Mapping[str, Answer], to: Sequence[str]) -> None:
        """Keep what the server answered for each address."""
        with self._database.write(Point.MAIL_ANSWERED) as db:
            now = self._database.now(db)
            row = first(db.execute(select(mails).where(mails.c.id == mail.number)))
            known = dict(row["answers"] if row is not None else {})
            for address, answer in answers.items():
                known[address] = _kept(known.get(address), answer, now)
            over = not Mail(mail.number, mail.message_id, mail.made_at, known, ()).open(to)
            values = {"answers": known, "done_at": now if over else None}
            db.execute(update(mails).where(mails.c.id == mail.number).values(**values))

    def now(self) -> int:
        """The clock of the database, in microseconds."""
        with self._database.read() as db:
            return self._database.now(db)

    def _mail(self, db: Connection, row: Row) -> Mail:
        mine = many(db.execute(select(alerts).where(alerts.c.mail == row["id"]).order_by(alerts.c.id)))
        return Mail(row["id"], row["message_id"], row["made_at"], row["answers"], mine)

    def _forget(self, db: Connection, now: int) -> None:
        """Forget what was told long ago; the last alert of each topic says how that stands and is kept."""
        old = select(mails.c.id).where(mails.c.made_at < now - KEEP).limit(AT_ONCE)
        gone = list(db.execute(old).scalars())
        newest = select(func.max(alerts.c.id)).group_by(alerts.c.topic)
        db.execute(delete(alerts).where(alerts.c.mail.in_(gone) & alerts.c.id.not_in(newest)))
        db.execute(delete(mails).where(mails.c.id.in_(gone)))


def _happened(alert: Alert, last: Row | None, now: int) -> tuple[str | None, int]:
    """What is to be told of a topic, and since when; None for nothing."""
    before = "" if last is None else last["state"]
    if alert.state != before:
        if not alert.state and last is not None:
            return "over", last["since_at"]
        return "begun", now if alert.since is None else alert.since
    if last is None or not alert.state or not alert.reminds or now - last["noted_at"] < DAY:
        return None, now
    return "reminder", last["since_at"]


def _kept(before: Mapping[str, Any] | None, answer: Answer, now: int) -> dict[str, Any]:
    """What certainly had no effect is tried by the next command, the rest after a pause that grows to a day."""
    tries = (before["tries"] if before else 0) + (answer.state != LATER)
    pause = 0 if answer.state == LATER else min(HOUR << min(tries - 1, 5), DAY)
    return {"state": answer.state, "answer": answer.text, "at": now, "tries": tries, "try_at": now + pause}
