"""One project on disk and the remote systems that it reads: a company in Xledger, and links and exports beside it.

Some of the datasets go on to tables of a database.
"""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.xledger.entities import EIGHT
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.sdk.simulator import Answer, Clock, Request, Simulator
from tests import oracle
from tests.chaos.calls import Calls
from tests.flow.finops_world import exported_shown
from tests.flow.shown import TABLES, Shown, entity_shown, table_settings, table_shown

ENTITIES = tuple(each.name for each in EIGHT)
OTHERS = ENTITIES[1:]
GUARD = threading.Lock()
AUTUMN = datetime(2026, 10, 15, tzinfo=UTC).timestamp()  # the links show months up to then, whatever day it is here

PROJECT = """\
project: chaos
lake: ./lake
database: {database}
connections:
  xledger: {{connector: xledger, url: "{url}", token: secret://XLEDGER_TOKEN, page_size: {page}, burst: 1000000}}
"""
EXPORTED = "VendorsV2"
LEGAL_ENTITY = "usmf"
DELIVERED = ("xledger.timesheets", "xledger.customers", "links.cost_categories", f"finops.{EXPORTED}")
RECEIVER = "app"


class Overheard(Simulator):
    """Knows whether a request is still being answered: one of a dead process is logged when nobody waits any more."""

    answering = 0

    def _logged(self, request: Request) -> Answer:
        with GUARD:
            self.answering += 1
        try:
            return super()._logged(request)
        finally:
            with GUARD:
                self.answering -= 1

    def fall_silent(self) -> None:
        """Return when nothing was being answered for a moment."""
        quiet = 0
        while quiet < 3:
            time.sleep(0.01)
            quiet = 0 if self.answering else quiet + 1


class Company(Overheard, XledgerSimulator):
    """Notes of each request which walk it belongs to, for that of a part of an entity filters by its window; and
    whether it was answered with changes, not only with the newest that there are.
    """

    def answer(self, request: Request) -> Answer:
        """See `Endpoint.answer`."""
        answer = super().answer(request)
        walked = [root for root in request.facts.get("roots", ()) if root in ENTITIES]
        part = ".since" if b"_gte" in request.body else ""
        request.facts["walked"] = f"{walked[0]}{part}" if walked else None
        request.facts["moved"] = _found(answer)
        return answer


def _found(answer: Answer) -> bool:
    """Whether any entity has rows under its own name."""
    try:
        data = json.loads(answer.body if isinstance(answer.body, bytes) else b"")["data"] or {}
    except (ValueError, LookupError):
        return False
    return any(data.get(entity) and data[entity]["edges"] for entity in ENTITIES)


class Links(Overheard, ExcelLinkSimulator):
    """Notes of each request which feed it belongs to, and which version of the file was answered."""

    def answer(self, request: Request) -> Answer:
        """See `Simulator.answer`."""
        answer = super().answer(request)
        period = int(request.query.get("r_period-er", 0))
        # 256 times the year of the century, plus 16, plus the month (fact sheet 4.2).
        month = f".20{period // 256}-{period % 256 - 16:02}" if period else ""
        request.facts["feed"] = f"{request.facts['table']}{month}"
        request.facts["version"] = answer.headers.get("ETag")
        return answer


class Exports(Overheard, FinopsSimulator):
    """Vendors of one legal entity, whose exports take no time."""


