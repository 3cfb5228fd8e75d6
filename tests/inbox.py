"""A mail server of the tests' own, over real sockets (aiosmtpd), that answers as a test orders."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from postroad.project import MailServer, Notify
from postroad.sdk.secrets import Secret

US = "it-support@acme.example"
USER, PASSWORD = "postroad", "pass-word-of-ours"


@dataclass
class Inbox:
    """What arrived, and how the next ones are answered."""

    host: str = "127.0.0.1"
    port: int = 0
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    rcpt: dict[str, list[str]] = field(default_factory=dict)  # the next answers for an address; 250 once they are used
    data: list[str] = field(default_factory=list)  # the next answers to a text
    silent: int = 0  # so many texts are taken, and their answer is withheld
    then: Callable[[], object] | None = None  # happens once, when the next text has arrived
    signed_in: list[str] = field(default_factory=list)
    greeted: int = 0

    @property
    def subjects(self) -> list[str]:
        """The subjects of what arrived."""
        return [str(message["Subject"]) for _, message in self.received]

    @property
    def ids(self) -> list[str]:
        """The Message-IDs of what arrived."""
        return [str(message["Message-ID"]) for _, message in self.received]

    @property
    def texts(self) -> list[str]:
        """The texts of what arrived."""
        return [message.get_content() for _, message in self.received]

    def notify(self, *to: str, **server: Any) -> Notify:
        """A project's `notify`, with this server."""
        given = {"host": self.host, "port": self.port, "security": "none", **server}
        return Notify(to or (US,), "postroad@acme.example", MailServer(**given))

    # What aiosmtpd calls

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, said: list[str]) -> list[str]:  # noqa: N802
        """Count the greeting."""
        session.host_name = hostname
        self.greeted += 1
        return said

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """As ordered."""
        if self.rcpt.get(address):
            return self.rcpt[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """As ordered; what is not refused has arrived."""
        if self.data and not self.data[0].startswith("250"):
            return self.data.pop(0)
        message = message_from_bytes(envelope.content, policy=default)
        self.received.append((list(envelope.rcpt_tos), message))
        happening, self.then = self.then, None
        if happening is not None:
            happening()
        if self.silent:
            self.silent -= 1
            await asyncio.sleep(30)  # ended with the server
        return self.data.pop(0) if self.data else "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """One user."""
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        if known:
            self.signed_in.append(mechanism)
        return AuthResult(success=known, handled=known)


@contextmanager
def inbox(**options: Any) -> Iterator[Inbox]:
    """A server that listens."""
    found = Inbox(port=free_port())
    server = Controller(found, found.host, found.port, server_hostname="mail.acme.example",
                        authenticator=found.authenticate, **options)  # fmt: skip
    server.start()
    found.greeted = 0
    try:
        yield found
    finally:
        server.stop()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the file that whoever trusts it has to know."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", cert, "-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def signing_in(password: str = PASSWORD) -> dict[str, Any]:
    """A server's settings with a user."""
    return {"user": USER, "password": Secret.literal(password)}
