"""The GraphQL endpoint: tokens, limits and faults around the pages, and a log entry for each request."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from postroad.connectors.xledger.simulator import outages
from postroad.connectors.xledger.simulator.answers import PageCache, Rendered, last_cursor, rendered
from postroad.connectors.xledger.simulator.changes import Changes
from postroad.connectors.xledger.simulator.connections import Connections
from postroad.connectors.xledger.simulator.documents import cursor_variable, glance, operation, walked
from postroad.connectors.xledger.simulator.generate import company
from postroad.connectors.xledger.simulator.limits import Gate
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.connectors.xledger.simulator.tables import TABLES
from postroad.sdk.outages import on_the_wire
from postroad.sdk.simulator import Answer, Clock, Fault, Json, Request, Simulator

PATHS = ("/graphql", "/GraphQL")


@dataclass(frozen=True)
class Question:
    """What a request asks; the content type does not matter (fact sheet 1.1)."""

    query: str | None = None
    name: str | None = None
    variables: dict[str, Any] | None = None

    @classmethod
    def read(cls, body: bytes) -> Question:
        """The question in a body; an empty one if the body holds none."""
        try:
            asked = json.loads(body)
        except ValueError:
            return cls()
        if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
            return cls()
        name, variables = asked.get("operationName"), asked.get("variables")
        if not isinstance(variables, dict | None):
            return cls()
        return cls(
            asked["query"], name if isinstance(name, str) else None, variables if isinstance(variables, dict) else {}
        )

    @property
    def key(self) -> object:
        """Equal for equal questions."""
        return self.query, self.name, json.dumps(self.variables, sort_keys=True)


class Endpoint(Simulator):
    """Answers requests from the state of one tenant; one lock guards that state."""

    def __init__(
        self, address: tuple[str, int], clock: Clock | None, gate: Gate, switches: Switches, cache: PageCache
    ) -> None:
        super().__init__(*address, clock)
        self.gate = gate
        self.switches = switches
        self._lock = threading.RLock()
        self._cache = cache
        self._cached_state: object = None
        self._last_walk: Question | None = None
        self._generation = 0
        self._lived: tuple[tuple[int, float], ...] = ()  # what happened to the live company (`Changes.live`)

    def settle(self, seed: int, sizes: Mapping[str, int]) -> None:
        """Take the data of another company."""
        with self._lock:
            self._store = Store(company(seed, TABLES, sizes), self._generation)
            self._changes = Changes(self._store)
            self._sizes = dict(sizes)

    def answer(self, request: Request) -> Answer:
        """Answer one request under the faults that strike it."""
        if request.path not in PATHS or request.method != "POST":
            return Answer(b"Not found", 404, "text/plain")
        question = Question.read(request.body)
        roots, name = glance(question.query, question.name)
        struck = self.faults.take(roots)
        request.facts |= {"roots": roots, "operation": name, "variables": question.variables, "rows": 0, "failed": True}
        request.facts["faults"] = [fault.kind for fault in struck]
        self._perform(struck, "before")
        answer = self._compressed(self._admitted(question, request, struck), request)
        answer = replace(answer, hold=answer.hold + self.switches.latency_ms / 1_000)
        for fault in struck:
            answer = on_the_wire(fault, answer)
        self._perform(struck, "after")
        return answer

    def _admitted(self, question: Question, request: Request, struck: list[Fault]) -> Answer:
        """The answer of tokens, limits and faults, or the page. A place inside is held until the answer is sent."""
        switches, header = self.switches, request.headers.get("authorization")
        try:
            self.gate.authorise(header)
        except RefusedError as refused:
            return outages.error_answer(refused, switches.auth_status)
        try:
            self.gate.enter(switches, self.clock.now())
        except RefusedError as refused:
            return outages.error_answer(refused, switches.error_status)
        try:
            answer = self._answered(question, request, struck)
        except RefusedError as refused:
            answer = outages.error_answer(refused, switches.error_status)
        except BaseException:
            self.gate.leave()
            raise
        return replace(answer, done=self.gate.leave)

    def _answered(self, question: Question, request: Request, struck: list[Fault]) -> Answer:
        token = request.headers.get("authorization", "").partition(" ")[2]
        for fault in struck:
            given = outages.refusal(fault, token)
            if given is not None:
                return given
        page = self._page(question, [fault for fault in struck if fault.kind in outages.FIELD_KINDS])
        request.facts |= {"rows": page.rows, "failed": page.failed}
        return Answer(page.body, self.switches.error_status if page.failed else 200)

    def _page(self, question: Question, special: list[Fault]) -> Rendered:
        if question.query is None:
            raise RefusedError("The request has no query.")
        with self._lock:
            self._forget_old()
            page = None if special else self._cache.get(question.key)
            if page is None:
                page = self._rendered(question, special, self.switches)
                if not special:
                    self._cache.put(question.key, page)
            if walked(question.query, question.name):
                self._last_walk = question
            return page

    def _rendered(self, question: Question, special: list[Fault], switches: Switches) -> Rendered:
        known = switches.known
        asked = operation(question.query or "", question.name, question.variables or {}, known)
        return rendered(asked, Connections(self._store, switches, special), known, switches.partial_data)

    def _forget_old(self) -> None:
        """Drop deltas past their retention, and cached pages when anything that can be seen changed."""
        self._store.drop_before(self.clock.now() - self.switches.retention_hours * 3_600)
        state = (self._generation, self._store.version, self._store.logged(), self.switches)
        if state != self._cached_state:
            self._cache.clear()
            self._cached_state = state

    def _following(self, question: Question, page: Rendered) -> Question | None:
        """The question for the page after this one, as a client would ask it; None at the end."""
        variable = cursor_variable(question.query or "", question.name)
        cursor = last_cursor(page.body)
        if variable is None or cursor is None:
            return None
        return replace(question, variables={**(question.variables or {}), variable: cursor})

    def _perform(self, struck: list[Fault], when: str) -> None:
        """Carry out the control calls of scripts, before the page is read or after."""
        for fault in struck:
            if fault.kind == "script" and fault.options.get("when", "before") == when:
                arguments: dict[str, Json] = fault.options.get("arguments", {})
                self.control(fault.options["call"], arguments)

    def _compressed(self, answer: Answer, request: Request) -> Answer:
        wanted = "gzip" in request.headers.get("accept-encoding", "")
        if not (self.switches.gzip and wanted and isinstance(answer.body, bytes)):
            return answer
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        return replace(answer, body=gzip.compress(answer.body, 1), headers=headers)
