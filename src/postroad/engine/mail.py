"""Mail: an alert as a message of plain text, and the conversation with the SMTP server that takes it (RFC 5321).

Nothing is stored here. The same mail is the same bytes each time, while nobody edits `notify`, and has the same
Message-ID always. The conversation runs in a thread of its own, and whoever waits for it waits for a bounded time, name
look-ups included. An answer that did not come to a text that was sent is `in doubt`; anything before the text had
certainly no effect.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from queue import Empty, Queue

from postroad.engine.alerts import plain
from postroad.errors import ConfigError
from postroad.project import MailServer, Notify, Project
from postroad.records import Check
from postroad.store.rows import Row
from postroad.tracking.alerts import DOUBT, LATER, REFUSED, SENT, Answer, Mail
from postroad.tracking.runs import moment

PATIENCE = 20.0  # seconds that a command waits for the server, all mails together
STEP = 10.0  # for one answer
LONGEST = 200  # characters of an answer, or of a subject
HAPPENED = {"reminder": "still: "}
WORST_FIRST = {"run": 0, "parked": 1, "stale": 2, "rejected": 3}  # by the first word of the topic; then the others

Answers = dict[str, Answer]


@dataclass(frozen=True)
class Letter:
    """One message, and the addresses that it goes to now."""

    mail: Mail
    message: bytes
    to: Sequence[str]


def message(project: Project, notify: Notify, mail: Mail) -> bytes:
    """The mail as it is sent, lines ended by CR LF."""
    letter = EmailMessage(policy=SMTP)
    letter["From"] = notify.sender
    letter["To"] = ", ".join(notify.to)
    letter["Subject"] = _subject(project, mail)
    letter["Date"] = format_datetime(moment(mail.made_at))
    letter["Message-ID"] = mail.message_id
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    letter.set_content(_text(project, mail), cte="quoted-printable")
    return letter.as_bytes()


def _subject(project: Project, mail: Mail) -> str:
    where = "/".join(filter(None, (project.name, project.environment)))
    first, more = _sorted(mail)[0], len(mail.alerts) - 1
    told = HAPPENED.get(first["happened"], "") + first["subject"] + (f", and {more} more" if more else "")
    return f"[postroad {where}] {plain(told, LONGEST)}"


def _text(project: Project, mail: Mail) -> str:
    parts = []
    for alert in _sorted(mail):
        since = f"{moment(alert['since_at']):%Y-%m-%d %H:%M:%S} UTC"
        until = f" until {moment(alert['noted_at']):%Y-%m-%d %H:%M:%S} UTC" if alert["happened"] == "over" else ""
        head = plain(HAPPENED.get(alert["happened"], "") + alert["subject"])
        parts.append("\n".join(filter(None, (head, f"since: {since}{until}", alert["text"]))))
    env = f" (each with --env {project.environment})" if project.environment else ""
    foot = f"Project {project.name}: type the commands in {project.folder} on {socket.gethostname()}{env}."
    return "\n\n".join([*parts, f"-- \n{plain(foot)}"]) + "\n"


def _sorted(mail: Mail) -> list[Row]:
    """What is over comes last."""

    def rank(alert: Row) -> tuple[bool, int]:
        return alert["happened"] == "over", WORST_FIRST.get(alert["topic"].partition(":")[0], len(WORST_FIRST))

    return sorted(mail.alerts, key=rank)


def post(
    notify: Notify, letters: Sequence[Letter], patience: float = PATIENCE
) -> Generator[tuple[Letter, Answers], None, None]:
    """Hand the letters to the server; each with what was answered for its addresses, before the next is handed over.

    Never raises for what a server does or does not do. Once the patience is over the rest is not tried.
    """
    if not letters:
        return
    session = _Session(notify, letters)
    session.start()
    end, late = time.monotonic() + patience, f"no answer within {patience:g} s"
    left = list(letters)
    try:
        while left:
            letter = left.pop(0)
            session.turn.release()
            try:
                yield letter, session.answers.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                yield letter, session.give_up(letter, late)
                yield from ((each, dict.fromkeys(each.to, Answer(LATER, late))) for each in left)
                return
    finally:
        session.stop()
    session.join(1.0)  # for its goodbye


def check_server(server: MailServer) -> Iterator[Check]:
    """Greet the server and sign in, without sending anything."""
    where = f"{server.host}:{server.port}"
    try:
        with _connected(server) as smtp:
            yield Check("mail: connect", True, f"{where} answers, {_encryption(server)}")
            if server.user is not None:
                _sign_in(smtp, server)
                yield Check("mail: sign in", True, f"{server.user} is accepted")
    except (OSError, ValueError, ConfigError) as error:  # what smtplib raises is an OSError
        yield Check("mail", False, f"{where}: {_reason(error)}")


def _encryption(server: MailServer) -> str:
    return "unencrypted" if server.security == "none" else f"encrypted ({server.security})"


class _Session(threading.Thread):
    """One conversation. Each `turn` is for one letter, of which `answers` then gets what was answered."""

    def __init__(self, notify: Notify, letters: Sequence[Letter]) -> None:
        super().__init__(name="mail", daemon=True)
        self.answers: Queue[Answers] = Queue()
        self.turn = threading.Semaphore(0)
        self._notify = notify
        self._letters = letters
        self._lock = threading.Lock()
        self._over = False
        self._handed = False  # the text of the letter at hand is on its way
        self._partly: Answers = {}
        self._smtp: smtplib.SMTP | None = None

    def run(self) -> None:
        """Hand over every letter; where the conversation breaks off, the rest is for later."""
        left = list(self._letters)
        try:
            with _connected(self._notify.server) as smtp:
                self._smtp = smtp
                _sign_in(smtp, self._notify.server)
                while left and self._may_go_on():
                    self._hand_over(smtp, left[0])
                    self.answers.put(self._partly)
                    left.pop(0)
        except (OSError, ValueError, ConfigError) as error:  # what smtplib raises is an OSError
            for letter in left:
                self.answers.put(self._broken_off(letter, _reason(error)))
                self._handed, self._partly = False, {}

    def give_up(self, letter: Letter, reason: str) -> Answers:
        """End the conversation, because nobody waits any longer; what is known of the letter at hand."""
        self.stop()
        if self._smtp is not None and self._smtp.sock is not None:
            with suppress(OSError):
                self._smtp.sock.shutdown(socket.SHUT_RDWR)
        with suppress(Empty):
            return self.answers.get_nowait()
        return self._broken_off(letter, reason)

    def stop(self) -> None:
        """From now on no text is handed over."""
        with self._lock:
            self._over = True
        self.turn.release()

    def _may_go_on(self) -> bool:
        self.turn.acquire()
        return not self._over

    def _hand_over(self, smtp: smtplib.SMTP, letter: Letter) -> None:
        self._handed, self._partly = False, {}
        smtp.rset()  # what a letter before left
        _expect(smtp.mail(self._notify.sender), 250)
        accepted = []
        for address in letter.to:
            code, text = smtp.rcpt(address)
            if code in (250, 251):
                accepted.append(address)
            else:
                self._partly[address] = _no(code, text)
        if not accepted:
            return
        code, text = smtp.docmd("DATA")
        if code == 354:
            with self._lock:
                if self._over:
                    raise TimeoutError("nobody waits any longer")
                self._handed = True
            if smtp.sock is not None:
                smtp.sock.settimeout(PATIENCE)  # it may look through the text first
            smtp.send(re.sub(rb"(?m)^\.", b"..", letter.message) + b".\r\n")
            code, text = smtp.getreply()
            self._handed = code == -1  # it was no answer
        answer = Answer(SENT, _said(code, text)) if code == 250 else _no(code, text)
        self._partly |= dict.fromkeys(accepted, answer)

    def _broken_off(self, letter: Letter, reason: str) -> Answers:
        answer = Answer(DOUBT, f"no answer to the text: {reason}") if self._handed else Answer(LATER, reason)
        return {address: self._partly.get(address, answer) for address in letter.to}


def _connected(server: MailServer) -> smtplib.SMTP:
    """A greeted server, encrypted as it is to be."""
    context = None if server.security == "none" else ssl.create_default_context()
    if server.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, _me(), timeout=STEP, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, _me(), timeout=STEP)
    try:
        if server.security == "starttls":
            smtp.ehlo()
            _expect(smtp.starttls(context=context), 220)
        smtp.ehlo_or_helo_if_needed()
    except (OSError, ValueError):
        smtp.close()
        raise
    return smtp


def _sign_in(smtp: smtplib.SMTP, server: MailServer) -> None:
    if server.user is None or server.password is None:
        return
    password = server.password.reveal()
    try:
        smtp.login(server.user, password)
    except smtplib.SMTPResponseException as error:
        said = _reason(error).replace(password, "***")
        raise smtplib.SMTPException(f"the server refuses {server.user}: {said}") from None
    except UnicodeError:
        raise ValueError(f"this server takes no sign-in beyond ASCII, as that of {server.user}") from None


def _me() -> str:
    """Our name in the greeting; the standard library would ask the name service, which may take long."""
    return re.sub("[^A-Za-z0-9.-]", "", socket.gethostname()) or "localhost"


def _expect(reply: tuple[int, bytes], code: int) -> None:
    if reply[0] != code:
        raise smtplib.SMTPResponseException(*reply)


def _no(code: int, text: bytes) -> Answer:
    """A 5xx is final for its address; 421 says that the conversation ends, so nothing more is tried in it."""
    if code in (-1, 421):
        raise smtplib.SMTPResponseException(code, text)
    return Answer(REFUSED if 500 <= code < 600 else LATER, _said(code, text))


def _said(code: int, text: bytes) -> str:
    return plain(f"{code} {text.decode('utf-8', 'replace')}", LONGEST)


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return _said(error.smtp_code, text if isinstance(text, bytes) else str(text).encode())
    return plain(str(error) or type(error).__name__, LONGEST)