@dataclass
class Episode:
    """A project, its sources, and what was done to them."""

    folder: Path
    simulator: Company
    links: Links
    exports: Exports
    kills: int
    server: str | None
    calls: Calls = field(default_factory=Calls)
    dead: set[int] = field(default_factory=set)
    unseen: bool = False

    @classmethod
    def drawn(cls, folder: Path, draw: random.Random, server: str | None = None) -> Episode:
        """A new company and its links, of a size and with the habits that are drawn; its books maybe on PostgreSQL."""
        sizes = {entity: draw.randrange(12, 40) for entity in OTHERS}
        simulator = Company(
            seed=draw.randrange(1_000_000),
            timesheets=draw.choice((100, 150, 250, 400)),
            sizes=sizes,
            burst=None,
            concurrency=None,
            current_available=draw.random() < 0.8,
            expired_cursor=draw.choice(("error", "oldest", "empty")),
            null_reference=draw.choice(("null", "zero")),
        ).start()
        links = Links(seed=draw.randrange(1_000_000), clock=Clock(lambda: AUTUMN)).start()
        seed = draw.randrange(1_000_000)
        exports = Exports(
            seed=seed,
            sizes={EXPORTED: draw.randrange(12, 40)},
            companies=[LEGAL_ENTITY],
            export_seconds=0,
            page_limit=9,
        ).start()
        exports.project("Postroad", [EXPORTED])
        exports.project(f"Postroad {EXPORTED}", [EXPORTED], incremental=False)
        write_project(folder, simulator, draw.choice((30, 60, 100)), links, exports, server)
        return cls(folder, simulator, links, exports, draw.randrange(20, 32), server)

    def stop(self) -> None:
        """Close the sources."""
        for source in self.sources:
            source.stop()

    @property
    def sources(self) -> tuple[Overheard, ...]:
        """All remote systems."""
        return self.simulator, self.links, self.exports

    @property
    def datasets(self) -> list[Shown]:
        """What must be in the lake."""
        found = [entity_shown(self.simulator, entity) for entity in ENTITIES]
        found += [table_shown(self.links, table) for table in TABLES]
        return [*found, exported_shown(self.exports, EXPORTED, [LEGAL_ENTITY])]

    def account(self, *, killed: bool) -> int:
        """Book the requests of one life; how many there were."""
        if killed:
            for source in self.sources:
                source.fall_silent()
        entries = [*self.simulator.requests, *self.links.requests]
        for source in self.sources:
            source.requests.clear()  # an export is asked for once, which its own tests show; a download may be cut off
        self.calls.add(entries, self.walks(), killed)
        return len(entries)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """From the tracking database, which may not be there yet."""
        if self.server is None and not self.books.exists():
            return []
        with oracle.asking(self.server or self.books) as read:
            try:
                return [tuple(row.values()) for row in read(query)]
            except (sqlite3.OperationalError, psycopg.errors.UndefinedTable) as error:
                if isinstance(error, psycopg.Error) or "no such table" in str(error):
                    return []
                raise

    @property
    def books(self) -> Path:
        """Where they are without a server."""
        return self.folder / "postroad.db"

    def holds(self, pid: int) -> bool:
        """Whether a process held a claim when it died: a feed's, a dataset's or a message's."""
        held = self.ask("select holder from runs where status = 'running'")
        held += self.ask("select holder from leases where token is not null")
        held += self.ask("select holder from messages where status = 'queued' and token is not null")
        return any(holder is not None and (json.loads(holder) or {}).get("pid") == pid for (holder,) in held)

    def walks(self) -> Mapping[str, int]:
        """The newest walk of each feed."""
        found = self.ask("select connection, feed, max(id) from walks where kind = 'walk' group by connection, feed")
        return {f"{connection}.{feed}": number for connection, feed, number in found}

    @property
    def settled(self) -> bool:
        """Whether nothing is open or due."""
        due = self.ask("select entity from entities where due_reason is not null")
        walking = self.ask("select id from walks where kind = 'walk' and status = 'open'")
        queued = self.ask("select id from messages where status = 'queued'")
        return self.loaded == {shown.name for shown in self.datasets} and not (due or walking or queued)

    @property
    def behind(self) -> bool:
        """Whether an export or a look at the keys is open that began before the last change."""
        rounds = self.ask("select cursor from feeds where connection = 'finops' and feed = 'changes'")
        looks = self.ask("select id from walks where connection = 'finops' and status = 'open'")
        return bool(looks) or any('"round"' in (cursor or "") for (cursor,) in rounds)

    @property
    def loaded(self) -> set[str]:
        """The datasets of which a first load was closed."""
        found = self.ask("select distinct connection, entity from walks where status = 'closed'")
        return {f"{connection}.{entity}" for connection, entity in found}


def write_project(
    folder: Path,
    simulator: XledgerSimulator,
    page: int,
    links: ExcelLinkSimulator | None = None,
    exports: FinopsSimulator | None = None,
    server: str | None = None,
) -> None:
    """A project that reads a company in pages of so many rows: timesheets alone, or all that there is and the links."""
    flows, secrets = folder / "flows", [f"XLEDGER_TOKEN={simulator.token}"]
    flows.mkdir(parents=True)
    project = PROJECT.format(url=simulator.url, page=page, database=server or "sqlite:///postroad.db")
    entities = ["timesheets"] if links is None else list(ENTITIES)
    (flows / "company.yaml").write_text(json.dumps({"sync": [{"from": "xledger", "entities": entities}]}))
    if links is not None:
        tables = {table: _kept_secret(table_settings(links, table), table.upper(), secrets) for table in TABLES}
        linked = {"connector": "excel_link", "time_zone": "Europe/Stockholm", "burst": 1_000_000, "tables": tables}
        project += f"  links: {json.dumps(linked)}\n"
        (flows / "links.yaml").write_text(json.dumps({"sync": [{"from": "links", "entities": list(TABLES)}]}))
    if exports is not None:
        secrets.append(f"FO_SECRET='{exports.client_secret}'")
        project += f"  finops: {json.dumps(_finops(exports))}\n"
        sync = {"from": "finops", "entities": [EXPORTED], "sweep_deletes": "always"}
        (flows / "exports.yaml").write_text(json.dumps({"sync": [sync]}))
        project += f"  {RECEIVER}: {{connector: sql, url: 'sqlite:///{RECEIVER}.db'}}\n"
        targets = [{"dataset": each, "to": f"{RECEIVER}.{each.partition('.')[2]}"} for each in DELIVERED]
        (flows / "deliveries.yaml").write_text(json.dumps({"deliver": targets}))
    (folder / "postroad.yaml").write_text(project)
    (folder / ".env").write_text("\n".join([*secrets, ""]))


def _finops(exports: FinopsSimulator) -> dict[str, Any]:
    """A connection to exports whose files and pages of keys are in several pieces."""
    return {
        "connector": "d365_finops",
        "url": exports.url,
        "sign_in_url": exports.url,
        "tenant": exports.tenant,
        "client_id": exports.client_id,
        "client_secret": "secret://FO_SECRET",
        "companies": [LEGAL_ENTITY],
        "entities": [EXPORTED],
        "package_hosts": ["127.0.0.1"],
        "allow_http": True,
        "poll_seconds": 0.05,
        "wait_seconds": 0.5,
        "block_megabytes": 0.004,
        "burst": 1_000_000,
    }


def _kept_secret(settings: dict[str, Any], name: str, secrets: list[str]) -> dict[str, Any]:
    """The settings with their links named only; those themselves go to `secrets`."""

    def kept(name: str, link: str) -> str:
        secrets.append(f"{name}='{link}'")
        return f"secret://{name}"

    if "link" in settings:
        return {**settings, "link": kept(f"{name}_LINK", settings["link"])}
    return {**settings, "links": {each: kept(f"{name}_{each.upper()}_LINK", link)
                                  for each, link in settings["links"].items()}}  # fmt: skip
