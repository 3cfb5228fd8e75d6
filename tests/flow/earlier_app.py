"""The earlier app in small, over the same socket: walk, changes sync, files and state (fact sheet 2.1 and 3.1).

What is wrong with it (3.3) is wrong here too: rows by id may be missing, additions and updates repeat each other, money
is a float, times are local, and without declared types pandas guesses them file by file.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from postroad.connectors.xledger.simulator import XledgerSimulator

STOCKHOLM = ZoneInfo("Europe/Stockholm")
PAGE = 500
# Its columns of timesheets, each with the pandas type of its later versions.
COLUMNS = {
    "dbId": "Int64",
    "createdAt": "string",
    "modifiedAt": "string",
    "assignmentDate": "string",
    "workingHours": "float64",
    "isHeaderApproved": "boolean",
    "headerApprovedAt": "string",
    "hourlyRevenueCurrency": "string",
    "owner.dbId": "Int64",
    "owner.description": "string",
    "owner.ownerCode": "Int64",
    "employee.dbId": "Int64",
    "employee.description": "string",
    "employee.code": "string",
    "activity.code": "string",
    "activity.description": "string",
    "timeType.code": "string",
    "timeType.description": "string",
    "project.dbId": "Int64",
    "project.description": "string",
    "project.code": "string",
    "timesheetStatus.name": "string",
}
LATER = ("owner.ownerCode", "timesheetStatus.name")  # what its first version did not read


class EarlierApp:
    """One entity's sync. `typed` casts as its later versions did; `columns` are those that it asks for."""

    def __init__(
        self, sim: XledgerSimulator, folder: Path, *, typed: bool = True, columns: Sequence[str] = tuple(COLUMNS)
    ) -> None:
        self.sim = sim
        self.folder = folder
        self.typed = typed
        self.columns = list(columns)
        self.cursor: str | None = None
        self.taken_at: datetime | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def full_sync(self) -> Path:
        """Take the newest cursor, walk everything, write one file."""
        newest = list(self._pages("timesheet_deltas", "last: 1", "dbId"))
        rows = [edge["node"] for edge in self._pages("timesheets", f"first: {PAGE}", self._selection())]
        self._remember(newest[-1]["cursor"] if newest else None)
        now = f"{self._now():%Y%m%d_%H_%M_%S}"
        return self._write("full_sync", [_tagged(row, "ADDED", now) for row in rows])

    def sync_changes(self) -> Path | None:
        """Read the changes, ask for the rows by id, write one file if there is anything."""
        deltas = list(self._pages("timesheet_deltas", f"first: {PAGE}", "dbId mutationType mutatedAt", self.cursor))
        kinds: dict[str, dict[str, str]] = {"ADDED": {}, "UPDATED": {}, "DELETED": {}}
        for edge in deltas:
            node = edge["node"]
            kinds[node["mutationType"]][node["dbId"]] = node["mutatedAt"]
        if not deltas:
            return None
        rows = [row for kind in ("ADDED", "UPDATED") for row in self._fetched(kind, kinds)]
        rows += [{"dbId": key, "mutationType": "DELETED", "mutatedAt": at} for key, at in kinds["DELETED"].items()]
        self._remember(deltas[-1]["cursor"])
        return self._write("sync_changes", rows)

    def _fetched(self, kind: str, kinds: dict[str, dict[str, str]]) -> Iterator[dict[str, Any]]:
        times = {key: at for key, at in kinds[kind].items() if key not in kinds["DELETED"]}
        if not times:
            return
        wanted = f"first: {PAGE}, filter: {{ dbId_in: {json.dumps(list(times))} }}"
        for edge in self._pages("timesheets", wanted, self._selection()):
            yield _tagged(edge["node"], kind, times[edge["node"]["dbId"]])

    def _remember(self, cursor: str | None) -> None:
        self.cursor = cursor
        self.taken_at = datetime.fromtimestamp(self.sim.clock.now(), UTC)

    def _write(self, kind: str, rows: Sequence[dict[str, Any]]) -> Path:
        names = [*self.columns, "mutationType", "mutatedAt"]
        frame = pd.DataFrame([dict(_leaves(row)) for row in rows], columns=names)
        if self.typed:
            frame = frame.astype({name: COLUMNS.get(name, "string") for name in names})
        path = self.folder / f"{kind}-{self._now():%Y%m%d_%H_%M_%S}-timesheets.parquet"
        frame.to_parquet(path)
        return path

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.sim.clock.now(), STOCKHOLM)

    def _selection(self) -> str:
        roots: dict[str, list[str]] = {}
        for name in self.columns:
            root, _, leaf = name.partition(".")
            roots.setdefault(root, []).append(leaf)
        return " ".join(
            root if leaves == [""] else f"{root} {{ {' '.join(leaves)} }}" for root, leaves in roots.items()
        )

    def _pages(self, root: str, arguments: str, node: str, after: str | None = None) -> Iterator[dict[str, Any]]:
        while True:
            behind = "" if after is None else f', after: "{after}"'
            status = "" if "deltas" in root else ", objectStatus: ALL"
            asked = f"{root}({arguments}{behind}, ownerSet: MINE{status})"
            answer = self._ask(f"{{ {asked} {{ edges {{ cursor node {{ {node} }} }} pageInfo {{ hasNextPage }} }} }}")
            edges = answer["data"][root]["edges"] or []
            yield from edges
            if not answer["data"][root]["pageInfo"]["hasNextPage"]:
                return
            after = edges[-1]["cursor"]

    def _ask(self, query: str) -> Any:
        headers = {"Authorization": f"token {self.sim.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.sim.url, json.dumps({"query": query}).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def _tagged(row: dict[str, Any], kind: str, at: str) -> dict[str, Any]:
    return {**row, "mutationType": kind, "mutatedAt": at}


def _leaves(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
