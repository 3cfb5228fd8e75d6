"""The conversation with a mail server, over real sockets: what it answers for each address, and when it does not."""

from __future__ import annotations

import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from postroad.engine.mail import Letter, check_server, message, post
from postroad.project import Notify, Project
from postroad.tracking.alerts import Mail
from tests.inbox import PASSWORD, US, USER, Inbox, certificate, free_port, inbox, signing_in

THEM = "them@acme.example"
AT = 1_790_000_000_000_000


def mail(number: int = 1, **alert: Any) -> Mail:
    told = {"topic": "run:erp.changes", "subject": "erp.changes failed", "happened": "begun",
            "text": "why:   no answer", "since_at": AT, "noted_at": AT}  # fmt: skip
    return Mail(number, f"<postroad.{number}@acme.example>", AT, {}, [{**told, **alert}])


def letter(notify: Notify, number: int = 1, **alert: Any) -> Letter:
    told = mail(number, **alert)
    return Letter(told, message(Project("acme", Path("/srv/acme")), notify, told), notify.to)


def posted(notify: Notify, *numbers: int, patience: float = 5.0) -> list[dict[str, str]]:
    """The states by address, letter by letter."""
    letters = [letter(notify, number) for number in numbers or (1,)]
    return [{to: each.state for to, each in answers.items()} for _, answers in post(notify, letters, patience)]


@pytest.fixture(scope="module")
def _server() -> Iterator[Inbox]:
    with inbox() as found:
        yield found


@pytest.fixture
def server(_server: Inbox) -> Inbox:
    """An empty one."""
    _server.received, _server.rcpt, _server.data, _server.silent, _server.greeted = [], {}, [], 0, 0
    return _server


def test_each_letter_arrives_in_one_conversation(server: Inbox) -> None:
    notify = server.notify(US, THEM)
    assert posted(notify, 1, 2) == [{US: "sent", THEM: "sent"}] * 2
    assert server.ids == ["<postroad.1@acme.example>", "<postroad.2@acme.example>"]
    assert [to for to, _ in server.received] == [[US, THEM]] * 2
    assert server.greeted == 1


@pytest.mark.parametrize(("answer", "state"), [("550 who?", "refused"), ("451 greylisted", "later")])
def test_an_address_that_is_not_taken_stops_no_other(server: Inbox, answer: str, state: str) -> None:
    server.rcpt[THEM] = [answer]
    assert posted(server.notify(US, THEM), 1, 2) == [{US: "sent", THEM: state}, {US: "sent", THEM: "sent"}]
    assert [to for to, _ in server.received] == [[US], [US, THEM]]


def test_no_address_is_taken(server: Inbox) -> None:
    server.rcpt[US] = ["550 who?"]
    assert posted(server.notify(), 1, 2) == [{US: "refused"}, {US: "sent"}]


@pytest.mark.parametrize(("answer", "state"), [("554 no", "refused"), ("451 not now", "later"), ("421 bye", "later")])
def test_a_text_that_is_refused(server: Inbox, answer: str, state: str) -> None:
    server.data = [answer]
    assert posted(server.notify()) == [{US: state}]
    assert server.received == []


def test_nobody_listens() -> None:
    began = time.monotonic()
    assert posted(Inbox(port=free_port()).notify(), 1, 2) == [{US: "later"}] * 2
    assert time.monotonic() - began < 1


def test_a_text_that_is_not_answered_is_in_doubt_and_the_rest_is_not_tried(server: Inbox) -> None:
    server.silent = 1
    began = time.monotonic()
    assert posted(server.notify(), 1, 2, patience=1.0) == [{US: "in doubt"}, {US: "later"}]
    assert time.monotonic() - began < 5
    assert server.ids == ["<postroad.1@acme.example>"]


def test_a_server_that_says_nothing_costs_the_patience() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        began = time.monotonic()
        notify = Inbox(port=deaf.getsockname()[1]).notify()
        assert posted(notify, 1, 2, patience=0.3) == [{US: "later"}] * 2
        assert time.monotonic() - began < 2


def test_whoever_stops_waiting_has_the_rest_unsent(server: Inbox) -> None:
    """As a command that is killed after the first answer."""
    notify = server.notify()
    with closing(post(notify, [letter(notify, 1), letter(notify, 2)])) as answers:
        next(answers)
    time.sleep(0.05)
    assert server.ids == ["<postroad.1@acme.example>"]


