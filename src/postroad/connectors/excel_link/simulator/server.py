"""The simulator as an object: what people and operators do to the tables, as methods and over HTTP."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from postroad.connectors.excel_link.simulator import hostile
from postroad.connectors.excel_link.simulator.addresses import TABLES, number, path, token
from postroad.connectors.excel_link.simulator.company import Cell, Row, Sheet, new_row, sheets
from postroad.connectors.excel_link.simulator.faults import HTML_TYPE, KINDS, struck
from postroad.connectors.excel_link.simulator.filters import kept
from postroad.connectors.excel_link.simulator.render import CONTENT_TYPES, rendered
from postroad.sdk.simulator import Answer, Clock, Fault, Json, Request, Simulator


@dataclass(frozen=True)
class Switches:
    """What nobody outside knows of the real links, or what servers differ in."""

    etag: bool = True
    last_modified: bool = False
    stamped: bool = True  # a workbook says when it was exported, so that no two exports have the same bytes
    gone_status: int = 404  # of a link that was deleted


class ExcelLinkSimulator(Simulator):
    """A simulated server of links. Every public method is also a route of the control API; all are thread safe.

    A table is named as in `TABLES`: `employee_groups`, or with its subsidiary, `part_time_employees.north`.
    """

    def __init__(
        self, seed: int = 1, host: str = "127.0.0.1", port: int = 0, clock: Clock | None = None, **switches: Any
    ) -> None:
        super().__init__(host, port, clock)
        self._lock = threading.RLock()
        self._draw = random.Random(f"changes {seed}")
        self._seed, self._generation = seed, 0
        self.switches = replace(Switches(), **switches)
        self._sheets = sheets(seed, self._today())
        self._moved: dict[str, float] = dict.fromkeys(TABLES, self.clock.now())
        self.controls = {name: getattr(self, name) for name in CONTROLS} | {"rows": self._control_rows}

    # ---- looking ----

    def url(self, table: str, ending: str = "xlsx") -> str:
        """The link of a table."""
        return self.base_url + path(self._seed, self._generation, table, ending)

    def links(self, ending: str = "xlsx") -> dict[str, str]:
        """Every link by its table."""
        return {table: self.url(table, ending) for table in TABLES}

    def rows(self, table: str) -> list[Row]:
        """The rows that a table has now; for verification. Dates and decimals are texts over HTTP."""
        with self._lock:
            return [dict(row) for row in self._sheet(table).rows]

    def log(self, clear: bool = False) -> list[dict[str, Json]]:
        """The requests so far."""
        return self._control_log(clear)

    # ---- what people do to the tables ----

    def change(self, table: str, n: int = 1) -> int:
        """Change `n` random rows, their keys aside; how many."""
        with self._lock:
            sheet = self._sheet(table)
            chosen = self._draw.sample(sheet.rows, min(int(n), len(sheet.rows)))
            for row in chosen:
                for caption, change in sheet.changes.items():
                    row[caption] = change(self._draw, row[caption])
            self._touched(table)
            return len(chosen)

    def add(self, table: str, n: int = 1) -> int:
        """Add `n` rows; how many there are now."""
        with self._lock:
            sheet = self._sheet(table)
            for _ in range(int(n)):
                sheet.rows.append(new_row(sheet, self._draw))
            self._touched(table)
            return len(sheet.rows)

    def delete(self, table: str, n: int = 1) -> int:
        """Delete `n` random rows; how many are left."""
        with self._lock:
            sheet = self._sheet(table)
            for _ in range(min(int(n), len(sheet.rows))):
                sheet.rows.pop(self._draw.randrange(len(sheet.rows)))
            self._touched(table)
            return len(sheet.rows)

    def set_cell(self, table: str, row: int, caption: str, value: Cell) -> None:
        """Put anything into a cell, a wrong type too (`=#REF!` is a formula that failed); rows count from 0."""
        with self._lock:
            self._sheet(table).rows[int(row)][caption] = value
            self._touched(table)

    def rename_column(self, table: str, caption: str, to: str) -> None:
        """Let a column have another caption, as another language of the exporting user does."""
        with self._lock:
            sheet = self._sheet(table)
            sheet.captions[sheet.captions.index(caption)] = to
            for row in sheet.rows:
                row[to] = row.pop(caption)
            self._touched(table)

    def drop_column(self, table: str, caption: str) -> None:
        """Take a column away."""
        with self._lock:
            self._sheet(table).captions.remove(caption)
            self._touched(table)

    # ---- what operators do ----

    def refresh(self, seed: int | None = None) -> dict[str, str]:
        """The refresh of a demo: other data, and every link dead; the new links."""
        with self._lock:
            self._generation += 1
            self._seed = self._seed + 1 if seed is None else int(seed)
            self._sheets = sheets(self._seed, self._today())
            self._moved = dict.fromkeys(TABLES, self.clock.now())
        return self.links()

    def advance(self, seconds: float = 0, days: float = 0) -> float:
        """Move the clock; its new time in seconds since 1970."""
        self.clock.advance(float(seconds) + float(days) * 86_400)
        return self.clock.now()

    def switch(self, **values: Any) -> dict[str, Any]:
        """Change switches; all of them as they are now."""
        with self._lock:
            self.switches = replace(self.switches, **values)
            return asdict(self.switches)

    def fault(self, kind: str, count: int | None = 1, skip: int = 0, table: str | None = None, **options: Any) -> int:
        """Order a fault (docs/simulator-excel-link.md lists the kinds), for all tables or one; its number."""
        if kind not in KINDS:
            raise ValueError(f"no fault '{kind}'; there are: {', '.join(KINDS)}")
        if kind == "hostile" and options.get("file") not in hostile.KINDS:
            raise ValueError(f"a hostile file is one of: {', '.join(hostile.KINDS)}")
        return self.faults.add(Fault(kind, None if count is None else int(count), int(skip), table, options))

    def _control_rows(self, table: str) -> Json:
        return json.loads(json.dumps(self.rows(table), default=str))

    # ---- the remote system ----

    def answer(self, request: Request) -> Answer:
        """See `Simulator.answer`."""
        with self._lock:
            table = self._named(request.path)
            request.facts["table"] = table
            ending = request.path.rpartition(".")[2]
            right = table is not None and request.query.get("t") == token(self._seed, self._generation, table)
            if table is None or not right or ending not in CONTENT_TYPES or request.method != "GET":
                return Answer(hostile.HTML, self.switches.gone_status, HTML_TYPE)
            faults = self.faults.take([table])
            request.facts["faults"] = [fault.kind for fault in faults]
            answer = self._file(table, ending, request, empty=any(fault.kind == "empty" for fault in faults))
        for fault in faults:
            answer = struck(fault, answer, request.path)
        return answer

    def _file(self, table: str, ending: str, request: Request, *, empty: bool) -> Answer:
        sheet = self._sheet(table)
        filters = {name: value for name, value in request.query.items() if name != "t"}
        rows: Sequence[Row] = [] if empty else kept(sheet, filters)
        headers = self._headers(table, sheet, request, empty)
        known = {"ETag": "if-none-match", "Last-Modified": "if-modified-since"}
        if any(request.headers.get(known[name]) == value for name, value in headers.items()):
            return Answer(b"", 304, CONTENT_TYPES[ending], headers)
        made = self._today() if self.switches.stamped else datetime(2026, 1, 1, tzinfo=UTC)
        return Answer(rendered(ending, sheet.captions, rows, made), 200, CONTENT_TYPES[ending], headers)

    def _headers(self, table: str, sheet: Sheet, request: Request, empty: bool) -> Mapping[str, str]:
        headers = {}
        if self.switches.etag:
            facts = f"{self._seed} {self._generation} {table} {sheet.version} {sorted(request.query.items())} {empty}"
            headers["ETag"] = f'"{hashlib.sha256(facts.encode()).hexdigest()[:24]}"'
        if self.switches.last_modified:
            headers["Last-Modified"] = formatdate(self._moved[table], usegmt=True)
        return headers

    def _named(self, wanted: str) -> str | None:
        stem = wanted.removeprefix("/Flex/").partition(".")[0]
        return next((table for table in TABLES if number(table) == stem and wanted.startswith("/Flex/")), None)

    def _sheet(self, table: str) -> Sheet:
        if table not in self._sheets:
            raise LookupError(f"no table '{table}'; there are: {', '.join(TABLES)}")
        return self._sheets[table]

    def _touched(self, table: str) -> None:
        self._sheets[table].version += 1
        self._moved[table] = self.clock.now()

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)


CONTROLS = (
    "links", "log", "change", "add", "delete", "set_cell", "rename_column", "drop_column", "refresh",
    "advance", "switch", "fault", "clear_faults",
)  # fmt: skip
