"""The simulator as an object: answers requests as the remote system does, and is steered by methods or over HTTP."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from postroad.connectors.xledger.simulator import DEMO_TOKEN, outages
from postroad.connectors.xledger.simulator.answers import CACHE_BYTES, PageCache, Rendered, rendered
from postroad.connectors.xledger.simulator.changes import Changes, moment_of
from postroad.connectors.xledger.simulator.company import Company
from postroad.connectors.xledger.simulator.connections import Connections
from postroad.connectors.xledger.simulator.documents import Operation, everything, glance, operation
from postroad.connectors.xledger.simulator.limits import Gate
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.sdk.simulator import Answer, Clock, Fault, Json, Request, Simulator

PATHS = ("/graphql", "/GraphQL")


class XledgerSimulator(Simulator):
    """A simulated Xledger of one company. Every public method is also a route of the control API; all are thread safe.

    `clock` is a Clock, or a function that gives seconds since 1970. Further arguments are switches (`Switches`).
    """

    def __init__(
        self,
        seed: int = 1,
        timesheets: int = 1_000,
        token: str = DEMO_TOKEN,
        clock: Clock | Callable[[], float] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        cache_bytes: int | None = CACHE_BYTES,
        **switches: Any,
    ) -> None:
        super().__init__(host, port, clock if clock is None or isinstance(clock, Clock) else Clock(clock))
        self.token = token
        self.gate = Gate(token)
        self.switches = Switches().changed(**switches)
        self._lock = threading.RLock()
        self._cache = PageCache(cache_bytes)
        self._cached_state: object = None
        self._generation = 0
        self._settle(seed, timesheets)
        self.controls = {name: getattr(self, method) for name, method in CONTROLS.items()}

    @property
    def url(self) -> str:
        """The GraphQL endpoint."""
        return f"{self.base_url}/graphql"

    @property
    def log(self) -> list[dict[str, Json]]:
        """The request log, oldest first."""
        return list(self.requests)

    # ---- answering ----

    def answer(self, request: Request) -> Answer:
        """Answer one request under the faults that strike it."""
        if request.path not in PATHS or request.method != "POST":
            return Answer(b"Not found", 404, "text/plain")
        query, name, variables = _question(request.body)
        roots, facts = glance(query, name)
        request.facts |= {"roots": roots, "operation": facts, "variables": variables, "rows": 0}
        struck = self.faults.take(roots)
        for fault in struck:
            if fault.kind == "script":
                self._perform(fault.options)
        answer = self._answer_under(struck, request, query, name, variables)
        for fault in struck:
            answer = outages.on_the_wire(fault, answer)
        request.facts["faults"] = [fault.kind for fault in struck]
        answer.hold += self.switches.latency_ms / 1_000
        return self._compressed(answer, request)

    def _answer_under(
        self, struck: list[Fault], request: Request, query: str | None, name: str | None, variables: dict[str, Any]
    ) -> Answer:
        switches, now = self.switches, self.clock.now()
        header = request.headers.get("authorization")
        try:
            self.gate.authorise(header)
        except RefusedError as refused:
            return outages.error_answer(refused, switches.auth_status)
        try:
            for fault in struck:
                given = outages.refusal(fault, (header or "").partition(" ")[2])
                if given is not None:
                    return given
            # The place inside is given back by `answer_sent`, so that a held answer counts as concurrent.
            with self.gate.admitted(switches, now):
                page = self._page(query, name, variables, struck)
        except RefusedError as refused:
            return outages.error_answer(refused, switches.error_status)
        request.facts["rows"] = page.rows
        return Answer(page.body, switches.error_status if page.failed else 200)

    def _page(self, query: str | None, name: str | None, variables: dict[str, Any], struck: list[Fault]) -> Rendered:
        if query is None:
            raise RefusedError("The request has no query.")
        with self._lock:
            switches = self.switches
            self._forget_old(switches)
            special = [fault for fault in struck if fault.kind in outages.FIELD_KINDS]
            key = (query, name, json.dumps(variables, sort_keys=True))
            page = None if special else self._cache.get(key)
            if page is None:
                asked = operation(query, name, variables, switches.current_available)
                page = self._render(asked, switches, special)
                if not special:
                    self._cache.put(key, page)
            return page

    def _render(self, asked: Operation, switches: Switches, special: list[Fault]) -> Rendered:
        connections = Connections(self._store, switches, self.clock.now(), special)
        return rendered(asked, connections, switches.current_available, switches.partial_data)

    def _forget_old(self, switches: Switches) -> None:
        """Drop deltas past their retention, and cached pages when anything that can be seen changed."""
        if self._store.log.drop_before(self.clock.now() - switches.retention_hours * 3_600):
            self._store.version += 1
        state = (self._generation, self._store.version, len(self._store.log), switches)
        if state != self._cached_state:
            self._cache.clear()
            self._cached_state = state

    def _compressed(self, answer: Answer, request: Request) -> Answer:
        wanted = "gzip" in request.headers.get("accept-encoding", "")
        if self.switches.gzip and wanted and isinstance(answer.body, bytes):
            answer.body = gzip.compress(answer.body, 1)
            answer.headers = {**answer.headers, "Content-Encoding": "gzip"}
        return answer

    def _perform(self, options: dict[str, Json]) -> None:
        """Carry out the control call of a script."""
        self.controls[options["call"]](**options.get("arguments", {}))

    def _settle(self, seed: int, timesheets: int) -> None:
        self._store = Store(Company(seed, timesheets), self._generation)
        self._changes = Changes(self._store)

    # ---- what people do in the remote system ----

    def mutate(self, n: int = 1) -> list[int]:
        """Change hours and text of `n` random timesheets; their dbIds."""
        with self._lock:
            return self._changes.mutate(int(n), self.clock.now())

    def update(self, db_id: int, delta: bool = True, **fields: Any) -> None:
        """Set fields of one timesheet to any value, bad ones too; without `delta` nothing is logged."""
        with self._lock:
            self._changes.update(db_id, fields, self.clock.now(), delta)

    def delete(self, which: int | Iterable[int] = 1) -> list[int]:
        """Delete `which` random timesheets, or those whose dbIds are listed; their dbIds."""
        with self._lock:
            return self._changes.delete(which, self.clock.now())

    def restore(self, db_ids: Iterable[int]) -> None:
        """Bring deleted timesheets back under their dbIds."""
        with self._lock:
            self._changes.restore(db_ids, self.clock.now())

    def add(self, n: int = 1) -> list[int]:
        """Add `n` timesheets; their dbIds."""
        with self._lock:
            return self._changes.add(int(n), self.clock.now())

    def rename(self, kind: str, db_id: int, description: str) -> int:
        """Rename a project, employee, activity, owner …; how many deltas that made (switch `renames_make_delta`)."""
        with self._lock:
            now, delta = self.clock.now(), self.switches.renames_make_delta
            return self._changes.rename(kind, int(db_id), description, now, delta)

    def rename_project(self, db_id: int, description: str) -> int:
        """Rename a project."""
        return self.rename("project", db_id, description)

    def rename_employee(self, db_id: int, description: str) -> int:
        """Rename an employee."""
        return self.rename("employee", db_id, description)

    def unreadable(self, db_ids: Iterable[int]) -> None:
        """Let exactly these rows be null in `_current` and missing when asked by id, although they exist."""
        with self._lock:
            numbers = {self._store.number(int(db_id)) for db_id in db_ids}
            self._store.unreadable = {number for number in numbers if number is not None}
            self._store.version += 1

    # ---- what operators of the remote system do ----

    def advance(self, seconds: float = 0, hours: float = 0, days: float = 0) -> float:
        """Move the clock; its new time in seconds since 1970."""
        self.clock.advance(float(seconds) + float(hours) * 3_600 + float(days) * 86_400)
        return self.clock.now()

    def set_clock(self, to: float | str) -> float:
        """Set the clock to seconds since 1970 or an ISO time."""
        self.clock.set(moment_of(to))
        return self.clock.now()

    def switch(self, **values: Any) -> dict[str, Any]:
        """Change switches; all of them as they are now."""
        with self._lock:
            self.switches = self.switches.changed(**values)
            return self.switches.as_json()

    def fault(self, kind: str, count: int | None = 1, skip: int = 0, root: str | None = None, **options: Any) -> int:
        """Order a fault (docs/simulator-xledger.md lists the kinds); its number."""
        if kind not in outages.KINDS:
            raise ValueError(f"no fault '{kind}'; there are: {', '.join(outages.KINDS)}")
        if kind == "script" and options.get("call") not in self.controls:
            raise ValueError("a script needs `call`, the name of a control call")
        return self.faults.add(Fault(kind, count, skip, root, options))

    def clear_faults(self, number: int | None = None) -> None:
        """Lift one fault, or all."""
        self.faults.clear(None if number is None else int(number))

    def set_token(self, token: str, state: str = "valid") -> dict[str, str]:
        """Let a token be `valid`, `expired` or `unknown`; the states of all tokens."""
        if state not in ("valid", "expired", "unknown"):
            raise ValueError("a token is 'valid', 'expired' or 'unknown'")
        self.gate.tokens.pop(token, None)
        if state == "valid" or state == "expired":
            self.gate.tokens[token] = "valid" if state == "valid" else "expired"
        return dict(self.gate.tokens)

    def swap_tenant(self, seed: int, timesheets: int | None = None, invalidate_token: bool = False) -> None:
        """The refresh of a demo: all data replaced, all cursors foreign, on wish all tokens deleted."""
        with self._lock:
            self._generation += 1
            self._settle(int(seed), self._store.company.size if timesheets is None else int(timesheets))
            if invalidate_token:
                self.gate.tokens.clear()

    def refill_credits(self) -> dict[str, object]:
        """Renew the credits now; what is left of them."""
        self.gate.refill()
        return self.credits()

    def credits(self) -> dict[str, object]:
        """What is left of the credits."""
        return self.gate.credits(self.switches, self.clock.now())

    # ---- looking ----

    def rows(
        self, owner_set: str = "MINE", after: int | str | None = None, limit: int | None = None
    ) -> dict[int, Json]:
        """The timesheets that exist now as GraphQL would show them, by dbId; for verification."""
        found: dict[int, Json] = {}
        for body in self._pages(owner_set, None if after is None else str(after), limit):
            found |= {int(node["dbId"]): node for node in body}
        return found

    def counts(self) -> dict[str, int]:
        """How many timesheets and deltas there are, and the newest number."""
        with self._lock:
            return {"timesheets": self._store.count(), "deltas": len(self._store.log), "version": self._store.version}

    def _pages(self, owner_set: str, after: str | None, limit: int | None) -> Iterator[list[Json]]:
        left = limit
        while left is None or left > 0:
            size = 10_000 if left is None else min(left, 10_000)
            variables = {"first": size, "after": after, "ownerSet": owner_set}
            with self._lock:
                asked = operation(everything(), None, variables, True)
                page = json.loads(self._render(asked, Switches(null_reference=self.switches.null_reference), []).body)
            connection = page["data"]["timesheets"]
            edges = connection["edges"] or []
            yield [edge["node"] for edge in edges]
            if not edges or not connection["pageInfo"]["hasNextPage"]:
                return
            after = edges[-1]["cursor"]
            left = None if left is None else left - len(edges)

    # ---- the control API where it differs from the methods ----

    def _control_rows(
        self, owner_set: str = "MINE", after: str | None = None, limit: int | str | None = None
    ) -> Answer:
        pages = self._pages(owner_set, after, None if limit is None else int(limit))
        lines = ("".join(json.dumps(node, ensure_ascii=False) + "\n" for node in page).encode() for page in pages)
        return Answer(lines, content_type="application/x-ndjson; charset=utf-8")

    def _control_log(self, clear: bool = False) -> list[dict[str, Json]]:
        found = self.log
        if clear:
            self.requests.clear()
        return found

    def _control_faults(self) -> list[dict[str, Json]]:
        return self.faults.list()


CONTROLS = {
    "mutate": "mutate",
    "update": "update",
    "delete": "delete",
    "restore": "restore",
    "add": "add",
    "rename": "rename",
    "unreadable": "unreadable",
    "advance": "advance",
    "clock": "set_clock",
    "switches": "switch",
    "fault": "fault",
    "faults": "_control_faults",
    "clear_faults": "clear_faults",
    "token": "set_token",
    "swap_tenant": "swap_tenant",
    "credits": "credits",
    "refill_credits": "refill_credits",
    "rows": "_control_rows",
    "counts": "counts",
    "log": "_control_log",
}


def _question(body: bytes) -> tuple[str | None, str | None, dict[str, Any]]:
    """Query, operation name and variables of a request, whatever its content type says."""
    try:
        asked = json.loads(body)
    except ValueError:
        return None, None, {}
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        return None, None, {}
    variables = asked.get("variables")
    name = asked.get("operationName")
    return asked["query"], name if isinstance(name, str) else None, variables if isinstance(variables, dict) else {}
