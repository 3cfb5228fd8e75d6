"""Data management's own sets of `/data`: projects, their entities, executions (fact sheet 2.5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from postroad.connectors.d365_finops.simulator import mistakes
from postroad.connectors.d365_finops.simulator.entities import Entity, catalogue
from postroad.connectors.d365_finops.simulator.executions import FINAL, GOOD, Execution, Executions
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.odata import JSON
from postroad.connectors.d365_finops.simulator.pages import Records
from postroad.connectors.d365_finops.simulator.projects import DETAILS, FULL, GROUPS, Projects, checked
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.connectors.d365_finops.simulator.words import NO_DATE
from postroad.sdk.simulator import Answer, Request

Row = dict[str, Any]


class Sets:
    """The rows of these sets at one moment, and what can be written to them."""

    def __init__(self, projects: Projects, executions: Executions, switches: Switches, now: float, base: str) -> None:
        self._projects, self._executions = projects, executions
        self._switches, self._now, self._base = switches, now, base

    def records(self, entity: Entity) -> Records:
        """All rows of a set."""
        return Records(list(enumerate(self.ROWS[entity.collection](self))))

    def write(self, entity: Entity, key: Mapping[str, Any] | None, request: Request) -> Answer:
        """Create, change or delete a project or one of its entities; RefusedError for what cannot be."""
        writing = {(GROUPS, "POST"), (GROUPS, "DELETE"), (DETAILS, "POST"), (DETAILS, "PATCH"), (DETAILS, "DELETE")}
        if (entity.collection, request.method) not in writing or (request.method == "POST") != (key is None):
            raise RefusedError(f"{request.method} of {entity.collection} is not possible.", 405)
        try:
            if key is None:
                return self._created(entity, _body(request))
            self._changed(entity, key, request)
        except LookupError as missing:
            raise RefusedError(mistakes.GENERAL, 404, str(missing.args[0])) from None
        except ValueError as mistake:
            raise RefusedError(
                mistakes.GENERAL, 400, f"Write failed for table row of type '{entity.table}'. {mistake}"
            ) from None
        return Answer(b"", 204)

    def _created(self, entity: Entity, values: Row) -> Answer:
        if entity.collection == GROUPS:
            row = self._projects.create(values).row
        else:
            row = self._projects.add_line(values, self._switches.incremental_symbol).row
        body = {"@odata.context": f"{self._base}/data/$metadata#{entity.collection}/$entity", **row}
        return Answer(json.dumps(body, ensure_ascii=False).encode(), 201, JSON)

    def _changed(self, entity: Entity, key: Mapping[str, Any], request: Request) -> None:
        if entity.collection == GROUPS:
            self._projects.delete(key["Name"])
            return
        project = self._projects.find(key["DefinitionGroupId"])
        line = project.line(catalogue().find(key["EntityName"]))
        if request.method == "DELETE":
            project.lines.remove(line)
            self._projects.reset(project.name, line.entity)
            return
        values = {**line.row, **_body(request)}
        if values["DefaultRefreshType"] not in {FULL, self._switches.incremental_symbol}:
            raise ValueError(f"'{values['DefaultRefreshType']}' is no refresh type")
        line.row = checked(DETAILS, values) | {name: line.row[name] for name in entity.key}
        line.row["ValidationStatus"] = (
            "Yes" if "Yes" in {values["AutoGenerateMapping"], values["ValidationStatus"]} else "No"
        )

    def _groups(self) -> Iterator[Row]:
        return (project.row for project in self._projects)

    def _details(self) -> Iterator[Row]:
        return (line.row for project in self._projects for line in project.lines)

    def _jobs(self) -> Iterator[Row]:
        for execution in self._executions:
            yield {
                "JobId": execution.id,
                "DefinitionGroupId": execution.project,
                "OperationType": "Export",
                "LegalEntityId": execution.company,
                "PackageName": execution.package_name,
                "StartDateTime": _time(execution.started),
                "Status": execution.status(self._now, self._switches),
            }

    def _job_details(self) -> Iterator[Row]:
        for execution in self._executions:
            yield from job_details(execution, self._now, self._switches)

    def _entities(self) -> Iterator[Row]:
        for entity in catalogue().entities.values():
            yield {
                "EntityName": entity.label,
                "TargetEntity": entity.table,
                "StagingTable": entity.table.removesuffix("Entity") + "Staging",
                "PublicCollectionName": entity.collection,
                "IsShared": "Yes" if entity.shared else "No",
                "ChangeTracking": "No" if entity.collection in self._projects.untracked else "Yes",
            }

    ROWS: ClassVar[dict[str, Callable[[Sets], Iterable[Row]]]] = {
        GROUPS: _groups,
        DETAILS: _details,
        "DataManagementExecutionJobs": _jobs,
        "DataManagementExecutionJobDetails": _job_details,
        "DataManagementEntities": _entities,
    }


def job_details(execution: Execution, now: float, switches: Switches) -> Iterator[Row]:
    """The course of each entity of an execution; an end that is not there yet is the empty date."""
    status = execution.status(now, switches)
    started, ended = _time(execution.started), _time(execution.ended) if status in FINAL else NO_DATE
    for job in execution.jobs:
        state = {"NotRun": "NotRun", "Canceled": "Canceled", "Failed": "Error"}.get(status, "Executing")
        if status in GOOD:
            state = "Error" if execution.failed(job) else "Finished"
        staged = 0 if execution.seconds is None or status == "NotRun" else job.rows
        yield {
            "JobId": execution.id,
            "EntityName": job.entity.label,
            "StagingStatus": "Finished" if status in GOOD else state,
            "TargetStatus": state,
            "StagingStartDateTime": started,
            "StagingEndDateTime": ended,
            "TargetStartDateTime": started,
            "TargetEndDateTime": ended,
            "StagingRecordsToBeProcessedCount": staged,
            "StagingRecordsCreatedCount": staged,
            "TargetRecordsCreatedCount": job.rows if state == "Finished" else 0,
            "TargetRecordsUpdatedCount": 0,
        }


def _body(request: Request) -> Row:
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError("The request body is not valid.")
    return {name: value for name, value in body.items() if "@" not in name}


def _time(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None, microsecond=0)