def test_encrypted_and_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path)
    with inbox(tls_context=context, require_starttls=True, auth_required=True) as server:
        notify = server.notify(security="starttls", **signing_in())
        (answers,) = (answers for _, answers in post(notify, [letter(notify)]))
        assert answers[US].state == "later"
        assert "certificate verify failed" in answers[US].text
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert posted(notify) == [{US: "sent"}]
        assert server.signed_in
        assert [step.ok for step in check_server(notify.server)] == [True, True]
        wrong = replace(notify.server, **signing_in("wrong-password"))
        steps = list(check_server(wrong))
        assert [step.ok for step in steps] == [True, False]
        assert "535" in steps[-1].sentence
        (answers,) = (answers for _, answers in post(replace(notify, server=wrong), [letter(notify)]))
        assert answers[US].state == "later"
        said = f"{answers} {steps}"
        assert USER in said
        assert PASSWORD not in said
        assert "wrong-password" not in said
        assert len(server.received) == 1


def test_encrypted_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with inbox(ssl_context=context) as server:
        assert posted(server.notify(security="tls")) == [{US: "sent"}]


def test_a_server_without_encryption_gets_nothing(server: Inbox) -> None:
    assert posted(server.notify(security="starttls")) == [{US: "later"}]
    (step,) = check_server(server.notify(security="starttls").server)
    assert not step.ok
    assert "STARTTLS" in step.sentence


def test_a_check_sends_nothing(server: Inbox) -> None:
    (step,) = check_server(server.notify().server)
    assert step.ok
    assert server.greeted == 1
    assert server.received == []


HOSTILE = "erp.a\r\nBcc: thief@evil.example\r\n\r\n.\r\nQUIT\u2028\u202e\x00\x1b[31m" + "x" * 300


def test_no_name_ends_a_header_or_the_text(server: Inbox) -> None:
    """Whatever a remote system calls its things."""
    notify = server.notify()
    list(post(notify, [letter(notify, subject=HOSTILE, text="..\r\n.\r\nMAIL FROM:<a@b>\n.")]))
    ((to, found),) = server.received
    assert to == [US]
    names = [name.lower() for name in found]
    assert sorted(set(names)) == sorted(names)
    assert "bcc" not in names
    assert "\n" not in found["Subject"]
    assert len(found["Subject"]) < 300
    text = found.get_content()
    assert "\n.\n" in text.replace("\r\n", "\n"), "the dots arrive as they were"
    assert not {"\u2028", "\u202e", "\x00", "\x1b"} & set(found["Subject"])


def test_the_same_mail_is_the_same_bytes() -> None:
    notify = Inbox(port=1).notify()
    assert letter(notify).message == letter(notify).message
    found = message_from_bytes(letter(notify).message, policy=default)
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Date"] == "Mon, 21 Sep 2026 14:13:20 +0000"
    assert found["To"] == US
    assert letter(notify).message.count(b"\n") == letter(notify).message.count(b"\r\n")


def test_the_worst_is_the_subject_and_what_is_over_comes_last() -> None:
    notify, alert = Inbox(port=1).notify(), mail().alerts[0]
    others: list[dict[str, str]] = [
        {"topic": "run:erp.walk", "subject": "well again", "happened": "over"},
        {"topic": "added:erp.things", "subject": "a column"},
        {},
        {"topic": "parked:erp", "subject": "asks"},
    ]
    told = replace(mail(), alerts=[{**alert, **each} for each in others])
    found = message_from_bytes(message(Project("acme", Path("/srv"), "prod"), notify, told), policy=default)
    assert found["Subject"] == "[postroad acme/prod] erp.changes failed, and 3 more"
    heads = [part.splitlines()[0] for part in found.get_content().replace("\r\n", "\n").split("\n\n")]
    assert heads[:4] == ["erp.changes failed", "asks", "a column", "well again"]
    assert "each with --env prod" in found.get_content()


def test_a_plain_client_reads_the_same_answers(server: Inbox) -> None:
    """The standard library's own way of sending, as a witness of the test's server."""
    server.rcpt[THEM] = ["550 who?"]
    with smtplib.SMTP(server.host, server.port) as smtp, suppress(smtplib.SMTPException):
        refused = smtp.sendmail("postroad@acme.example", [US, THEM], b"Subject: x\r\n\r\nx\r\n")
        assert list(refused) == [THEM]
    assert len(server.received) == 1
