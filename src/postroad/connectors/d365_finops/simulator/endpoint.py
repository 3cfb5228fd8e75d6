"""The environment's endpoint: sign-in, `/data`, `/metadata` and the actions, with faults and limits around them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from postroad.connectors.d365_finops.simulator import actions, metadata, outages, sign_in
from postroad.connectors.d365_finops.simulator.actions import Actions
from postroad.connectors.d365_finops.simulator.blobs import BlobStore
from postroad.connectors.d365_finops.simulator.entities import Entity, catalogue
from postroad.connectors.d365_finops.simulator.environment import Environment
from postroad.connectors.d365_finops.simulator.executions import Executions
from postroad.connectors.d365_finops.simulator.exports import Exporter
from postroad.connectors.d365_finops.simulator.formats import BUILT_IN
from postroad.connectors.d365_finops.simulator.limits import Gate
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.odata import Read, Reader, nothing
from postroad.connectors.d365_finops.simulator.pages import Holder
from postroad.connectors.d365_finops.simulator.projects import Projects
from postroad.connectors.d365_finops.simulator.sets import Sets
from postroad.connectors.d365_finops.simulator.sign_in import Directory
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.sdk.simulator import Answer, Clock, Fault, Json, Request, Simulator

PATIENCE = 5.0
"""Seconds that a request waits for a package whose time on the clock is over; a larger one is `Executing` till then."""


class Endpoint(Simulator):
    """Answers requests from the state of one environment; one lock guards that state."""

    def __init__(
        self,
        address: tuple[str, int],
        blob_port: int,
        clock: Clock | None,
        directory: Directory,
        environment: Environment,
        switches: Switches,
    ) -> None:
        super().__init__(*address, clock)
        self.switches = switches
        self.directory = directory
        self.environment = environment
        self.projects = Projects()
        self.executions = Executions()
        self.blobs = BlobStore(address[0], blob_port, self.clock, self.faults)
        self.blobs.requests = self.requests
        self._gate = Gate()
        self._lock = threading.RLock()
        formats = {form.name.lower(): form for form in BUILT_IN}
        self.exporter = Exporter(environment, self.projects, self.executions, formats, Path(), self.stopping)

    def answer(self, request: Request) -> Answer:
        """Answer one request under the faults that strike it."""
        roots = roots_of(request)
        struck = self.faults.take(roots)
        request.facts |= {"roots": roots, "faults": [fault.kind for fault in struck]}
        self._perform(struck, "before")
        try:
            answer = self._admitted(request, struck)
        except RefusedError as refused:
            answer = refused.answer(self.switches.error_shape)
        headers = {**answer.headers, **({} if roots == ["sign_in"] else self._headers())}
        answer = replace(answer, headers=headers, hold=answer.hold + self.switches.latency_ms / 1_000)
        for fault in struck:
            answer = outages.on_the_wire(fault, answer)
        self._perform(struck, "after")
        return answer

    @property
    def audiences(self) -> set[str]:
        """The addresses that a token may be meant for: scheme, host and port, without a slash."""
        parts = urlsplit(self.base_url)
        return {self.base_url, f"{parts.scheme}://localhost:{parts.port}"}

    def settle(self, patience: float = PATIENCE) -> None:
        """Let executions whose time is over come to their end, and forget what is too old."""
        now = self.clock.now()
        for execution in self.executions.due(now):
            execution.build.done.wait(patience)
        with self._lock:
            self.executions.settle(now, self.switches, self.projects)
            self.blobs.drop()

    def _admitted(self, request: Request, struck: Sequence[Fault]) -> Answer:
        """The answer of faults, tokens and limits, or that of the environment. A place inside is held until it left."""
        now = self.clock.now()
        given = next(filter(None, map(outages.refusal, struck)), None)
        if given is not None:
            return given
        if sign_in.PATH.fullmatch(request.path) and request.method == "POST":
            return self.directory.answer(request, self.audiences, now, self.switches)
        self.directory.authorise(request.headers.get("authorization"), self.audiences, now, self.switches)
        self._gate.enter(self.switches, now)
        try:
            self.settle()
            with self._lock:
                answer = self._served(request, struck)
        except BaseException:
            self._gate.leave()
            raise
        return replace(answer, done=self._gate.leave)

    def _served(self, request: Request, struck: Sequence[Fault]) -> Answer:
        found = actions.PATH.fullmatch(request.path)
        if found is not None and request.method == "POST":
            now = self.clock.now()
            return Actions(self.exporter, self.blobs, self.switches, now, self.base_url, struck).answer(
                found[1], request
            )
        path = request.path.rstrip("/").lower()
        if request.method == "GET" and path == "/data":
            return metadata.service(self.base_url)
        if request.method == "GET" and path == "/data/$metadata":
            return metadata.document()
        if request.method == "GET" and path.startswith("/metadata/"):
            return metadata.metadata(request, self.base_url)
        read = Read.of(request, _entity)
        if request.method == "GET":
            return Reader(read, self._holders, self.switches, self.base_url, struck).answer(request)
        return self._sets().write(read.entity, read.key, request)

    def _holders(self, entity: Entity, across: bool) -> Sequence[Holder]:
        if entity.scope == "own":
            return [self._sets().records(entity)]
        return self.environment.shelves(entity, None if across else self.switches.default_company)

    def _sets(self) -> Sets:
        return Sets(self.projects, self.executions, self.switches, self.clock.now(), self.base_url)

    def _headers(self) -> dict[str, str]:
        return {
            "OData-Version": "4.0",
            "ms-dyn-aid": str(uuid.uuid4()),
            "ms-dyn-tenant": self.directory.tenant,
            "ms-dyn-role": "AOSService",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "server-timing": "dur=1",
        }

    def _perform(self, struck: Sequence[Fault], when: str) -> None:
        """Carry out the control calls of scripts, before the request is answered or after."""
        for fault in struck:
            if fault.kind == "script" and fault.options.get("when", "before") == when:
                arguments: dict[str, Json] = fault.options.get("arguments", {})
                self.control(fault.options["call"], arguments)


def roots_of(request: Request) -> list[str]:
    """By which names faults find a request."""
    if sign_in.PATH.fullmatch(request.path):
        return ["sign_in"]
    first, _, rest = request.path.strip("/").partition("/")
    if first.lower() == "metadata":
        return ["metadata"]
    return actions.roots(request.path) or ["data", rest.partition("(")[0].partition("/")[0]]


def _entity(collection: str) -> Entity:
    """The entity of a set, whose case counts."""
    found = catalogue().entities.get(collection) or catalogue().own.get(collection)
    if found is None:
        raise nothing(f"/data/{collection}")
    return found
