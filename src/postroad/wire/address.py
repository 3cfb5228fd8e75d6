"""The address of a broker: `amqp://` or `amqps://`, with the user and the password that sign in. Never shown."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import pika
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosed,
    ConnectionClosed,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from postroad.errors import ConfigError, QueueError

SCHEMES = {"amqp": 5672, "amqps": 5671}
HEARTBEAT = 30  # seconds; a silent peer is given up after two or three of them
PATIENCE = 15.0  # seconds to connect, or for any answer

# Whoever drives us is told by an error; without a handler pika's warnings would reach the terminal as well.
logging.getLogger("pika").addHandler(logging.NullHandler())

_decode = pika.BasicProperties.decode


def _decode_what_python_holds(self: pika.BasicProperties, encoded: bytes, offset: int = 0) -> pika.BasicProperties:
    """What pika does, which ends the whole connection over a header that Python has no value for.

    A timestamp in the year 36812 is such, or tables in tables a thousand deep; anybody who may publish can send one.
    The message comes without headers.
    """
    try:
        return _decode(self, encoded, offset)
    except (ValueError, ArithmeticError, RecursionError):
        self.headers = None
        return self


pika.BasicProperties.decode = _decode_what_python_holds  # type: ignore[assignment, method-assign]


def parameters(url: str, name: str) -> pika.ConnectionParameters:
    """How to reach the broker, as pika wants it; `name` is what its operators see of us.

    ConfigError for what is no address, which quotes nothing of it. Certificates are checked against those that this
    machine trusts; the environment variable SSL_CERT_FILE names others.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # of a port that is no number
        parts, port = urlsplit(""), None
    host, scheme = parts.hostname, parts.scheme
    if scheme not in SCHEMES or not host or parts.query or parts.fragment:
        raise ConfigError("queue: must be amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://… with TLS")
    secure = pika.SSLOptions(ssl.create_default_context(), host) if scheme == "amqps" else None
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    return pika.ConnectionParameters(
        host=host,
        port=port or SCHEMES[scheme],
        virtual_host=unquote(parts.path[1:]) or "/",
        credentials=pika.PlainCredentials(user, password),
        ssl_options=secure,
        heartbeat=HEARTBEAT,
        connection_attempts=1,
        socket_timeout=PATIENCE,
        stack_timeout=PATIENCE,
        blocked_connection_timeout=PATIENCE,
        client_properties={"connection_name": name, "product": "Postroad"},
    )


@contextmanager
def broken() -> Iterator[None]:
    """What pika raises about a connection, as ours."""
    try:
        yield
    except (AMQPError, OSError) as error:
        raise QueueError(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """What a person is told of a connection that failed; pika tucks the cause of a failed attempt into its errors."""
    causes = [error]
    while causes:
        cause = causes.pop()
        if isinstance(cause, AuthenticationError | ProbableAuthenticationError):
            return "the broker refuses our user or password"
        if isinstance(cause, ProbableAccessDeniedError):
            return "the broker has no such virtual host, or our user may not enter it"
        if isinstance(cause, ssl.SSLError):
            return f"the broker's TLS failed: {cause.reason or type(cause).__name__}"
        if isinstance(cause, ConnectionClosed | ChannelClosed):
            return f"the broker ended it: {cause.reply_text}"
        if isinstance(cause, OSError) and cause.strerror:
            return f"the broker did not answer: {cause.strerror}"
        nested = [getattr(cause, "exceptions", ()), cause.args, (getattr(cause, "exception", None), cause.__cause__)]
        causes += [each for group in nested for each in group if isinstance(each, BaseException)]
    return f"the broker did not answer: {type(error).__name__}"
