"""The book of alerts: what is told when, in which mail, and what is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.store.database import Database
from postroad.telemetry import Point
from postroad.tracking.alerts import DAY, HOUR, Alert, Alerts, Answer

ME, YOU = "me@acme.example", "you@acme.example"
SENT = Answer("sent", "250 taken")
LATER, REFUSED, DOUBT = Answer("later", "451 later"), Answer("refused", "550 who?"), Answer("in doubt", "no answer")


@dataclass
class Book:
    """A book on a clock that a test moves."""

    alerts: Alerts
    database: Database
    now: float = 1_790_000_000.0

    def note(self, state: str, topic: str = "run:erp.changes", **more: bool) -> None:
        with self.database.write(Point.RUN_ENDED) as db:
            self.alerts.note(db, Alert(topic, state, state or "well", **more))  # type: ignore[arg-type]

    def told(self, *addresses: str) -> list[tuple[str, str]]:
        """What the unsent mails tell, as `happened` and subject."""
        self.alerts.gather(list, "acme.example")
        mails = self.alerts.unsent(addresses or (ME,))
        return [(alert["happened"], alert["subject"]) for mail in mails for alert in mail.alerts]

    def answer(self, answers: dict[str, Answer], *to: str) -> None:
        """The oldest unsent mail is answered so."""
        self.alerts.answered(self.alerts.unsent(to or (ME,))[0], answers, to or (ME,))

    def due(self, *to: str) -> list[list[str]]:
        """Where each unsent mail is to be sent now."""
        now = int(self.now * 1e6)
        return [mail.due(to or (ME,), now) for mail in self.alerts.unsent(to or (ME,))]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Book]]:
    """New books, each on an empty database; made once, as making tables takes longest."""
    made: list[Book] = []

    def book() -> Book:
        if not made:
            database = Database(f"sqlite:///{tmp_path_factory.mktemp('alerts')}/t.db", clock=lambda: made[0].now)
            made.append(Book(Alerts(database, on=True), database))
        with made[0].database.write(Point.RUN_ENDED) as db:
            for table in ("alerts", "mails"):
                db.exec_driver_sql(f"delete from {table}")
        return made[0]

    yield book
    made[0].database.close()


@pytest.fixture
def book(books: Callable[[], Book]) -> Book:
    """An empty one."""
    return books()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["", "failed", "partly: invoices"]),
        st.sampled_from([0.5, 1, 5, 23, 25, 60]),  # hours since the step before
        st.sampled_from(["killed", "down", "451", "lost answer", "well"]),  # what becomes of the mail
    ),
    max_size=10,
)


@settings(max_examples=40)
@given(STEPS)
def test_each_change_of_state_is_told_in_one_mail(
    books: Callable[[], Book], steps: list[tuple[str, float, str]]
) -> None:
    """Whatever happens to mails: every change once, a reminder a day, and nothing else."""
    book = books()
    expected: list[tuple[str, str]] = []
    state, last = "", 0.0
    for new, hours, fate in steps:
        book.now += hours * 3600
        book.note(new)
        if new != state:
            expected.append(("begun" if new else "over", new or "well"))
            state, last = new, book.now
        elif new and book.now - last >= 86_400:
            expected.append(("reminder", new))
            last = book.now
        if fate == "killed":
            continue
        book.alerts.gather(list, "acme.example")
        for mail in book.alerts.unsent((ME,)):
            answer = {"down": LATER, "451": LATER, "lost answer": DOUBT, "well": SENT}[fate]
            if mail.due((ME,), int(book.now * 1e6)):
                book.alerts.answered(mail, {ME: answer}, (ME,))
    book.alerts.gather(list, "acme.example")
    with book.database.read() as db:
        rows = db.exec_driver_sql("select happened, subject, mail from alerts order by id").all()
    assert [(row[0], row[1]) for row in rows] == expected
    assert all(row[2] is not None for row in rows)
    assert [row[2] for row in rows] == sorted(row[2] for row in rows)


def test_what_did_not_reach_anybody_is_tried_by_the_next_command(book: Book) -> None:
    book.note("failed")
    assert book.told() == [("begun", "failed")]
    book.answer({ME: LATER})
    assert book.due() == [[ME]]
    book.answer({ME: SENT})
    assert book.due() == []


def test_an_answer_in_doubt_is_tried_again_after_a_pause_that_grows(book: Book) -> None:
    """The same mail again may be the second: not with every command."""
    book.note("failed")
    book.told()
    for hours in (1, 2, 4, 8, 16, 24, 24):
        book.answer({ME: DOUBT})
        book.now += hours * 3600 - 1
        assert book.due() == [[]]
        book.now += 2
        assert book.due() == [[ME]]


def test_one_refused_address_stops_no_other_and_is_not_tried_again(book: Book) -> None:
    book.note("failed")
    book.told()
    book.answer({ME: REFUSED, YOU: LATER}, ME, YOU)
    assert book.due(ME, YOU) == [[YOU]]
    book.answer({YOU: SENT}, ME, YOU)
    assert book.due(ME, YOU) == []
    assert book.alerts.refusing((ME, YOU)) == {ME: "550 who?"}
    book.note("")
    book.told(ME, YOU)
    book.answer({ME: SENT, YOU: SENT}, ME, YOU)
    assert book.alerts.refusing((ME, YOU)) == {}


def test_what_every_address_refuses_waits_for_another_address(book: Book) -> None:
    book.note("failed")
    book.told()
    book.answer({ME: REFUSED})
    assert book.due(ME) == [[]]
    assert book.due(YOU) == [[YOU]]
    book.now += 3601
    assert book.due(ME) == [[ME]]


def test_what_is_told_once_has_no_reminder(book: Book) -> None:
    book.note("a, b", reminds=False)
    book.now += 90_000
    book.note("a, b", reminds=False)
    assert book.told() == [("begun", "a, b")]


def test_topics_do_not_disturb_each_other(book: Book) -> None:
    book.note("failed", "run:erp.changes")
    book.note("failed", "run:erp.walk")
    book.note("", "run:erp.changes")
    book.note("failed", "run:erp.walk")
    assert book.told() == [("begun", "failed"), ("begun", "failed"), ("over", "well")]


def test_since_is_when_it_began(book: Book) -> None:
    begun = int(book.now * 1e6)
    book.note("failed")
    for _ in range(3):
        book.now += 86_400
        book.note("failed")
    book.now += 60
    book.note("")
    book.told()
    (mail,) = book.alerts.unsent((ME,))
    assert [alert["happened"] for alert in mail.alerts] == ["begun", "reminder", "reminder", "reminder", "over"]
    assert {alert["since_at"] for alert in mail.alerts} == {begun}


def test_a_transaction_that_fails_tells_nothing(book: Book) -> None:
    def fail() -> None:
        with book.database.write(Point.RUN_ENDED) as db:
            book.alerts.note(db, Alert("run:erp.changes", "failed", "failed"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert book.told() == []


def test_where_nobody_is_told_nothing_is_noted(book: Book) -> None:
    off = Alerts(book.database, on=False)
    with book.database.write(Point.RUN_ENDED) as db:
        off.note(db, Alert("run:erp.changes", "failed", "failed"))
    assert book.told() == []


def test_old_mails_are_forgotten_and_how_topics_stand_is_not(book: Book) -> None:
    book.note("failed")
    book.told()
    book.answer({ME: SENT})
    book.now += 181 * DAY / 1e6
    book.note("failed", "run:erp.walk")
    book.told()
    with book.database.read() as db:
        assert db.exec_driver_sql("select count(*) from mails").scalar() == 1
        assert db.exec_driver_sql("select count(*) from alerts").scalar() == 2
    book.now += HOUR / 1e6
    book.note("")
    assert ("over", "well") in book.told()
