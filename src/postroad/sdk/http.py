"""The HTTP client of every connector: sign-in, budget, retries, throttling, and errors as our own exceptions.

The only place that sees httpx. What leaves it, an answer or an error, never holds the secret.
"""

from __future__ import annotations

import math
import random
import ssl
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property

import httpx

from postroad.errors import (
    AuthError,
    ConfigError,
    OutcomeUnknownError,
    PostroadError,
    RemoteError,
    StateError,
    ThrottledError,
    TransientError,
)
from postroad.sdk.budget import MemoryBudget, refuse_beyond
from postroad.sdk.connector import Budget, Tools

MASK = "***"
SHORTEST_SECRET = 6
DEFAULT_THROTTLE = 5.0
MAX_MESSAGE = 300
MOST_PAUSE = 86_400.0
# What we ask for, and unpack: a thousand times the bytes that came, at most. Packed twice a million times, and in the
# newer ways, which httpx unpacks where their libraries are installed, no less.
PACKED = ("gzip", "deflate")


@dataclass(frozen=True)
class Credentials:
    """What a sign-in gives: the headers of each request, and the texts in them that nobody may see.

    `mark` tells these from other credentials and reveals nothing of them; every answer to them carries it.
    """

    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    mark: str = ""


@dataclass(frozen=True)
class Answer:
    """A whole answer of the remote system, its secrets masked. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    mark: str = ""

    @property
    def date(self) -> datetime | None:
        """The server's own time, from its `Date` header."""
        return http_date(self.headers.get("date", ""))


@dataclass(frozen=True)
class Limits:
    """How often, how long and how much: `calls` of them in `per` seconds, of the budget that is called `budget`.

    `timeout` bounds each wait, for a connection or the next bytes, and `longest_answer` the whole body.
    """

    budget: str
    calls: int
    per: float
    calls_per_month: int | None = None
    timeout: float = 60.0
    tries: int = 5
    longest_sleep: float = 60.0
    longest_backoff: float = 30.0
    longest_answer: float = math.inf
    most_bytes: int = 256 * 1024 * 1024
    too_large: str = "ask for smaller pages"


@dataclass(frozen=True)
class _Question:
    """One request, as often as it is sent; `fresh` makes the headers that differ each time."""

    method: str
    headers: Mapping[str, str]
    body: bytes = b""
    path: str = ""
    fresh: Callable[[], Mapping[str, str]] = dict
    takes: Container[int] = ()
    once: bool = False


Classify = Callable[[int, Mapping[str, str], bytes], Exception | None]


