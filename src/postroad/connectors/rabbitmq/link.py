"""One connection to a broker, opened when it is used and again after it broke; what pika raises, as ours.

It belongs to one thread. While its owner is busy elsewhere for longer than a heart-beat the broker gives it up, which
the next use finds out and connects anew.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

from postroad.errors import AuthError, BatchRefusedError, ConfigError, RemoteError, TransientError
from postroad.sdk.secrets import Secret
from postroad.wire.address import parameters

REFUSED, NOT_FOUND, LOCKED, OTHERWISE, NOT_ALLOWED = 403, 404, 405, 406, 530


class Link:
    """The connection."""

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was used and has not broken since, as far as is known."""
        return self._connection is not None and self._connection.is_open

    @property
    def where(self) -> str:
        """The broker and its virtual host, without the password."""
        to = self._parameters()
        return f"{to.host}/{to.virtual_host}"

    def channel(self) -> BlockingChannel:
        """A channel on which a publish returns once the broker has confirmed it."""
        if self._channel is None or not self._channel.is_open:
            self._channel = self.other_channel()
            self._channel.confirm_delivery()
        return self._channel

    def other_channel(self) -> BlockingChannel:
        """A new channel, for what may end it, or whose messages are not to stay with us."""
        if not self.is_open:
            self.close()
            self._connection = pika.BlockingConnection(self._parameters())
        assert self._connection is not None
        return self._connection.channel()

    def close(self) -> None:
        """Give it back."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with suppress(AMQPError, OSError):
                connection.close()

    @contextmanager
    def named_errors(self, what: str) -> Iterator[None]:
        """Errors of the client become ours; `what` is what is asked for."""
        try:
            yield
        except (AMQPError, OSError) as error:
            raise _ours(error, f"{self.where}, {what}") from None

    def _parameters(self) -> pika.ConnectionParameters:
        try:
            return parameters(self._url.reveal(), "Postroad")
        except ConfigError as error:
            raise ConfigError(f"the url of a connection {str(error).removeprefix('queue: ')}") from None


def _ours(error: BaseException, what: str) -> RemoteError | ConfigError:
    """What an error of pika means to whoever sends."""
    if isinstance(error, UnroutableError):
        return ConfigError(f"{what}: no queue takes it: bind one there, or correct the target or the exchange")
    if isinstance(error, NackError):
        return TransientError(f"{what}: the broker did not take it")
    if isinstance(error, ChannelClosedByBroker | ConnectionClosedByBroker):
        return _told(error, what)
    for cause in _causes(error):
        refusal = _refusal(cause, what)
        if refusal is not None:
            return refusal
    said = (each.strerror for each in _causes(error) if isinstance(each, OSError) and each.strerror)
    told = next(said, type(error).__name__)
    return TransientError(f"{what}: the broker does not answer: {told}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what pika tucked into it: the cause of a failed attempt to connect."""
    yield error
    nested = [getattr(error, "exceptions", ()), error.args, (getattr(error, "exception", None), error.__cause__)]
    for each in (each for group in nested for each in group if isinstance(each, BaseException)):
        yield from _causes(each)


def _refusal(cause: BaseException, what: str) -> RemoteError | ConfigError | None:
    if isinstance(cause, AuthenticationError | ProbableAuthenticationError):
        return AuthError(f"{what}: the broker refuses our user or password")
    if isinstance(cause, ProbableAccessDeniedError):
        return AuthError(f"{what}: there is no such virtual host, or our user may not enter it")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ConfigError(f"{what}: the broker's certificate is not to be trusted: {cause.verify_message}")
    return None


def _told(error: ChannelClosedByBroker | ConnectionClosedByBroker, what: str) -> RemoteError | ConfigError:
    """By the broker's own code; its text names queues and users, never what a message holds."""
    code, text = error.reply_code, error.reply_text
    if code == REFUSED:
        return AuthError(f"{what}: the broker refuses us: {text}")
    if code == OTHERWISE and "message size" in text:
        return BatchRefusedError(f"{what}: {text}")
    if code in {NOT_FOUND, LOCKED, OTHERWISE, NOT_ALLOWED}:
        return ConfigError(f"{what}: {text}")
    return TransientError(f"{what}: the broker ended it: {text}")
