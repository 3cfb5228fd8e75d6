"""The base of every connector's simulator: a local HTTP server with a clock, faults, a request log and a control API.

A simulator answers on the wire as the remote system does; everything under `/_simulator/` is ours and steers it.
Nothing in here knows a connector.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

CONTROL = "/_simulator/"
LOG_LENGTH = 100_000

Json = Any


class Clock:
    """The time of the simulated system, in seconds since 1970: it runs with `source` and can be moved."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0

    def now(self) -> float:
        """The simulated time."""
        return self._source() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock by that many seconds; negative ones move it back."""
        self._offset += seconds

    def set(self, seconds: float) -> None:
        """Set the clock to that time; it runs on from there."""
        self._offset = seconds - self._source()


@dataclass
class Fault:
    """One misbehaviour that is ordered: it spares `skip` matching requests, then strikes `count` (None: all).

    `root` restricts it to requests with that root field. `options` belong to the kind.
    """

    kind: str
    count: int | None = 1
    skip: int = 0
    root: str | None = None
    options: dict[str, Json] = field(default_factory=dict)
    number: int = 0
    hits: int = 0

    def strikes(self) -> bool:
        """Whether it strikes this request, which it counts."""
        if self.skip:
            self.skip -= 1
            return False
        self.hits += 1
        return self.count is None or self.hits <= self.count

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as was ordered."""
        return self.count is not None and self.hits >= self.count


class FaultTable:
    """The faults in force; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """Put a fault in force; its number."""
        with self._lock:
            fault.number = next(self._numbers)
            self._faults.append(fault)
            return fault.number

    def take(self, roots: Iterable[str]) -> list[Fault]:
        """The faults that strike a request with these root fields, in the order in which they were added."""
        asked = set(roots)
        with self._lock:
            matching = [fault for fault in self._faults if fault.root is None or fault.root in asked]
            struck = [fault for fault in matching if fault.strikes()]
            self._faults = [fault for fault in self._faults if not fault.spent]
            return struck

    def list(self) -> list[dict[str, Json]]:
        """The faults in force, as JSON values."""
        with self._lock:
            return [vars(fault).copy() for fault in self._faults]

    def clear(self, number: int | None = None) -> None:
        """Lift one fault, or all."""
        with self._lock:
            self._faults = [fault for fault in self._faults if number is not None and fault.number != number]


@dataclass
class Request:
    """One request as it came. `facts` is what the simulator adds to the log entry of it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass
class Answer:
    """What is sent back. A body that is an iterator is sent in chunks, or with its `length` if that is known.

    `hold` delays the answer by that many seconds; `hang_up` then closes the connection without one; `cut` drops it
    half-way through the body. `done` is called when the answer has left, or could not.
    """

    body: bytes | Iterator[bytes] = b""
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: float = 0.0
    cut: bool = False
    hang_up: bool = False
    done: Callable[[], None] = lambda: None
    length: int | None = None


def json_answer(value: Json, status: int = 200) -> Answer:
    """An answer with a JSON body."""
    return Answer(json.dumps(value, ensure_ascii=False).encode(), status)