class HttpClient:
    """A synchronous client of one URL: a request whose answer was lost is sent again, unless it is to be sent `once`.

    `sign_in` gives the credentials; it is asked again once when the remote system refuses them. `classify` knows the
    vendor's codes: it returns the exception that an answer means, or None to let the HTTP status decide. It alone sees
    a redirect's `location` with the secrets in it, as whoever follows one has to.
    """

    def __init__(
        self,
        url: str,
        sign_in: Callable[[], Credentials],
        limits: Limits,
        *,
        classify: Classify = lambda _status, _headers, _body: None,
        tools: Tools | None = None,
        transport: httpx.BaseTransport | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        tools = tools or Tools(MemoryBudget(), time.time)
        self._url = url
        self._sign_in = sign_in
        self._limits = limits
        self._classify = classify
        self._budget: Budget = tools.budget
        self._clock = tools.clock
        self._sleep = tools.sleep
        self._jitter = jitter
        self._credentials: Credentials | None = None
        self._secrets: set[str] = set()
        self._transport = transport

    def __repr__(self) -> str:
        return f"HttpClient(budget={self._limits.budget!r})"

    @cached_property
    def _client(self) -> httpx.Client:
        """Made at the first request: many commands ask nobody."""
        try:
            return httpx.Client(
                verify=_certificates(),
                timeout=self._limits.timeout,
                headers={"accept-encoding": ", ".join(PACKED)},
                follow_redirects=False,
                transport=self._transport,
            )
        except (ValueError, ImportError) as error:
            raise ConfigError(
                f"no HTTP client could be made ({type(error).__name__}): check the proxy settings"
            ) from None

    def close(self) -> None:
        """Give back the connections."""
        if "_client" in vars(self):
            self._client.close()

    def post(self, body: bytes, content_type: str = "application/json", path: str = "") -> Answer:
        """Send `body` and return the answer; the exception tree of `postroad.errors` for everything else.

        `path` stands behind the client's URL, as it is.
        """
        return self._answered(_Question("POST", {"content-type": content_type}, body, path))

    def get(self, headers: Mapping[str, str] | None = None, path: str = "") -> Answer:
        """The answer to a GET, errors as those of `post`; status 304 where `headers` ask for it (RFC 9110, 13.1)."""
        return self._answered(_Question("GET", headers or {}, path=path))

    def send(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        fresh: Callable[[], Mapping[str, str]] = dict,
        takes: Container[int] = (),
        once: bool = False,
    ) -> Answer:
        """Send `body` and return the answer, also one with a status of `takes`, which is no error then.

        `fresh` makes further headers at each try, such as a signature, which tells its time. `once`: what may have
        arrived is not sent again, and an answer that never came is an OutcomeUnknownError.
        """
        return self._answered(_Question(method, headers, body, path, fresh, takes, once))

    def _answered(self, question: _Question) -> Answer:
        renewed = False
        failures = 0
        while True:
            credentials = self._signed_in()
            try:
                return self._attempt(question, credentials)
            except AuthError:
                if renewed or not self._signed_in_anew(credentials):
                    raise
                renewed = True
            except TransientError as error:
                failures += 1
                self._pause(error, failures)
                renewed = False  # a call that asks again and again may outlive more than one token

    def _attempt(self, question: _Question, credentials: Credentials) -> Answer:
        self._spend()
        received = self._exchange(question, credentials)
        answer = self._mask(received)
        seen = answer.headers
        if "location" in received.headers:
            seen = {**seen, "location": received.headers["location"]}
        error = self._classify(answer.status, seen, answer.body)
        if error is None and answer.status not in question.takes:
            error = status_error(answer)
        if error is not None and not (answer.status == 304 and _conditional(question)):
            raise error
        return answer

    def _spend(self) -> None:
        """Take the call from the budget, however long ago it was decided on."""
        limits = self._limits
        wait, calls = self._budget.take(limits.budget, limits.per, limits.calls, limits.longest_sleep)
        if wait > limits.longest_sleep:
            raise ThrottledError(f"our own limit of {limits.calls} calls in {limits.per:g} s asks for a pause", wait)
        if wait > 0:
            self._sleep(wait)
        refuse_beyond(limits.calls_per_month, calls, self._clock())

    def _exchange(self, question: _Question, credentials: Credentials) -> Answer:
        headers = {**credentials.headers, **question.headers, **question.fresh()}
        try:
            url = f"{self._url}{question.path}"
            with self._client.stream(question.method, url, content=question.body, headers=headers) as response:
                told = dict(response.headers.items())
                return Answer(response.status_code, told, self._read(response), credentials.mark)
        except RemoteError as error:
            if question.once:
                raise OutcomeUnknownError(str(error)) from None
            raise
        except _FOREIGN as error:
            ours = self._mapped(error)
            if question.once and not isinstance(error, _UNSENT):
                ours = OutcomeUnknownError(str(ours))
        raise ours  # Outside the handler, so that httpx's exception, which holds the request, is not its context.

    def _read(self, response: httpx.Response) -> bytes:
        """The whole body; an endless or exploding one is cut off before it fills the memory."""
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", *PACKED):
            raise RemoteError("the answer is packed in a way that was not asked for: ask who keeps the server")
        chunks: list[bytes] = []
        size, end = 0, time.monotonic() + self._limits.longest_answer
        for chunk in response.iter_bytes():
            if time.monotonic() > end:
                raise httpx.ReadTimeout("the answer goes on and on")
            size += len(chunk)
            if size > self._limits.most_bytes:
                most = self._limits.most_bytes // (1024 * 1024)
                raise RemoteError(f"the answer is larger than {most} MB: {self._limits.too_large}")
            chunks.append(chunk)
        return b"".join(chunks)

    def _mapped(self, error: Exception) -> PostroadError:
        kind, advice = mapped(error)
        text = self._masked(str(error))[:MAX_MESSAGE]
        if kind is ConfigError:
            text = ""  # httpx quotes the illegal header or URL, and that may be the secret in an unforeseen spelling.
        return kind(f"{advice} ({type(error).__name__}{': ' + text if text else ''})")

    def _signed_in(self) -> Credentials:
        return self._credentials or self._look_up()

    def _signed_in_anew(self, refused: Credentials) -> bool:
        """Look the credentials up again, unless another thread has; False if the refused ones are all there is."""
        if self._credentials is refused:
            self._look_up()
        return dict(self._signed_in().headers) != dict(refused.headers)

    def _look_up(self) -> Credentials:
        """A shorter "secret" would be found all over the data; nobody is protected by one."""
        found = self._credentials = self._sign_in()
        self._secrets |= {secret for secret in found.secrets if len(secret) >= SHORTEST_SECRET}
        return found

    def _pause(self, error: TransientError, failures: int) -> None:
        """Sleep before the next try, or raise when the pause is long or the tries are used up."""
        if isinstance(error, ThrottledError):
            wait = error.wait
            if wait > self._limits.longest_sleep:
                raise error
        else:
            wait = min(self._limits.longest_backoff, 2.0 ** (failures - 1)) * (0.5 + self._jitter())
        if failures >= self._limits.tries:
            raise error
        self._sleep(wait)

    def _mask(self, answer: Answer) -> Answer:
        """An echo of the secret in an answer goes no further: not to landing, a message or a log."""
        secrets = [*self._secrets]
        body = answer.body
        for secret in secrets:
            if secret.encode() in body:
                body = body.replace(secret.encode(), MASK.encode())
        headers = {name.lower(): self._masked(value) for name, value in answer.headers.items()}
        return replace(answer, headers=headers, body=body)

    def _masked(self, text: str) -> str:
        for secret in [*self._secrets]:
            text = text.replace(secret, MASK)
        return text


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates that we trust, loaded once in a process: it takes 20 to 50 ms, and there may be many clients."""
    return httpx.create_ssl_context()


def _conditional(question: _Question) -> bool:
    return not question.headers.keys().isdisjoint(("if-none-match", "if-modified-since"))


def status_error(answer: Answer) -> Exception | None:
    """What the HTTP status alone says, with `Retry-After` honoured."""
    status = answer.status
    if 200 <= status < 300:
        return None
    pause = retry_after(answer)
    if status == 429 or (status == 503 and pause is not None):
        return ThrottledError(f"the server answered {status}: too many requests", pause or DEFAULT_THROTTLE)
    if status in (408, 425) or status >= 500:
        return TransientError(f"the server answered {status}: it is down or overloaded; try again later")
    if status in (401, 403):
        return AuthError(f"the server answered {status}: it refuses the credentials; renew them")
    if 300 <= status < 400:
        where = answer.headers.get("location", "elsewhere").partition("?")[0][:MAX_MESSAGE]
        return RemoteError(f"the server redirects to {where}: if that is right, set it as the url")
    return RemoteError(f"the server answered {status}: check the url and the settings of the connection")


def retry_after(answer: Answer) -> float | None:
    """The seconds of a `Retry-After` header in either of its forms (RFC 9110, 10.2.3), by the server's clock.

    A day at most: what a server says may be nonsense, and asking once a day harms nobody.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_PAUSE)
    until = http_date(text)
    if until is None:
        return None
    now = answer.date or datetime.now(UTC)
    return min(max(0.0, (until - now).total_seconds()), MOST_PAUSE)


