"""The simulator as a process of its own on a core of its own, every page rendered before anybody asks.

As a module it is that process: `python -m benchmarks.server ROWS SIZES [--on-demand]`, with the sizes of other entities
as JSON, prints one line of JSON when it is ready and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

PAGE = 10_000
TOKEN_VARIABLE = "POSTROAD_BENCH_TOKEN"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running simulator: where it is, its token, the documents of a walk."""

    process: int
    url: str
    token: str
    queries: dict[str, str]

    def latency(self, milliseconds: float) -> None:
        """Hold every answer that long from now on; what was rendered is rendered again, because switches changed."""
        self.hold(milliseconds)
        warm_up(self.url, self.token, self.queries)
        self._control("pre_render", {})

    def hold(self, milliseconds: float) -> None:
        """Hold every answer that long from now on."""
        self._control("switches", {"latency_ms": milliseconds})

    def busy(self) -> float:
        """Seconds of processor time that it has used so far."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def update(self, db_id: int, **fields: str) -> None:
        """Change a timesheet, as a person would."""
        self._control("update", {"db_id": db_id, **fields})

    def _control(self, name: str, arguments: dict[str, Any]) -> None:
        base = self.url.removesuffix("/graphql")
        with urlopen(Request(f"{base}/_simulator/{name}", json.dumps(arguments).encode(), method="POST")) as answer:
            answer.read()


@contextmanager
def serving(
    rows: int, core: int | None, *, sizes: Mapping[str, int] | None = None, rendered: bool = True
) -> Iterator[Server]:
    """Run the simulator pinned to a core. Where its speed does not count, pages need not be `rendered` before."""
    words = [str(rows), json.dumps({**(sizes or {})}), *([] if rendered else ["--on-demand"])]
    command = [sys.executable, "-m", "benchmarks.server", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            yield Server(process.pid, told["url"], told["token"], told["queries"])
        finally:
            process.stdin.close()


def warm_up(url: str, token: str, queries: dict[str, str]) -> None:
    """Ask for the first two pages as the floor asks for them; the simulator renders on from the second.

    The first page is also asked for as dlt's paginator does, which knows one document.
    """
    from postroad.connectors.xledger.answers import Looks

    def ask(query: str, variables: dict[str, str]) -> bytes:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"authorization": f"token {token}", "content-type": "application/json"}
        with urlopen(Request(url, body, headers)) as answer:
            content: bytes = answer.read()
            return content

    ask(queries["tenant"], {})
    ask(queries["next"], {})
    after = Looks().reply(ask(queries["first"], {}), None, 0).page("timesheets").rows[-1].cursor
    ask(queries["next"], {"after": after or ""})


def _serve(rows: int, sizes: str, *options: str) -> None:
    from postroad.connectors.xledger.documents import Reach, walk_document
    from postroad.connectors.xledger.entities import TIMESHEETS
    from postroad.connectors.xledger.simulator import XledgerSimulator

    reach = Reach("MINE", "ALL", PAGE)
    queries = {
        "tenant": walk_document(TIMESHEETS, reach, None, tenant=True).text,
        "first": walk_document(TIMESHEETS, reach, None, tenant=False).text,
        "next": walk_document(TIMESHEETS, reach, "x", tenant=False).text,
    }
    rendered = "--on-demand" not in options
    cache: dict[str, Any] = {"cache_bytes": None} if rendered else {}
    with XledgerSimulator(timesheets=rows, sizes=json.loads(sizes), burst=None, concurrency=None, **cache) as simulator:
        if rendered:
            warm_up(simulator.url, simulator.token, queries)
            simulator.pre_render()
        print(json.dumps({"url": simulator.url, "token": simulator.token, "queries": queries}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), *sys.argv[2:])
