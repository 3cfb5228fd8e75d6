from __future__ import annotations

import gzip
import inspect
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from postroad.errors import AuthError, ConfigError, PostroadError, RemoteError, ThrottledError, TransientError
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools
from postroad.sdk.http import Answer, Credentials, HttpClient, Limits, http_date, mapped

SECRET = "planted-secret-91f3"
URL = "http://remote.test/api"
Step = httpx.Response | Exception


class Bench:
    """A client over scripted answers, with a clock that only sleeping moves."""

    def __init__(self, *steps: Step, classify: Any = None, **limits: Any) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.now = 1_800_000_000.0
        self.secrets = [SECRET]
        self.budget = MemoryBudget(lambda: self.now)
        options = {"classify": classify} if classify else {}
        self.meanwhile: Callable[[httpx.Request], object] = lambda _request: None
        self.client = HttpClient(
            limits.pop("url", URL),
            self.sign_in,
            Limits(**{"budget": "bench", "calls": 1_000, "per": 1.0, **limits}),
            tools=Tools(self.budget, lambda: self.now, self.sleep),
            transport=httpx.MockTransport(self.answer),
            jitter=lambda: 0.5,
            **options,
        )

    def sign_in(self) -> Credentials:
        secret = self.secrets.pop(0) if len(self.secrets) > 1 else self.secrets[0]
        return Credentials({"authorization": f"token {secret}"}, (secret,), secret[:3])

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile(request)
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step

    def post(self) -> Answer:
        return self.client.post(b"{}")


def fails(bench: Bench) -> PostroadError:
    with pytest.raises(PostroadError) as raised:
        bench.post()
    return raised.value


def exceptions_of_httpx() -> list[type[Exception]]:
    found = [each for each in vars(httpx).values() if inspect.isclass(each) and issubclass(each, Exception)]
    assert len(found) > 20
    return found


def made(kind: type[Exception], message: str = "weather") -> Exception:
    needed = [each for each in inspect.signature(kind).parameters.values() if each.default is inspect.Parameter.empty]
    positional = [each for each in needed if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    extra = {each.name: None for each in needed if each.kind is inspect.Parameter.KEYWORD_ONLY}
    return kind(*[message for _ in positional], **extra)


@pytest.mark.parametrize("kind", exceptions_of_httpx(), ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_is_mapped(kind: type[Exception]) -> None:
    ours, sentence = mapped(made(kind))
    assert issubclass(ours, PostroadError)
    assert sentence
    assert isinstance(fails(Bench(made(kind), tries=1)), ours)


@pytest.mark.parametrize("kind", exceptions_of_httpx(), ids=lambda kind: kind.__name__)
def test_no_mapped_error_holds_the_secret(kind: type[Exception]) -> None:
    error = fails(Bench(made(kind, f"https://x/?t={SECRET}"), tries=1))
    assert SECRET not in f"{error}{error!r}{error.__dict__}"
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_good_answer_comes_back_with_the_servers_time() -> None:
    bench = Bench(httpx.Response(200, json={}, headers={"Date": "Sun, 25 Oct 2026 01:30:00 GMT"}))
    answer = bench.post()
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.date is not None
    assert answer.date.isoformat() == "2026-10-25T01:30:00+00:00"
    assert bench.requests[0].headers["authorization"] == f"token {SECRET}"


def test_transient_errors_are_tried_again_with_growing_pauses() -> None:
    bench = Bench(httpx.ConnectError("no"), httpx.Response(502), httpx.ReadTimeout("slow"), httpx.Response(200))
    assert bench.post().status == 200
    assert bench.slept == [1.0, 2.0, 4.0]


def test_the_tries_are_bounded() -> None:
    bench = Bench(httpx.Response(500), tries=3)
    assert isinstance(fails(bench), TransientError)
    assert len(bench.requests) == 3


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Sun, 25 Oct 2026 01:30:09 GMT", "Date": "Sun, 25 Oct 2026 01:30:00 GMT"}, 9.0),
        ({}, 5.0),
        ({"Retry-After": "soon"}, 5.0),
    ],
)
def test_a_short_throttle_is_slept_out(headers: dict[str, str], wait: float) -> None:
    bench = Bench(httpx.Response(429, headers=headers), httpx.Response(200))
    bench.post()
    assert bench.slept == [wait]


