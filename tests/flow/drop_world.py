"""A project on a drop folder, with a clock that jumps and crashes at durable points; and what its tables must show.

What must be there is told by the files as they were put, by rules in a few lines of Python and none of the product's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postroad.connectors.files.settings import FilesSettings
from postroad.project import Allowance, Connection, Project, Sync
from tests.flow.doomed import LEASES_ARE_OVER, Crash, Doomed, Trap, never
from tests.flow.lake_reader import read_table

COLUMNS = {"Id": "int", "Name": "text"}
DATASETS: dict[str, Any] = {
    "vendors": {"files": "vendors_*.csv", "key": ["Id"], "columns": COLUMNS, "file_as": "file"},
    "prices": {
        "files": "prices/*/prices_{company}.csv",
        "holds": "snapshot",
        "scopes": ["no01", "se01"],
        "key": ["Id"],
        "columns": COLUMNS,
    },
    "rates": {"files": "rates_*.csv", "holds": "snapshot", "key": ["Id"], "columns": COLUMNS},
}
Rows = dict[Any, Any]


@dataclass
class DropWorld:
    """The project, its folder of files, and what was put there."""

    folder: Path
    datasets: dict[str, Any] = field(default_factory=lambda: dict(DATASETS))
    settings: dict[str, Any] = field(default_factory=dict)
    now: float = 1_790_000_000.0
    said: list[str] = field(default_factory=list)
    put_in: list[tuple[float, str, dict[int, str]]] = field(default_factory=list)

    @property
    def drop(self) -> Path:
        """Where the files are put."""
        return self.folder / "drop"

    def put(self, name: str, rows: dict[int, str], *extra: str) -> None:
        """A file, a second after the one before; `extra` are lines that are no rows."""
        self.now += 1
        self.put_in.append((self.now, name, rows))
        lines = ["Id,Name", *(f'{key},"{text}"' for key, text in rows.items()), *extra, ""]
        self.write(name, "\n".join(lines).encode())

    def write(self, name: str, body: bytes) -> None:
        """The bytes of a file."""
        path = self.drop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (self.now, self.now))

    def sync(self, trap: Trap | None = None, **options: Any) -> Any:
        """One `postroad run`, a minute later; None if it crashed."""
        self.now += 60
        return self.do(lambda app: app.runs.start(**options), trap)

    def do(self, work: Any, trap: Trap | None = None) -> Any:
        """Something with an App of its own; None if it crashed."""
        trap = trap or never()
        try:
            with _DropApp(self, trap) as app:
                return work(app)
        except Crash:
            return None
        finally:
            if trap.fired:
                self.now += LEASES_ARE_OVER

    def project(self) -> Project:
        """The project as it is declared now."""
        self.drop.mkdir(exist_ok=True)
        given = {"folder": str(self.drop), "datasets": self.datasets, **self.settings}
        settings = FilesSettings.model_validate(given)
        sync = Sync("drop", tuple(settings.datasets), Allowance(rows=1_000_000))
        return Project("drop", self.folder, connections={"drop": Connection("drop", "files", settings)}, syncs=(sync,))

    def rejected(self) -> list[dict[str, Any]]:
        """The open rejections."""
        found: list[dict[str, Any]] = self.do(lambda app: [dict(row) for row in app.rejections.list()])
        return found

    # What must be there

    def rows(self, name: str, what: str = "tables") -> list[dict[str, Any]]:
        """The rows of a dataset's table, or of its history in the order of its commits, past all of our code."""
        return read_table(self.folder / "lake" / what / "drop" / name).rows()

    def assert_law(self) -> None:
        """Tables, and history read in its order, show what the files say."""
        wanted: dict[str, Rows] = {
            "vendors": self.vendors(),
            "rates": {key: (text,) for key, text in self.newest("rates_").items()},
            "prices": {
                (scope, key): (text,)
                for scope in ("no01", "se01")
                for key, text in self.newest(rf"prices/.*prices_{scope}").items()
            },
        }
        for name in self.datasets:
            found = self.rows(name)
            assert {_key(row): _values(row) for row in found} == wanted[name]
            assert len(found) == len(wanted[name])
            history: Rows = {}
            for row in self.rows(name, "changes"):
                if row["_op"] == "upsert":
                    history[_key(row)] = _values(row)
                else:
                    del history[_key(row)]
            assert history == wanted[name]

    def vendors(self) -> Rows:
        """Each file's rows put over those before."""
        found: Rows = {}
        for _, name, rows in self.put_in:
            if name.startswith("vendors_"):
                found |= {key: (text, name) for key, text in rows.items()}
        return found

    def newest(self, pattern: str) -> Rows:
        """The rows of the newest file."""
        files = [rows for _, name, rows in self.put_in if re.match(pattern, name)]
        return files[-1] if files else {}


class _DropApp(Doomed):
    def __init__(self, world: DropWorld, trap: Trap) -> None:
        def tick() -> float:
            world.now += 0.0001
            return world.now

        super().__init__(world.project(), trap, clock=tick, sleep=lambda _: None)
        self.reporter.say = world.said.append  # type: ignore[method-assign, assignment]


def _key(row: dict[str, Any]) -> Any:
    return (row["company"], row["Id"]) if "company" in row else row["Id"]


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["Name"], row["file"]) if "file" in row else (row["Name"],)


def outcomes(report: Any) -> dict[str, str]:
    """The status of each feed's run."""
    return {each.feed: each.status for each in report.outcomes}
