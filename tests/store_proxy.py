"""A proxy before Azurite: it notes every call, and loses, refuses or drops some of them as a real network does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit


class Fault(StrEnum):
    """What happens to a call."""

    LOSE_ANSWER = "done, and nobody hears of it"
    DROP = "the connection ends before anything is done"
    BUSY = "503 Server Busy"


@dataclass(frozen=True)
class Call:
    """One request as it came. `length` counts the bytes of its body; `only_new` says that it creates or fails."""

    method: str
    path: str
    query: str
    length: int
    range: str | None
    only_new: bool

    @property
    def name(self) -> str:
        """The blob's name, without account and container."""
        return unquote(self.path.split("/", 3)[3]) if self.path.count("/") > 2 else ""


class StoreProxy:
    """Use it as a context manager; `endpoint` takes the place of Azurite's."""

    def __init__(self, endpoint: str) -> None:
        self._target = urlsplit(endpoint)
        self._lock = threading.Lock()
        self._orders: list[tuple[Fault, Callable[[Call], bool], int]] = []
        self.calls: list[Call] = []
        self.struck: list[tuple[Fault, Call]] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}{self._target.path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def order(self, fault: Fault, which: Callable[[Call], bool], times: int = 1) -> None:
        """Let a fault strike the next calls of that kind."""
        with self._lock:
            self._orders.append((fault, which, times))

    def lift(self) -> None:
        """Forget what was ordered."""
        with self._lock:
            self._orders.clear()

    def notice(self, call: Call) -> Fault | None:
        """Note a call; what is to happen to it."""
        with self._lock:
            self.calls.append(call)
            for place, (fault, which, times) in enumerate(self._orders):
                if which(call):
                    self._orders[place : place + 1] = [(fault, which, times - 1)] if times > 1 else []
                    self.struck.append((fault, call))
                    return fault
        return None

    def connect(self) -> http.client.HTTPConnection:
        """A connection to Azurite."""
        return http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=30)


class _Handler(BaseHTTPRequestHandler):
    proxy: StoreProxy
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.ahead = self.proxy.connect()

    def finish(self) -> None:
        self.ahead.close()
        super().finish()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        where = urlsplit(self.path)
        fault = self.proxy.notice(
            Call(
                self.command,
                where.path,
                where.query,
                len(body),
                self.headers.get("x-ms-range") or self.headers.get("Range"),
                self.headers.get("If-None-Match") == "*",
            )
        )
        if fault is Fault.DROP:
            self.close_connection = True
            return
        if fault is Fault.BUSY:
            self._answer(503, {"x-ms-error-code": "ServerBusy"}, b"")
            return
        status, headers, data = self._forward(body)
        if fault is Fault.LOSE_ANSWER:
            self.close_connection = True
            return
        self._answer(status, headers, data)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _pass_on

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.ahead.request(self.command, self.path, body, dict(self.headers))
        answer = self.ahead.getresponse()
        return answer.status, dict(answer.headers), answer.read()

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        passed = {"connection", "keep-alive", "transfer-encoding"}
        if self.command != "HEAD":
            passed.add("content-length")
        for name, value in headers.items():
            if name.lower() not in passed:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing."""