def test_a_long_throttle_is_the_engines() -> None:
    bench = Bench(httpx.Response(503, headers={"Retry-After": "61"}))
    error = fails(bench)
    assert isinstance(error, ThrottledError)
    assert error.wait == 61.0
    assert bench.slept == []


def test_short_throttles_without_end_are_bounded() -> None:
    bench = Bench(httpx.Response(429))
    assert isinstance(fails(bench), ThrottledError)
    assert len(bench.requests) == 5


def test_the_secret_is_read_again_once_when_it_is_refused() -> None:
    bench = Bench(httpx.Response(401), httpx.Response(200))
    bench.secrets = [SECRET, "renewed-secret"]
    assert bench.post().status == 200
    assert [request.headers["authorization"] for request in bench.requests] == [
        f"token {SECRET}",
        "token renewed-secret",
    ]


def test_a_secret_that_another_thread_has_renewed_is_taken() -> None:
    bench = Bench(httpx.Response(401), httpx.Response(200), httpx.Response(401), httpx.Response(200))
    bench.secrets = [SECRET, "renewed-secret"]

    def meanwhile(request: httpx.Request) -> None:
        """Before the first request is refused, another one is, and gets its answer under the new secret."""
        if not bench.requests:
            bench.requests.append(request)
            assert bench.post().status == 200
            bench.requests.remove(request)

    bench.meanwhile = meanwhile
    assert bench.post().status == 200
    assert [request.headers["authorization"] for request in bench.requests[-2:]] == [
        f"token {SECRET}",
        "token renewed-secret",
    ]


def test_an_answer_is_marked_by_the_secret_it_was_given_for() -> None:
    bench = Bench(httpx.Response(401), httpx.Response(200))
    bench.secrets = [SECRET, "renewed-secret"]
    inner: list[str] = []

    def meanwhile(request: httpx.Request) -> None:
        """Before the first request is answered, another thread's is refused and sent again under the new secret."""
        if not inner:
            inner.append("asked")
            inner.append(bench.post().mark)

    bench.meanwhile = meanwhile
    assert bench.post().mark == SECRET[:3]
    assert inner == ["asked", "ren"]


def test_the_same_refused_secret_wastes_no_call() -> None:
    bench = Bench(httpx.Response(401))
    assert isinstance(fails(bench), AuthError)
    assert len(bench.requests) == 1


def test_a_call_that_asks_for_long_may_outlive_several_secrets() -> None:
    building, refused, done = httpx.Response(202), httpx.Response(401), httpx.Response(200)

    def classify(status: int, _headers: Mapping[str, str], _body: bytes) -> Exception | None:
        return ThrottledError("still building", 1.0) if status == 202 else None

    bench = Bench(building, refused, building, refused, done, classify=classify)
    bench.secrets = [SECRET, "renewed-secret", "third-secret"]
    assert bench.post().status == 200
    assert bench.requests[-1].headers["authorization"] == "token third-secret"


def test_a_second_refused_secret_is_the_end() -> None:
    bench = Bench(httpx.Response(403))
    bench.secrets = [SECRET, "renewed-secret", "third-secret"]
    assert isinstance(fails(bench), AuthError)
    assert len(bench.requests) == 2


def test_the_vendors_codes_come_before_the_status() -> None:
    def classify(_status: int, _headers: Mapping[str, str], body: bytes) -> Exception | None:
        return ThrottledError("credits", 1_200) if b"credits" in body else None

    assert isinstance(fails(Bench(httpx.Response(200, text="credits"), classify=classify)), ThrottledError)
    assert isinstance(fails(Bench(httpx.Response(404), classify=classify)), RemoteError)


def test_redirects_are_not_followed() -> None:
    bench = Bench(httpx.Response(302, headers={"Location": "http://other.test/?t=x"}))
    assert "http://other.test/:" in str(fails(bench))
    assert len(bench.requests) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_over_the_limit_is_cut_off(packed: bool) -> None:
    body = b"x" * (3 * 1024 * 1024)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    response = httpx.Response(200, content=gzip.compress(body) if packed else body, headers=headers)
    error = fails(Bench(response, most_bytes=1024 * 1024))
    assert "larger than 1 MB" in str(error)
    assert not isinstance(error, TransientError)


