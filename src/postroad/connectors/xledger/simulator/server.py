"""The simulator as an object: what people and operators do to the remote system, as methods and over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from postroad.connectors.xledger.simulator import DEMO_TOKEN, outages
from postroad.connectors.xledger.simulator.answers import CACHE_BYTES, PageCache
from postroad.connectors.xledger.simulator.changes import moment_of
from postroad.connectors.xledger.simulator.documents import everything
from postroad.connectors.xledger.simulator.endpoint import Endpoint, Question
from postroad.connectors.xledger.simulator.limits import Gate
from postroad.connectors.xledger.simulator.schema import schema
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.connectors.xledger.simulator.tables import CONNECTIONS
from postroad.sdk.simulator import Answer, Clock, Fault, Json

TIMESHEETS = "timesheets"
HOUR = 3_600.0


class XledgerSimulator(Endpoint):
    """A simulated Xledger of one company. Every public method is also a route of the control API; all are thread safe.

    `sizes` gives the number of rows of further connections; without it they are in proportion to `timesheets`.
    `clock` is a Clock, or a function that gives seconds since 1970. Further arguments are switches (`Switches`).
    """

    def __init__(
        self,
        seed: int = 1,
        timesheets: int = 1_000,
        sizes: Mapping[str, int] | None = None,
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
        self.settle(seed, {"timesheets": timesheets, **(sizes or {})})
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

    # Everything is done to timesheets unless another `entity` is named: any connection, by its root field.

    def mutate(self, n: int = 1, entity: str = TIMESHEETS) -> list[int]:
        """Change some values of `n` random rows, of a timesheet its hours and text; their dbIds."""
        with self._lock:
            return self._changes.mutate(entity, int(n), self.clock.now())

    def update(self, db_id: int, delta: bool = True, entity: str = TIMESHEETS, **fields: Any) -> int:
        """Set fields of one row to any value, bad ones too; without `delta` nothing is logged. How many deltas."""
        with self._lock:
            spread = self.switches.renames_make_delta
            return self._changes.update(entity, int(db_id), fields, self.clock.now(), delta, spread)

    def delete(self, which: int | str | Iterable[int] = 1, entity: str = TIMESHEETS) -> list[int]:
        """Delete `which` random rows, or those whose dbIds are listed, if no other row refers to them; their dbIds."""
        with self._lock:
            return self._changes.delete(entity, int(which) if isinstance(which, str) else which, self.clock.now())

    def restore(self, db_ids: Iterable[int], entity: str = TIMESHEETS) -> None:
        """Bring deleted rows back under their dbIds."""
        with self._lock:
            self._changes.restore(entity, db_ids, self.clock.now())

    def add(self, n: int = 1, entity: str = TIMESHEETS) -> list[int]:
        """Add `n` rows; their dbIds."""
        with self._lock:
            return self._changes.add(entity, int(n), self.clock.now())

    def rename(self, kind: str, db_id: int, description: str) -> int:
        """Rename a project, employee, customer, activity, owner …; how many deltas that made, its own included.

        Rows that refer to it show the new name at once; the switch `renames_make_delta` says whether they get deltas.
        """
        with self._lock:
            spread = self.switches.renames_make_delta
            return self._changes.rename(kind, int(db_id), description, self.clock.now(), spread)

    def rename_project(self, db_id: int, description: str) -> int:
        """Rename a project."""
        return self.rename("project", db_id, description)

    def rename_employee(self, db_id: int, description: str) -> int:
        """Rename an employee."""
        return self.rename("employee", db_id, description)

    def rename_customer(self, db_id: int, description: str) -> int:
        """Rename a customer."""
        return self.rename("customer", db_id, description)

    def unreadable(self, db_ids: Iterable[int], entity: str = TIMESHEETS) -> None:
        """Let exactly these rows be null in `_current` and missing when asked by id, although they exist."""
        with self._lock:
            rows = self._changes.rows(entity)
            numbers = {rows.number(int(db_id)) for db_id in db_ids}
            rows.unreadable = {number for number in numbers if number is not None}
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
            changed = self.switches.changed(**values)
            schema(changed.known)  # A field that cannot vanish is told at once.
            self.switches = changed
            return self.switches.as_json()

    def fault(self, kind: str, count: int | None = 1, skip: int = 0, root: str | None = None, **options: Any) -> int:
        """Order a fault (docs/simulator-xledger.md lists the kinds); its number."""
        if kind not in outages.KINDS:
            raise ValueError(f"no fault '{kind}'; there are: {', '.join(outages.KINDS)}")
        if kind == "script" and options.get("call") not in self.controls:
            raise ValueError("a script needs `call`, the name of a control call")
        return self.faults.add(Fault(kind, None if count is None else int(count), int(skip), root, options))

    def set_token(self, token: str, state: str = "valid") -> dict[str, str]:
        """Let a token be `valid`, `expired` or `unknown`; the states of all tokens."""
        return self.gate.set_token(token, state)

    def rotate_token(self, token: str | None = None, old: str = "expired") -> str:
        """A new token, which is valid; all that were become `old`: expired or unknown. Its text."""
        made = token or base64.urlsafe_b64encode(f"rotated {len(self.gate.tokens)}".encode()).decode().rstrip("=")
        self.gate.rotate(made, old)
        self.token = made
        return made

    def swap_tenant(
        self,
        seed: int,
        timesheets: int | None = None,
        invalidate_token: bool = False,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Another company behind the same endpoint: other data, every cursor foreign, on wish all tokens deleted."""
        with self._lock:
            wanted = {**self._sizes, **({} if timesheets is None else {"timesheets": int(timesheets)}), **(sizes or {})}
            self._replace(int(seed), wanted)
            self._lived = ()
            if invalidate_token:
                self.gate.forget_tokens()

    def refresh_demo(
        self,
        tokens: str = "deleted",
        seed: int | None = None,
        changes: int = 10,
        sizes: Mapping[str, int] | None = None,
    ) -> dict[str, int]:
        """The refresh of a demo: its data are overwritten by the live company's, every cursor is foreign; the counts.

        Without a `seed` live is the company as it was generated, which changes by `changes` rows of each entity before
        each refresh; what was done in the demo is gone, and its tenant stays the same. With a `seed` live is another
        company. `tokens` made in the demo are `deleted`, or `kept` if they are live ones.
        """
        if tokens not in {"deleted", "kept"}:
            raise ValueError("`tokens` are 'deleted' or 'kept'")
        with self._lock:
            here = self._store.company.seed
            if seed is not None and int(seed) != here:
                self._lived = ()
            self._lived = (*self._lived, (int(changes), self.clock.now() - HOUR))
            self._replace(here if seed is None else int(seed), {**self._sizes, **(sizes or {})})
            self._changes.live(self._lived)
            if tokens == "deleted":
                self.gate.forget_tokens()
            self._forget_old()
            return self.counts()

    def _replace(self, seed: int, sizes: Mapping[str, int]) -> None:
        self._generation += 1
        self.settle(seed, sizes)

    def refill_credits(self) -> dict[str, object]:
        """Renew the credits now; what is left of them."""
        self.gate.refill()
        return self.credits()

    def credits(self) -> dict[str, object]:
        """What is left of the credits."""
        return self.gate.credits(self.switches, self.clock.now())

    # ---- looking ----

    def rows(
        self,
        owner_set: str = "MINE",
        after: int | str | None = None,
        limit: int | None = None,
        entity: str = TIMESHEETS,
    ) -> dict[int, Json]:
        """The rows that exist now, with every field, as GraphQL would show them, by dbId; for verification."""
        found: dict[int, Json] = {}
        for body in self._pages(entity, owner_set, None if after is None else str(after), limit):
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
        """How many rows each connection has, how many deltas are kept, and the number of changes so far."""
        with self._lock:
            rows = {name: self._store.rows[name].count() for name in CONNECTIONS}
            return {**rows, "deltas": self._store.logged(), "version": self._store.version}

    def _pages(self, entity: str, owner_set: str, after: str | None, limit: int | None) -> Iterator[list[Json]]:
        left = limit
        while left is None or left > 0:
            size = 10_000 if left is None else min(left, 10_000)
            variables = {"first": size, "after": after, "ownerSet": owner_set}
            plain = Switches(null_reference=self.switches.null_reference)
            with self._lock:
                question = Question(everything(self._changes.rows(entity).table.name), None, variables)
                page = json.loads(self._rendered(question, [], plain).body)
            connection = page["data"][entity]
            edges = connection["edges"] or []
            yield [edge["node"] for edge in edges]
            if not edges or not connection["pageInfo"]["hasNextPage"]:
                return
            after = edges[-1]["cursor"]
            left = None if left is None else left - len(edges)

    # ---- the control API where it differs from the methods ----

    def _control_rows(
        self,
        owner_set: str = "MINE",
        after: str | None = None,
        limit: int | str | None = None,
        entity: str = TIMESHEETS,
    ) -> Answer:
        self._changes.rows(entity)  # A wrong name is told before the first line.
        pages = self._pages(entity, owner_set, after, None if limit is None else int(limit))
        lines = ("".join(json.dumps(node, ensure_ascii=False) + "\n" for node in page).encode() for page in pages)
        return Answer(lines, content_type="application/x-ndjson; charset=utf-8")


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
    "rotate_token": "rotate_token",
    "swap_tenant": "swap_tenant",
    "refresh_demo": "refresh_demo",
    "credits": "credits",
    "refill_credits": "refill_credits",
    "rows": "_control_rows",
    "pre_render": "pre_render",
    "counts": "counts",
    "log": "_control_log",
}
