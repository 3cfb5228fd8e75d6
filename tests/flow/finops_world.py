"""An environment of Finance & Operations, a project folder and a clock that both share; kills at durable points."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from functools import partial
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from postroad.app import App
from postroad.app.runs import Report
from postroad.connectors.d365_finops.declaration import known
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.simulator import FinopsSimulator
from postroad.connectors.d365_finops.simulator.environment import Environment
from postroad.connectors.d365_finops.simulator.executions import Executions
from postroad.connectors.d365_finops.simulator.projects import Projects
from postroad.project import Allowance, Connection, Project, Sync
from postroad.records import key_text
from postroad.sdk.secrets import Secret
from postroad.sdk.simulator import Clock
from postroad.telemetry import Point, Stage
from tests.flow.doomed import LEASES_ARE_OVER, Crash, Doomed, Trap, never
from tests.flow.lake_reader import read_table
from tests.flow.shown import Shown

START = 1_790_000_000.0
SIZES = {
    "VendorsV2": 24,
    "MainAccounts": 12,
    "CustomersV3": 9,
    "Employees": 5,
    "ReleasedProductsV2": 8,
    "PurchaseOrderHeadersV2": 8,
    "GeneralJournalAccountEntries": 8,
}
COMPANIES = ("usmf", "demf")
ENTITIES = ("VendorsV2", "MainAccounts")
QUICK = {"allow_http": True, "poll_seconds": 1, "polls": 30, "timeout": 5, "block_megabytes": 0.006, "burst": 100_000}
RUNS = 20


@dataclass
class Quiet:
    """Says nothing; the heart beats at each stage."""

    world: FinopsWorld

    def stage(self, stage: Stage, dataset: str) -> None:
        """Nothing."""

    def progress(self, dataset: str, rows: int, size: int) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Keep it."""
        self.world.said.append(sentence)