def http_date(text: str) -> datetime | None:
    """An HTTP date as an instant in UTC, or None."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


# The first class that matches decides; a test holds every exception of httpx against this table.
_MAPPED: tuple[tuple[type[Exception], type[PostroadError], str], ...] = (
    (httpx.TimeoutException, TransientError, "the server did not answer in time"),
    (httpx.UnsupportedProtocol, ConfigError, "the url must begin with https:// or http://"),
    (
        httpx.LocalProtocolError,
        ConfigError,
        "the request is not valid HTTP: check the url and the secret for odd characters",
    ),
    (httpx.InvalidURL, ConfigError, "the url cannot be read"),
    (httpx.DecodingError, TransientError, "the answer was damaged on its way"),
    (httpx.RemoteProtocolError, TransientError, "the connection was dropped half-way"),
    (httpx.NetworkError, TransientError, "the server could not be reached"),
    (httpx.ProxyError, TransientError, "the proxy refused the connection"),
    (httpx.TransportError, TransientError, "the connection failed"),
    (httpx.TooManyRedirects, RemoteError, "the server redirects in a circle"),
    (httpx.HTTPStatusError, RemoteError, "the server answered with an error"),
    (httpx.RequestError, TransientError, "the request failed"),
    (httpx.HTTPError, RemoteError, "the exchange failed"),
    (httpx.CookieConflict, RemoteError, "the server set cookies that contradict each other"),
    (httpx.StreamError, StateError, "an answer was read twice; this is a bug in Postroad, please report it"),
    (OSError, TransientError, "the network failed"),
    (UnicodeError, ConfigError, "the url or a header holds characters that HTTP does not allow"),
)
_FOREIGN = tuple(theirs for theirs, _, _ in _MAPPED)


# Of these nothing had left yet.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
    UnicodeError,
)


def mapped(error: Exception) -> tuple[type[PostroadError], str]:
    """Our class for an exception of the transport, and a sentence for the reader; KeyError for a foreign one."""
    for theirs, ours, advice in _MAPPED:
        if isinstance(error, theirs):
            return ours, advice
    raise KeyError(type(error).__name__)
