"""The simulator as an object: what people and operators do to the remote system, as methods and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from postroad.connectors.xledger.simulator import DEMO_TOKEN, outages
from postroad.connectors.xledger.simulator.answers import CACHE_BYTES, PageCache
from postroad.connectors.xledger.simulator.changes import moment_of
from postroad.connectors.xledger.simulator.documents import everything
from postroad.connectors.xledger.simulator.endpoint import Endpoint, Question
from postroad.connectors.xledger.simulator.limits import Gate
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.sdk.simulator import Answer, Clock, Fault, Json


class XledgerSimulator(Endpoint):
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
        running = clock if clock is None or isinstance(clock, Clock) else Clock(clock)
        super().__init__((host, port), running, Gate(token), Switches().changed(**switches), PageCache(cache_bytes))
        self.token = token
        self.settle(seed, timesheets)
        self.controls = {name: getattr(self, method) for name, method in CONTROLS.items()}

    @property
    def url(self) -> str:
        """The GraphQL endpoint."""
        return f"{self.base_url}/graphql"

    @property
    def log(self) -> list[dict[str, Json]]:
        """The request log, oldest first."""
        return list(self.requests)

    # ---- what people do in the remote system ----

    def mutate(self, n: int = 1) -> list[int]:
        """Change hours and text of `n` random timesheets; their dbIds."""
        with self._lock:
            return self._changes.mutate(int(n), self.clock.now())

    def update(self, db_id: int, delta: bool = True, **fields: Any) -> None:
        """Set fields of one timesheet to any value, bad ones too; without `delta` nothing is logged."""
        with self._lock:
            self._changes.update(db_id, fields, self.clock.now(), delta)

    def delete(self, which: int | str | Iterable[int] = 1) -> list[int]:
        """Delete `which` random timesheets, or those whose dbIds are listed; their dbIds."""
        with self._lock:
            return self._changes.delete(int(which) if isinstance(which, str) else which, self.clock.now())

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
        return self.faults.add(Fault(kind, None if count is None else int(count), int(skip), root, options))

    def clear_faults(self, number: int | None = None) -> None:
        """Lift one fault, or all."""
        self.faults.clear(None if number is None else int(number))

    def set_token(self, token: str, state: str = "valid") -> dict[str, str]:
        """Let a token be `valid`, `expired` or `unknown`; the states of all tokens."""
        return self.gate.set_token(token, state)

    def swap_tenant(self, seed: int, timesheets: int | None = None, invalidate_token: bool = False) -> None:
        """The refresh of a demo: all data replaced, all cursors foreign, on wish all tokens deleted."""
        with self._lock:
            self._generation += 1
            self.settle(int(seed), self._store.company.size if timesheets is None else int(timesheets))
            if invalidate_token:
                self.gate.forget_tokens()

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

    def pre_render(self) -> int:
        """Render all pages that follow the walk page last asked for, so that they are served from memory; how many.

        They stay until the data changes, as far as the cache is large enough (`cache_bytes`, `--pre-render`).
        """
        question, count = self._last_walk, 0
        while question is not None:
            question = self._following(question, self._page(question, []))
            count += 1
        return count

    def counts(self) -> dict[str, int]:
        """How many timesheets and deltas there are, and the newest number."""
        with self._lock:
            return {"timesheets": self._store.count(), "deltas": len(self._store.log), "version": self._store.version}

    def _pages(self, owner_set: str, after: str | None, limit: int | None) -> Iterator[list[Json]]:
        left = limit
        while left is None or left > 0:
            size = 10_000 if left is None else min(left, 10_000)
            variables = {"first": size, "after": after, "ownerSet": owner_set}
            plain = Switches(null_reference=self.switches.null_reference)
            with self._lock:
                page = json.loads(self._rendered(Question(everything(), None, variables), [], plain).body)
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
    "pre_render": "pre_render",
    "counts": "counts",
    "log": "_control_log",
}
