"""A project as a person writes it, postroad.yaml and a flow, over a socket, with a clock that jumps."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from postroad.app import App
from postroad.app.app import Silent
from postroad.app.runs import Report
from postroad.connectors.xledger.additions import declared
from postroad.connectors.xledger.declaration import Declaration, Kind, find
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.project import load_project
from tests.flow.expected import _instant

START = 1_790_000_000.0  # 2026-09-21, a Monday


class Office(Silent, AbstractContextManager["Office"]):
    """A folder with a project, the company that it reads, and what a person was told; everything else is the CLI's.

    `settings`, `flow` and further `rules` stand in the files as JSON, which is YAML.
    """

    def __init__(self, folder: Path, *, timesheets: int = 60, page_size: int = 100, **switches: Any) -> None:
        self.folder = folder
        self.now = START
        self.said: list[str] = []
        self.settings: dict[str, Any] = {"page_size": page_size, "burst": 1000}
        self.flow: dict[str, Any] = {}
        self.rules: list[dict[str, Any]] = []
        self.entities: list[str] = ["timesheets"]
        limits = {"burst": None, "concurrency": None, **switches}
        self.sim = XledgerSimulator(seed=3, timesheets=timesheets, clock=lambda: self.now, **limits)
        self.token = self.sim.token

    def __enter__(self) -> Self:
        self.sim.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sim.stop()

    def write(self) -> None:
        """Save the files."""
        connection = {"connector": "xledger", "url": self.sim.url, "token": "secret://OFFICE_TOKEN", **self.settings}
        project = {"project": "office", "lake": "./lake", "connections": {"xledger": connection}}
        rule = {"from": "xledger", "entities": self.entities, "max_deletes": "100%", **self.flow}
        (self.folder / "flows").mkdir(exist_ok=True)
        (self.folder / "postroad.yaml").write_text(json.dumps(project))
        (self.folder / "flows" / "all.yaml").write_text(json.dumps({"sync": [rule, *self.rules]}))
        (self.folder / ".env").write_text(f"OFFICE_TOKEN={self.token}\n")

    def say(self, sentence: str) -> None:
        """What a person is told."""
        self.said.append(sentence)

    def open(self) -> App:
        """The project as its files say."""
        self.write()
        return App(load_project(self.folder), reporter=self, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        """Sleeping takes no time here, and moves the clock on."""
        self.now += seconds

    def wait(self, *, hours: float) -> None:
        """Let time pass for everybody."""
        self.now += hours * 3600

    def run(self, **options: Any) -> Report:
        """One `postroad run`."""
        with self.open() as app:
            return app.runs.start(**options)

    def status(self, entity: str) -> Any:
        """What `postroad status` says of an entity."""
        with self.open() as app:
            return app.datasets.status(f"xledger.{entity}")[0]

    def query(self, sql: str) -> list[dict[str, Any]]:
        """What `postroad query` answers."""
        with self.open() as app:
            found: list[dict[str, Any]] = app.datasets.query(sql).to_pylist()
            return found

    def rows(self, entity: str) -> dict[int, dict[str, Any]]:
        """The table of an entity by key."""
        return {row["dbId"]: row for row in self.query(f"select * from xledger.{entity}")}

    def history(self, entity: str) -> list[tuple[str, int]]:
        """The changes of an entity, in their order."""
        sql = f'select _op, "dbId" from xledger.{entity}_changes order by _version, "dbId"'
        return [(row["_op"], row["dbId"]) for row in self.query(sql)]

    def declaration(self, entity: str) -> Declaration:
        """What is declared of an entity."""
        made = XledgerSettings.model_validate({"url": self.sim.url, "token": "secret://OFFICE_TOKEN", **self.settings})
        return find(declared(made.columns, made.entities), entity)

    def assert_equal(self, entity: str, *, except_for: Sequence[str] = ()) -> None:
        """The table of an entity shows what the company has, in every column."""
        fields = [each for each in self.declaration(entity).fields if each.name not in except_for]
        truth = {
            key: {each.column: value_of(node, each.path, each.kind) for each in fields}
            for key, node in self.sim.rows(entity=entity).items()
        }
        held = {key: {each.column: row[each.column] for each in fields} for key, row in self.rows(entity).items()}
        assert held.keys() == truth.keys(), entity
        assert held == truth, entity


def value_of(node: Any, path: Sequence[str], kind: Kind) -> Any:
    """The value at the end of a path, by the fact sheet: a reference to nothing is null or has dbId 0."""
    for number, step in enumerate(path):
        if node is None or (number and node.get("dbId", 1) == 0):
            return None
        node = node[step]
    return None if node is None else READ.get(kind, lambda value: value)(node)


READ: dict[Kind, Callable[[Any], Any]] = {
    "int": int,
    "id64": int,
    "money": lambda value: Decimal(str(value)),
    "decimal": lambda value: Decimal(str(value)),
    "number": lambda value: Decimal(str(value)),
    "date": date.fromisoformat,
    "local_time": lambda value: _instant(datetime.fromisoformat(value)).astimezone(UTC),
}