class Simulator(ABC):
    """A simulated remote system on a socket of this machine; a context manager.

    A subclass answers requests and names its control calls: a route `/_simulator/<name>` is the function `<name>`,
    its JSON object (or query string) the arguments.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.faults = FaultTable()
        self.requests: deque[dict[str, Json]] = deque(maxlen=LOG_LENGTH)
        self.stopping = threading.Event()
        self.controls: dict[str, Callable[..., Json]] = {}
        self._address = (host, port)
        self._server: _Server | None = None

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """The answer of the remote system to one request."""

    def start(self) -> Self:
        """Listen; returns when the socket accepts connections."""
        self.stopping.clear()
        self._server = _Server(self._address, self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and drop every open connection."""
        server, self._server = self._server, None
        self.stopping.set()
        if server is not None:
            server.shutdown()
            server.server_close()
            server.drop_connections()

    @property
    def base_url(self) -> str:
        """Scheme, host and port; a RuntimeError while the simulator is stopped."""
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def control(self, name: str, arguments: Mapping[str, Json]) -> Answer:
        """Carry out one call of the control API."""
        if name not in self.controls:
            return json_answer({"error": f"no control '{name}'", "controls": sorted(self.controls)}, 404)
        try:
            result = self.controls[name](**arguments)
        except (AttributeError, TypeError, ValueError, LookupError) as mistake:
            return json_answer({"error": f"{type(mistake).__name__}: {mistake}"}, 400)
        return result if isinstance(result, Answer) else json_answer(result)

    def clear_faults(self, number: int | None = None) -> None:
        """Lift one fault, or all."""
        self.faults.clear(None if number is None else int(number))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _control_log(self, clear: bool = False) -> list[dict[str, Json]]:
        found = list(self.requests)
        if clear:
            self.requests.clear()
        return found

    def _control_faults(self) -> list[dict[str, Json]]:
        return self.faults.list()

    def _respond(self, request: Request) -> Answer:
        if not request.path.startswith(CONTROL):
            return self._logged(request)
        try:
            arguments = json.loads(request.body) if request.body else dict(request.query)
        except ValueError as mistake:
            return json_answer({"error": f"not JSON: {mistake}"}, 400)
        if not isinstance(arguments, dict):
            return json_answer({"error": "the arguments are not a JSON object"}, 400)
        return self.control(request.path.removeprefix(CONTROL), arguments)

    def _logged(self, request: Request) -> Answer:
        began = time.perf_counter()
        moment = self.clock.now()
        answer = self.answer(request)
        size = len(answer.body) if isinstance(answer.body, bytes) else answer.length
        entry = {"time": moment, "method": request.method, "path": request.path, "status": answer.status, "bytes": size}
        entry |= {"seconds": round(time.perf_counter() - began, 6), "answered": not (answer.cut or answer.hang_up)}
        self.requests.append(entry | request.facts)
        return answer


class _Server(ThreadingHTTPServer):
    """One thread a connection; remembers the connections so that `stop` can drop them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], simulator: Simulator) -> None:
        self.simulator = simulator
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that died is no event for a server; anything else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def drop_connections(self) -> None:
        """Break every open connection, as a stopped machine does."""
        with self._guard:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests of one connection and writes each answer with one send."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Answer one request of any method."""
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        answer = self.server.simulator._respond(request)  # noqa: SLF001  (the two classes are one machine)
        try:
            self._send(answer)
        except OSError:
            self.close_connection = True
        finally:
            answer.done()

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST

    def _send(self, answer: Answer) -> None:
        if answer.hold:
            self.server.simulator.stopping.wait(answer.hold)
        if answer.hang_up or self.server.simulator.stopping.is_set():
            self.close_connection = True
        elif isinstance(answer.body, bytes):
            self._send_whole(answer, answer.body)
        elif answer.length is not None:
            self._send_sized(answer, answer.body, answer.length)
        else:
            self._send_chunks(answer, answer.body)

    def _send_whole(self, answer: Answer, body: bytes) -> None:
        head = self._head(answer, f"Content-Length: {len(body)}")
        self.close_connection = self.close_connection or answer.cut
        self.connection.sendall(head + (body[: len(body) // 2] if answer.cut else body))

    def _send_sized(self, answer: Answer, pieces: Iterator[bytes], length: int) -> None:
        self.connection.sendall(self._head(answer, f"Content-Length: {length}"))
        left = length // 2 if answer.cut else length
        for piece in pieces:
            self.connection.sendall(piece[:left])
            left -= len(piece)
            if left <= 0 or self.server.simulator.stopping.is_set():
                break
        # What was promised and not sent can only be told by breaking the connection.
        self.close_connection = self.close_connection or answer.cut or left > 0

    def _send_chunks(self, answer: Answer, chunks: Iterator[bytes]) -> None:
        self.connection.sendall(self._head(answer, "Transfer-Encoding: chunked"))
        for chunk in filter(None, chunks):
            self.connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.connection.sendall(b"0\r\n\r\n")

    def _head(self, answer: Answer, length: str) -> bytes:
        phrase = responses.get(answer.status, "")
        lines = [
            f"HTTP/1.1 {answer.status} {phrase}",
            f"Date: {formatdate(self.server.simulator.clock.now(), usegmt=True)}",
        ]
        lines += [f"Content-Type: {answer.content_type}", length]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (as in http.server)
        """Write nothing: the request log is read through the control API."""
