"""The simulated API as an object: it takes batches as a careful in-house API does, and misbehaves on order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN
from postroad.connectors.http.simulator.faults import AFTER, BEFORE, KINDS
from postroad.connectors.http.simulator.store import Record, Store, UnreadableError
from postroad.sdk.simulator import Answer, Clock, Fault, Json, Request, Simulator, json_answer

TOLERANCE = 300.0  # seconds that a signature is good for
SECRET = ("authorization", "x-api-key")  # of a header that the log leaves out
EACH, SILENT = "each", "silent"


@dataclass
class Switches:
    """What APIs differ in. `answers`: one result for each record, one refusal for the whole batch, or 2xx alone."""

    answers: str = EACH
    partial: int = 200  # the status of an answer that refuses some
    keeps_answers: bool = True  # by idempotency key


class ApiSimulator(Simulator):
    """A simulated API. Every public method of `CONTROLS` is also a route of the control API; all are thread safe.

    Batches go to `/{target}` as an object with `records`, a list, or lines; `GET /targets` lists the targets, and
    `POST /token` gives the token to the client `demo` with the token as its secret.
    """

    def __init__(
        self,
        key: Sequence[str],
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        token: str = DEMO_TOKEN,
        secrets: tuple[str, ...] = (DEMO_SECRET,),
        versions: str = "compared",
    ) -> None:
        super().__init__(host, port, clock)
        self.store = Store(tuple(key), compares=versions == "compared")
        self.key = self.store.key
        self.token, self.secrets = token, secrets
        self.switches = Switches()
        self._answered: dict[str, tuple[str, Answer]] = {}
        self.controls = {name: getattr(self, name) for name in CONTROLS}

    # ---- steering ----

    def rows(self, target: str) -> list[Record]:
        """The records of a target that are not deleted, as they came."""
        return self.store.rows(target)

    def log(self, clear: bool = False) -> list[dict[str, Json]]:
        """The requests so far."""
        return self._control_log(clear)

    def refuse(self, key: Sequence[Json], error: str = "is not wanted here") -> None:
        """Refuse the record with this key from now on."""
        self.store.refused[tuple(key)] = error

    def later(self, key: Sequence[Json]) -> None:
        """Want the record with this key again, later."""
        self.store.later.add(tuple(key))

    def mend(self) -> None:
        """Take every record again, and lift all faults."""
        self.store.refused.clear()
        self.store.later.clear()
        self.clear_faults()

    def switch(self, **values: Any) -> dict[str, Any]:
        """Change switches; all of them as they are now."""
        for name, value in values.items():
            if name not in vars(self.switches):
                raise ValueError(f"no switch '{name}'; there are: {', '.join(vars(self.switches))}")
            setattr(self.switches, name, value)
        return dict(vars(self.switches))

    def fault(self, kind: str, count: int | None = 1, skip: int = 0, **options: Any) -> int:
        """Order a fault (docs/simulator-http.md lists the kinds); its number."""
        if kind not in KINDS:
            raise ValueError(f"no fault '{kind}'; there are: {', '.join(KINDS)}")
        return self.faults.add(Fault(kind, None if count is None else int(count), int(skip), None, options))

    # ---- the API ----

    def answer(self, request: Request) -> Answer:
        """See `Simulator.answer`."""
        if request.path.endswith("/token"):
            return self._token(request)
        if not self._knows(request):
            return json_answer({"detail": "who are you?"}, 401)
        if request.method == "GET":
            return json_answer({"targets": sorted(self.store.targets)})
        struck = self.faults.take([])
        shown = {name: value for name, value in request.headers.items() if name not in SECRET}
        request.facts |= {"faults": [each.kind for each in struck], "headers": shown}
        for fault in struck:
            if fault.kind in BEFORE:
                return BEFORE[fault.kind](fault, Answer())
        with self.store.lock:
            answer = self._once(request)
        for fault in struck:
            answer = AFTER[fault.kind](fault, answer)
        return answer

    def _once(self, request: Request) -> Answer:
        """The answer; the one that was kept if the idempotency key is known (IETF's draft, 2)."""
        key = request.headers.get("idempotency-key", "").strip('"')
        digest = hashlib.sha256(request.body).hexdigest()
        if key and self.switches.keeps_answers and key in self._answered:
            before, answer = self._answered[key]
            request.facts["repeated"] = True
            return answer if before == digest else json_answer({"detail": "this key belongs to another batch"}, 422)
        answer = self._taken(request)
        if key and answer.status < 300:
            self._answered[key] = digest, answer
        return answer

    def _taken(self, request: Request) -> Answer:
        if not self._signed(request):
            return json_answer({"detail": "the signature is wrong, or too old"}, 403)
        target = unquote(request.path.rpartition("/")[2])
        try:
            records = self.store.read(_records(request))
        except (UnreadableError, ValueError, RecursionError) as error:
            return json_answer({"detail": f"no batch of records: {error}"}, 400)
        versions = [each["_version"] for each in records]
        request.facts |= {"target": target, "records": len(records), "versions": [min(versions), max(versions)]}
        if self.switches.answers != EACH:
            why = self.store.bad(records)
            if why:
                return json_answer({"title": "refused", "detail": why}, 422)
            self.store.apply(target, records)
            return Answer(status=204) if self.switches.answers == SILENT else json_answer({"taken": len(records)})
        items = self.store.apply(target, records)
        good = all(each["state"] in ("ok", "known") for each in items)
        return json_answer({"items": items}, 200 if good else self.switches.partial)

    def _knows(self, request: Request) -> bool:
        given = (request.headers.get("authorization", ""), request.headers.get("x-api-key", ""))
        return not self.token or f"Bearer {self.token}" == given[0] or self.token == given[1]

    def _token(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode()))
        if (form.get("client_id"), form.get("client_secret")) != ("demo", self.token):
            return json_answer({"error": "invalid_client"}, 401)
        return json_answer({"access_token": self.token, "token_type": "Bearer", "expires_in": 3600})

    def _signed(self, request: Request) -> bool:
        """By Standard Webhooks; any of our secrets may have made any of the signatures."""
        if not self.secrets:
            return True
        given = [request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")]
        with suppress(ValueError):
            if abs(self.clock.now() - float(given[1])) <= TOLERANCE:
                content = f"{given[0]}.{given[1]}.".encode() + request.body
                good = {_signature(secret, content) for secret in self.secrets}
                return any(each in good for each in given[2].split(" "))
        return False


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()}"


def _records(request: Request) -> Any:
    if "ndjson" in request.headers.get("content-type", ""):
        return [json.loads(line) for line in request.body.splitlines()]
    value = json.loads(request.body)
    return value.get("records") if isinstance(value, dict) else value


CONTROLS = ("rows", "log", "refuse", "later", "mend", "switch", "fault", "clear_faults")