def test_a_body_that_is_packed_twice_is_not_unpacked() -> None:
    """A thousand bytes of it may be a thousand million."""
    body = gzip.compress(gzip.compress(b"x" * 100))
    bench = Bench(httpx.Response(200, headers={"Content-Encoding": "gzip, gzip"}, stream=Chunks(body)))
    assert "packed" in str(fails(bench))
    assert bench.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_a_damaged_body_is_transient() -> None:
    noise = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Chunks(b"no gzip"))
    whole = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(b"x"))
    cut = Chunks(b"half", httpx.RemoteProtocolError("peer closed"))
    assert Bench(httpx.Response(200, stream=cut), noise, whole).post().body == b"x"


class Chunks(httpx.SyncByteStream):
    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def test_an_echo_of_the_secret_is_masked_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []

    def classify(_status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
        seen.append(body + repr(headers).encode())
        return None

    bench = Bench(httpx.Response(200, text=f"a {SECRET} b", headers={"X-Echo": SECRET}), classify=classify)
    answer = bench.post()
    assert answer.body == b"a *** b"
    assert answer.headers["x-echo"] == "***"
    assert SECRET not in f"{answer!r}{bench.client!r}{bench.sign_in()!r}{caplog.text}{seen}"


@pytest.mark.parametrize("secret", ["with\nnewline-secret", "blåbær-secret"])
def test_a_secret_that_http_cannot_carry_is_a_config_error_without_it(secret: str) -> None:
    url, stop = served(b"")
    bench = Bench(httpx.Response(200), url=url)
    bench.secrets = [secret]
    bench.client._client = httpx.Client()
    error = fails(bench)
    stop()
    assert isinstance(error, ConfigError)
    assert "secret" not in str(error).replace("the secret", "")


@pytest.mark.parametrize("url", ["ftp://x/", "nothing", "http://", "http://\x00/"])
def test_a_bad_url_is_a_config_error(url: str) -> None:
    bench = Bench(httpx.Response(200), url=url)
    bench.client._client = httpx.Client()
    assert isinstance(fails(bench), ConfigError)


def test_the_budget_is_asked_before_each_try() -> None:
    bench = Bench(httpx.Response(500), httpx.Response(500), httpx.Response(200), calls=3, per=30.0)
    bench.post()
    assert sum(bench.slept) >= 30.0
    assert bench.budget.counts["bench", "2027-01"] == 3


def test_a_budget_that_asks_for_long_is_the_engines() -> None:
    bench = Bench(httpx.Response(200), calls=1, per=100.0)
    bench.post()
    assert isinstance(fails(bench), ThrottledError)
    assert len(bench.requests) == 1


def test_the_months_calls_are_capped() -> None:
    bench = Bench(httpx.Response(200), calls_per_month=1)
    bench.post()
    error = fails(bench)
    assert isinstance(error, ThrottledError)
    assert error.wait > 3600
    assert len(bench.requests) == 1


@pytest.mark.parametrize("text", ["", "never", "Sun, 99 Oct 2026 01:30:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2300"])
def test_an_unreadable_date_is_none(text: str) -> None:
    assert http_date(text) is None


def served(answer: bytes) -> tuple[str, Callable[[], None]]:
    """A socket that gives the same bytes to everybody and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()

    def stop() -> None:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()

    return f"http://127.0.0.1:{listener.getsockname()[1]}/", stop


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly half",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"",
        b"no http at all\r\n\r\n",
    ],
)
def test_a_connection_dropped_half_way_is_transient(answer: bytes) -> None:
    url, stop = served(answer)
    tools = Tools(MemoryBudget(), lambda: 0.0, lambda _seconds: None)
    client = HttpClient(url, lambda: Credentials({}, ()), Limits("x", 1_000, 1.0, tries=2), tools=tools)
    try:
        with pytest.raises(TransientError):
            client.post(b"{}")
    finally:
        client.close()
        stop()
