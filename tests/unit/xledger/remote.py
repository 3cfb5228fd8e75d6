"""A remote system of two entities behind httpx's MockTransport, for what the simulator, which has one, cannot show."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from postroad.connectors.xledger.declaration import Declaration, parse_fields
from postroad.connectors.xledger.entities import TIMESHEETS
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.source import XledgerSource
from postroad.records import Feed
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools

TOKEN = "planted-token-0123456789"
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
PROJECTS = Declaration(
    name="projects",
    root="projects",
    deltas="project_deltas",
    fields=parse_fields("dbId int\ncode text\nmodifiedAt local_time"),
    key_kind="int",
    id_type="Int",
    has_object_status=False,
    changed_at="modifiedAt",
)
SMALL = Declaration(
    name="timesheets",
    root="timesheets",
    deltas="timesheet_deltas",
    fields=parse_fields("dbId id64\nworkingHours decimal\nmodifiedAt local_time"),
    key_kind="id64",
    id_type="Int64String",
    has_object_status=True,
    changed_at="modifiedAt",
)
ROOT = re.compile(r"(\w+): (\w+)\(([^)]*)\)")

Json = dict[str, Any]


class Remote:
    """Rows and changes by root field; `errors` by alias strike every document that asks for it."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Json]] = {"timesheets": [], "projects": []}
        self.deltas: dict[str, list[Json]] = {"timesheet_deltas": [], "project_deltas": []}
        self.forgotten = 0  # Changes up to this number are no longer shown.
        self.errors: dict[str, Json] = {}
        self.overlay: dict[str, Any] = {}  # What an alias answers instead of the truth.
        self.scripted: list[httpx.Response | Exception] = []
        self.has_current = True
        self.now = START
        self.tenant: int | None = 77
        self.asked: list[Json] = []
        self.slept: list[float] = []
        self.budget = MemoryBudget(self.clock)

    def clock(self) -> float:
        return self.now.timestamp()

    def source(self, **settings: Any) -> XledgerSource:
        made = XledgerSettings(**{"url": "http://remote.test/graphql", "token": TOKEN, "burst": 10_000, **settings})
        tools = Tools(self.budget, self.clock, self.slept.append)
        return XledgerSource(made, tools, entities=(SMALL, PROJECTS), transport=httpx.MockTransport(self.handle))

    def add_change(self, root: str, key: int, kind: str = "UPDATED", current: Json | None = None) -> None:
        db_id = str(key) if root == "timesheet_deltas" else key
        at = self.now.astimezone(ZoneInfo("Europe/Oslo")).replace(tzinfo=None).isoformat()
        node = {"dbId": db_id, "mutationType": kind, "mutatedAt": at, "_current": current}
        self.deltas[root].append(node)

    def advance(self, **time: float) -> None:
        self.now += timedelta(**time)

    def handle(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        self.asked.append(asked)
        if self.scripted:
            answer = self.scripted.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        roots = ROOT.findall(asked["query"])
        if not self.has_current and "_current" in asked["query"]:
            return self.error({"message": "Cannot query field `_current` on type `TimesheetDelta`"})
        struck = [self.errors[alias] for alias, _, _ in roots if alias in self.errors]
        if struck:
            return self.error(*struck)
        data = {alias: self.connection(alias, root, arguments, asked) for alias, root, arguments in roots}
        return self.respond({"data": data})

    def respond(self, body: Json) -> httpx.Response:
        return httpx.Response(200, json=body, headers={"Date": format_datetime(self.now, usegmt=True)})

    def error(self, *errors: Json) -> httpx.Response:
        return self.respond({"errors": list(errors)})

    def connection(self, alias: str, root: str, arguments: str, asked: Json) -> Any:
        if alias in self.overlay:
            return self.overlay[alias]
        if root == "entities":
            return {"edges": [{"node": {"dbId": self.tenant}}] if self.tenant else None}
        return self.page(self.edges(root, arguments, asked), arguments, asked)

    def edges(self, root: str, arguments: str, asked: Json) -> list[Json]:
        if root in self.deltas:
            numbered = list(enumerate(self.deltas[root], 1))
            return [{"cursor": f"{number:04}", "node": node} for number, node in numbered if number > self.forgotten]
        wanted = re.search(r"dbId_in: \$(\w+)", arguments)
        ids = {str(each) for each in asked["variables"][wanted.group(1)]} if wanted else None
        nodes = [node for node in self.rows[root] if ids is None or str(node["dbId"]) in ids]
        return [{"cursor": f"{int(node['dbId']):04}", "node": node} for node in nodes]

    def page(self, edges: list[Json], arguments: str, asked: Json) -> Json:
        last = re.search(r"last: (\d+)", arguments)
        if last:
            return {"pageInfo": {"hasNextPage": False}, "edges": edges[-int(last.group(1)) :] or None}
        size = int(re.search(r"first: (\d+)", arguments).group(1))  # type: ignore[union-attr]
        after = re.search(r"after: \$(\w+)", arguments)
        if after:
            edges = [edge for edge in edges if edge["cursor"] > asked["variables"][after.group(1)]]
        return {"pageInfo": {"hasNextPage": len(edges) > size}, "edges": edges[:size] or None}


def feeds(source: XledgerSource) -> dict[str, Feed]:
    return {feed.name: feed for feed in source.discover()}


def sheet(key: int, hours: str = "7.50", **more: Any) -> Json:
    return {"dbId": str(key), "workingHours": hours, "modifiedAt": "2026-11-01T10:00:00", **more}


def project(key: int, code: str = "P1", **more: Any) -> Json:
    return {"dbId": key, "code": code, "modifiedAt": "2026-11-01T10:00:00", **more}


__all__ = ["PROJECTS", "SMALL", "START", "TIMESHEETS", "TOKEN", "Remote", "feeds", "project", "sheet"]
