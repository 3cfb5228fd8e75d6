"""The start of an export: what is refused, what the package will hold, and the faults that strike it (2.2, 2.4, 4)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from postroad.connectors.d365_finops.simulator import packages
from postroad.connectors.d365_finops.simulator.entities import Entity
from postroad.connectors.d365_finops.simulator.environment import Environment
from postroad.connectors.d365_finops.simulator.executions import Execution, Executions, Job
from postroad.connectors.d365_finops.simulator.files import EntityFile, Part, drifted
from postroad.connectors.d365_finops.simulator.formats import SourceFormat
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError, action_failed
from postroad.connectors.d365_finops.simulator.projects import Line, Position, Project, Projects
from postroad.connectors.d365_finops.simulator.switches import DAY, Switches
from postroad.connectors.d365_finops.simulator.wounds import wound
from postroad.sdk.simulator import Fault

ZERO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Asked:
    """What an export action was asked for."""

    action: str
    project: str
    package_name: str
    execution_id: str
    re_execute: bool
    company: str
    entities: tuple[str, ...] = ()
    preview: int | None = None

    def failed(self) -> RefusedError:
        """The error that repeats all arguments."""
        detail = (
            f"Export to package failed for definition group: {self.project}, package name: {self.package_name}, "
            f"execution id: {self.execution_id}, reExecute: {self.re_execute}, legal entity: {self.company}"
        )
        return action_failed(self.action, detail)


@dataclass
class Exporter:
    """Starts exports over the state of one environment."""

    environment: Environment
    projects: Projects
    executions: Executions
    formats: dict[str, SourceFormat]
    folder: Path
    stopping: threading.Event

    def start(self, asked: Asked, faults: Sequence[Fault], now: float, switches: Switches) -> Execution:
        """Start the execution that was asked for; RefusedError if the remote system would not."""
        project = self._project(asked)
        company = asked.company or switches.default_company
        if company.lower() not in self.environment.companies:
            raise asked.failed()
        if asked.execution_id and self.executions.get(asked.execution_id) is not None:
            raise asked.failed()
        running = self.executions.running(now, switches)
        overlaps = any(each.project.lower() == project.name.lower() for each in running)
        if overlaps and switches.overlap == "refuse":
            raise asked.failed()
        started = self._started(asked, project, company, faults, now, switches)
        if overlaps and switches.overlap == "fail":
            _end(started, "Failed", "The record already exists.", keeps_position=True)
        if started.excel and switches.one_excel and any(each.excel for each in running):
            _end(started, "Failed", "DMF2039: Another Excel import or export is running.", keeps_position=True)
        self.executions.add(started)
        return started

    def _project(self, asked: Asked) -> Project:
        try:
            project = self.projects.find(asked.project)
        except LookupError as missing:
            raise action_failed(asked.action, str(missing.args[0])) from None
        if project.row["OperationType"] != "Export":
            raise asked.failed()
        return project

    def _started(
        self, asked: Asked, project: Project, company: str, faults: Sequence[Fault], now: float, switches: Switches
    ) -> Execution:
        wanted = {name.strip().lower() for name in asked.entities}
        lines = [line for line in project.lines if not wanted or line.entity.label.lower() in wanted]
        jobs: list[Job] = []
        planned: list[packages.Planned] = []
        expired = False
        for line in lines:
            since, gap = self._since(line, project, company, now, switches)
            expired = expired or gap
            file = self._file(line, company, since, asked.preview, switches)
            jobs.append(Job(line.entity, len(file), since is not None, Position(self.environment.version, now)))
            planned.append(packages.Planned(file, line.row["DefaultRefreshType"]))
        planned = [_faulty(each, faults) for each in planned]
        plan = packages.Plan(project.name, tuple(planned), switches, now)
        for fault in faults:
            if fault.kind == "package":
                plan = _hostile(plan, fault.options)
        execution_id = asked.execution_id or str(uuid.uuid4()).upper()
        build = packages.start(plan, self.folder / f"{uuid.uuid4()}.zip", self.stopping)
        execution = Execution(
            execution_id, project.name, asked.package_name, company, now, switches.export_seconds, build, jobs
        )
        execution.keeps_position = asked.preview is not None
        execution.excel = any(each.file.format.kind == "excel" for each in planned)
        if any(line.row["ValidationStatus"] != "Yes" for line in lines):
            execution.seconds = None
        for fault in faults:
            _strike(execution, fault)
        if expired:
            _end(execution, "Failed", "Change tracking information is no longer valid.", keeps_position=True)
        return execution

    def _since(
        self, line: Line, project: Project, company: str, now: float, switches: Switches
    ) -> tuple[Position | None, bool]:
        """The position to export from, None for everything; and whether the run fails because it is too old."""
        if line.row["DefaultRefreshType"] != switches.incremental_symbol:
            return None, False
        position = self.projects.position(project.name, line.entity, company)
        if position is None or switches.tracking_days is None or now - position.at <= switches.tracking_days * DAY:
            return position, False
        return None, switches.expired_position == "fail"

    def _file(
        self, line: Line, company: str, since: Position | None, preview: int | None, switches: Switches
    ) -> EntityFile:
        form = self.formats.get(line.row["SourceFormat"].lower())
        if form is None:
            raise action_failed("ExportToPackage", f"Source data format {line.row['SourceFormat']} does not exist.")
        parts = tuple(self._part(line.entity, company, since, switches))
        return EntityFile(line.entity, form, parts, line.columns, limit=preview or None)

    def _part(self, entity: Entity, company: str, since: Position | None, switches: Switches) -> list[Part]:
        shelves = self.environment.shelves(entity, company)
        if since is None:
            return [Part(shelf.frozen()) for shelf in shelves]
        root_only = switches.tracking == "root"
        return [Part(shelf.frozen(), tuple(shelf.changed_since(since.version, root_only))) for shelf in shelves]


def _concerns(fault: Fault, entity: Entity) -> bool:
    wanted = fault.options.get("entity")
    return wanted is None or str(wanted).lower() in {entity.label.lower(), entity.collection.lower()}


def _faulty(planned: packages.Planned, faults: Sequence[Fault]) -> packages.Planned:
    """The file under the faults that change it."""
    file, kept = planned.file, planned.kept
    for fault in faults:
        options = {name: value for name, value in fault.options.items() if name != "entity"}
        if not _concerns(fault, file.entity):
            continue
        if fault.kind == "rows":
            kind = options.pop("wound")
            file = replace(file, wounds=(*file.wounds, wound(kind, options, file.header)))
        elif fault.kind == "drift":
            file = replace(file, columns=drifted(file.columns, **{**_NO_DRIFT, **options}))
        elif fault.kind == "outcome" and file.entity.label in _failed(fault):
            kept = options.get("file", "partial")
    return replace(planned, file=file, kept=kept)


def _hostile(plan: packages.Plan, options: dict[str, Any]) -> packages.Plan:
    size, entries = options.get("bytes", plan.bomb_bytes), options.get("entries", plan.entries)
    return replace(plan, hostile=options["variant"], bomb_bytes=int(size), entries=int(entries))


_NO_DRIFT: dict[str, Any] = {"add": [], "drop": [], "rename": {}, "rotate": 0}


def _failed(fault: Fault) -> Sequence[str]:
    failed: Sequence[str] = fault.options.get("failed", ())
    return failed


def _strike(execution: Execution, fault: Fault) -> None:
    """The execution under a fault of its course."""
    options = fault.options
    if fault.kind == "hang":
        execution.seconds, execution.shows = None, options.get("status")
    elif fault.kind == "slow":
        execution.seconds = float(options["seconds"])
    elif fault.kind == "keep_position":
        execution.keeps_position = True
    elif fault.kind == "outcome":
        execution.ends = options.get("status", None if _failed(fault) else "Failed")
        execution.errors += options.get("errors", [])
        execution.errors_text = options.get("errors_text")
        for job in execution.jobs:
            job.failed = job.failed or job.entity.label in _failed(fault)


def _end(execution: Execution, status: str, message: str, keeps_position: bool) -> None:
    execution.ends, execution.keeps_position = status, keeps_position
    execution.errors.append({"RecordId": "", "Field": "", "ErrorMessage": message})