class FinopsWorld:
    """Everything that a test needs; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        entities: Sequence[str] = ENTITIES,
        companies: Sequence[str] = COMPANIES,
        sizes: Mapping[str, int] = SIZES,
        settings: Mapping[str, Any] | None = None,
        seed: int = 1,
        export_seconds: float = 5,
        **switches: Any,
    ) -> None:
        self.folder = folder
        self.now = START
        self.said: list[str] = []
        self._kept = folder.parent / f"{folder.name}.kept"
        self.silent = False  # a change was told by nobody: only a full refresh finds it
        self.sweep_every: float | None = None
        self.points: Counter[Point] = Counter()
        self.entities = tuple(entities)
        self.companies = tuple(companies)
        self._settings = {**QUICK, **(settings or {})}
        self.sim = FinopsSimulator(
            seed=seed, sizes=sizes, companies=(*COMPANIES, "dat"), clock=Clock(lambda: self.now),
            export_seconds=export_seconds, **switches,
        )  # fmt: skip
        self._first_settings = dict(self._settings)
        self.first_switches = self.sim.switch()
        self.format_files("CSV-Unicode")

    def __enter__(self) -> Self:
        self.sim.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sim.stop()

    @property
    def project(self) -> Project:
        """The project as it is configured now."""
        settings = FinopsSettings(
            url=self.sim.url,
            sign_in_url=self.sim.url,
            tenant=self.sim.tenant,
            client_id=self.sim.client_id,
            client_secret=Secret.literal(self.sim.client_secret),
            companies=self.companies,
            entities=self.entities,
            package_hosts=("127.0.0.1",),
            **self._settings,
        )
        connections = {"finops": Connection("finops", "d365_finops", settings)}
        syncs = (Sync("finops", self.entities, Allowance(rows=1_000_000), sweep_deletes=self.sweep_every),)
        return Project("rehearsal", self.folder, connections=connections, syncs=syncs)

    def configure(self, **settings: Any) -> None:
        """Change settings of the connection, as a person edits postroad.yaml."""
        self._settings |= settings

    def format_files(self, name: str) -> None:
        """Create the projects anew with a source data format; what they export next is everything."""
        self.sim.project("Postroad", list(self.entities), source_format=name)
        for entity in self.entities:
            self.sim.project(f"Postroad {entity}", [entity], incremental=False, source_format=name)

    def keep(self) -> None:
        """Remember all of this, on disk and in the remote system, for `put_back`."""
        shutil.copytree(self.folder, self._kept, dirs_exist_ok=True)
        self._remote = (copy.deepcopy(self.sim.environment), copy.deepcopy(self.sim.projects), self.now)

    def put_back(self) -> None:
        """Everything as it was kept, two hours later: no sweep is young. A lake that grew would slow all tests down."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder)
        environment, projects, now = copy.deepcopy(self._remote)
        self._replace(environment, projects)
        self.sim.clear_faults()
        self.sim.switch(**self.first_switches)
        self._settings = dict(self._first_settings)
        self.sweep_every = None
        self.now = now + 7200
        self.sim.clock.set(self.now)
        self.said.clear()

    def _replace(self, environment: Environment, projects: Projects) -> None:
        """Another state of the remote system; nobody has exported anything there."""
        executions = Executions()
        for holder in (self.sim, self.sim.exporter):
            holder.environment, holder.projects, holder.executions = environment, projects, executions

    def finish_all(self) -> None:
        """Let all executions come to their end."""
        for run in self.exports():
            if run["status"] in ("NotRun", "Executing"):
                self.sim.finish(run["id"])

    def tell_all(self) -> None:
        """Let the next export of the project hold all rows, as after a reset of change tracking."""
        for entity in self.entities:
            self.sim.interfere(entity, "reset")

    def sleep(self, seconds: float) -> None:
        """Sleeping takes no time here, and moves the clock on for everybody."""
        self.now += seconds
        self.sim.settle(60.0)

    def do(self, work: Callable[[App], Any], trap: Trap | None = None) -> Any:
        """Do something with an App of its own; None if it crashed. Then its leases have run out."""
        trap = trap or never()

        def watcher(point: Point) -> None:
            self.points[point] += 1

        try:
            with Doomed(
                self.project, trap, watcher=watcher, reporter=Quiet(self), clock=lambda: self.now, sleep=self.sleep
            ) as app:
                return work(app)
        except Crash:
            return None
        finally:
            if trap.fired:
                self.now += LEASES_ARE_OVER

    def sync(self, trap: Trap | None = None, **options: Any) -> Report | None:
        """One `postroad run`; None if it crashed."""
        report: Report | None = self.do(lambda app: app.runs.start(**options), trap)
        return report

    def sync_wait(self, **options: Any) -> Report:
        """`postroad run --wait`: runs until none of them waits."""
        said: Report | None = None
        for _ in range(RUNS):
            said = report = self.sync(**options)
            assert report is not None
            until = [each.until for each in report.outcomes if each.status == "waiting" and each.until is not None]
            if not until:
                return report
            self.sleep(max(1.0, max(until).timestamp() - self.now + 1))
        raise AssertionError(f"still waiting after {RUNS} runs: {said}")

    def statuses(self) -> list[Any]:
        """The status of each dataset."""
        found: list[Any] = self.do(lambda app: app.datasets.status())
        return found

    def rejected(self) -> list[dict[str, Any]]:
        """The open rejections."""
        found: list[dict[str, Any]] = self.do(lambda app: [dict(row) for row in app.rejections.list()])
        return found

    def table(self, entity: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The current rows by key, read as a stranger does."""
        return self._keyed(entity, read_table(self._folder("tables", entity)).rows())

    def history(self, entity: str) -> list[dict[str, Any]]:
        """All rows of `changes`, in `_version` order."""
        rows = read_table(self._folder("changes", entity)).rows()
        return sorted(rows, key=lambda row: int(row["_version"]))

    def source(self, entity: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The rows that the simulator holds, as the lake has to show them."""
        tables = [self.sim.table(entity, company) for company in self.companies if not known()[entity].shared]
        whole = pa.concat_tables(tables) if tables else self.sim.table(entity)
        rows = whole.to_pylist()
        kinds = {field.name: field.kind for field in known()[entity].fields}
        shown = [{name: _shown(kinds.get(name, "s"), value) for name, value in row.items()} for row in rows]
        return self._keyed(entity, shown)

    def exports(self, project: str | None = None) -> list[dict[str, Any]]:
        """The executions of a project, oldest first."""
        return [run for run in self.sim.runs() if project in (None, run["project"])]

    def _folder(self, what: str, entity: str) -> Path:
        return self.folder / "lake" / what / "finops" / entity

    def _keyed(self, entity: str, rows: Sequence[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
        found = {tuple(row[name] for name in known()[entity].key): row for row in rows}
        assert len(found) == len(rows), "a key twice"
        return found


def settle(world: FinopsWorld) -> None:
    """Nobody plays tricks any more, and clean runs with a sweep bring all in step.

    A change that no export told, or whose row was refused, comes with a full refresh alone.
    """
    world.sim.clear_faults()
    world.sim.switch(**world.first_switches)
    world.finish_all()
    world.sleep(9 * 3600.0)
    world.sweep_every = 3600.0
    for attempt in range(8):
        world.sync_wait(full_refresh=world.silent and attempt == 0)
        parked = [status.dataset for status in world.statuses() if status.parked is not None]
        for name in parked:
            world.do(partial(_let_pass, name=name))
        world.sleep(2 * 3600.0)
        if attempt and not parked and all(status.state == "in step" for status in world.statuses()):
            return
    raise AssertionError(f"not in step after clean runs: {world.statuses()}; {world.said[-6:]}")


def _let_pass(app: App, name: str) -> None:
    app.rejections.retry(name, "guard")


def _shown(kind: str, value: Any) -> Any:
    """A value as the lake shows it: dates without time, none for the product's empty date."""
    if kind in "dt" and value is not None:
        if value.date() == date(1900, 1, 1):
            return None
        return value.date() if kind == "d" else value.replace(tzinfo=UTC)
    return value


def exported_shown(simulator: FinopsSimulator, entity: str, companies: Sequence[str]) -> Shown:
    """An entity of these companies, as its table must show it."""
    declared = known()[entity]
    kinds = {each.name: each.kind for each in declared.fields}
    types = {field.name: field.type for field in declared.entity.schema}

    def source() -> dict[tuple[Any, ...], dict[str, Any] | None]:
        tables = [simulator.table(entity)] if declared.shared else [simulator.table(entity, each) for each in companies]
        rows = [
            {name: _shown(kinds.get(name, "s"), value) for name, value in row.items()}
            for row in pa.concat_tables(tables).to_pylist()
        ]
        return {tuple(row[name] for name in declared.key): row for row in rows}

    return Shown("finops", entity, declared.key, types, source)


def assert_law(world: FinopsWorld, exempt: Mapping[str, set[Any]] | None = None) -> None:
    """`tables` equals the remote system's rows; `changes` in `_version` order gives the same."""
    for entity in world.entities:
        held, wanted = world.table(entity), world.source(entity)
        spared = (exempt or {}).get(entity, set())
        assert set(held) - spared == set(wanted) - spared, (entity, set(held) ^ set(wanted))
        for key in set(wanted) - spared:
            here = {name: held[key][name] for name in wanted[key]}
            assert here == wanted[key], (entity, key_text(key), {
                name: (here[name], wanted[key][name]) for name in here if here[name] != wanted[key][name]
            })  # fmt: skip
        replayed: dict[Any, Any] = {}
        for row in world.history(entity):
            key = tuple(row[name] for name in known()[entity].key)
            if row["_op"] == "delete":
                replayed.pop(key, None)
            else:
                replayed[key] = {name: value for name, value in row.items() if name != "_op"}
        assert replayed == held, entity
