"""The actions of the package API, bound to the set of data projects (fact sheet 2.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from postroad.connectors.d365_finops.simulator import mistakes
from postroad.connectors.d365_finops.simulator.blobs import BlobStore
from postroad.connectors.d365_finops.simulator.entities import catalogue
from postroad.connectors.d365_finops.simulator.executions import GOOD, Execution
from postroad.connectors.d365_finops.simulator.exports import ZERO_ID, Asked, Exporter
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.odata import JSON
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.sdk.simulator import Answer, Fault, Json, Request

PATH = re.compile(r"/data/DataManagement(?:DefinitionGroups|Entities)/Microsoft\.Dynamics\.DataEntities\.(\w+)/?")
_ONE = ("executionId",)
_START = ("definitionGroupId", "packageName", "executionId", "reExecute", "legalEntityId")
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "ExportToPackage": _START,
    "ExportToPackageAsync": (*_START, "entityList"),
    "ExportToPackagePreview": (*_START, "count"),
    "ExportToPackagePreviewAsync": (*_START, "count"),
    "ExportToPackageDelta": (*_START, "entityList"),
    "GetExecutionSummaryStatus": _ONE,
    "GetEntityExecutionSummaryStatusList": _ONE,
    "GetExportedPackageUrl": _ONE,
    "GetExecutionSummaryPageUrl": _ONE,
    "GetExecutionErrors": _ONE,
    "DeleteExecutionHistoryJob": _ONE,
    "ResetVersionToken": ("definitionGroupId", "entityName", "sourceName"),
    "GetEntitySequence": ("listOfDataEntities",),
    "InitializeDataManagement": (),
    "InitializeDataManagementAsync": (),
    "GetApplicationVersion": (),
    "GetApplicationBuildVersion": (),
    "GetPlatformBuildVersion": (),
}
"""Every action, with its parameters as the model tells them."""

VERSIONS: Mapping[str, str] = {
    "GetApplicationVersion": "10.0.44",
    "GetApplicationBuildVersion": "10.0.2263.49",
    "GetPlatformBuildVersion": "7.0.7690.45",
}
"""What the actions of the entity list answer; the numbers are ours."""

NOTHING = object()
"""The value of an answer without a `value`."""
SILENT = {"DeleteExecutionHistoryJob", "InitializeDataManagement", "InitializeDataManagementAsync"}
RETURNED = {"ResetVersionToken": "Edm.Boolean", "GetEntityExecutionSummaryStatusList": "Collection(Edm.String)"}
EXPORTS = tuple(name for name in PARAMETERS if name.startswith("ExportToPackage"))


def roots(path: str) -> list[str]:
    """The roots of a request for an action, by which faults find it."""
    found = PATH.fullmatch(path)
    name = found[1] if found else ""
    return ["action", name, *(["export"] if name in EXPORTS else [])] if found else []


class Actions:
    """Carries out actions at one moment, under the faults that strike this request."""

    def __init__(
        self, exporter: Exporter, blobs: BlobStore, switches: Switches, now: float, base: str, faults: Sequence[Fault]
    ) -> None:
        self._exporter, self._blobs, self._switches, self._now, self._base = exporter, blobs, switches, now, base
        self._faults = {fault.kind: fault for fault in faults}
        self._struck = faults

    def answer(self, name: str, request: Request) -> Answer:
        """The answer of an action; RefusedError if it throws."""
        act, of_list = self.ACTIONS.get(name), request.path.startswith("/data/DataManagementEntities/")
        if act is None or (name in VERSIONS) != of_list:
            raise RefusedError(f"No HTTP resource was found that matches the request URI '{request.path}'.", 404)
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            raise RefusedError(mistakes.BAD_MODEL) from None
        if not isinstance(body, dict):
            raise RefusedError(mistakes.BAD_MODEL)
        request.facts["arguments"] = body
        value = act(self, name, body)
        if name in SILENT:
            return Answer(b"", 204)
        answer: dict[str, Json] = {"@odata.context": f"{self._base}/data/$metadata#{_kind(value)}"}
        if value is not NOTHING:
            answer["value"] = {"value": value} if self._switches.nested_value else value
        blocking = name in EXPORTS and not name.endswith("Async")
        hold = self._switches.blocking_seconds if blocking else 0.0
        return Answer(json.dumps(answer, ensure_ascii=False).encode(), content_type=JSON, hold=hold)

    # ---- starting ----

    def _export(self, name: str, body: dict[str, Json]) -> Json:
        """Start an export; its execution id, or what a fault lets be answered instead."""
        delta, preview = name == "ExportToPackageDelta", "Preview" in name
        count = _count(body) if preview else None
        asked = Asked(
            name,
            _text(body, "definitionGroupId"),
            _text(body, "packageName"),
            _text(body, "executionId"),
            _flag(body, "reExecute"),
            _text(body, "legalEntityId"),
            tuple(filter(None, _text(body, "entityList", needed=delta).split(","))),
            count,
        )
        blank = self._faults.get("no_id")
        if blank is None or blank.options.get("started", False):
            shown = self._started(asked)
            if blank is None:
                return shown
        assert blank is not None
        return {"null": None, "zero": ZERO_ID, "missing": NOTHING}.get(blank.options.get("mode", "empty"), "")

    def _started(self, asked: Asked) -> str:
        if "never_created" in self._faults:
            return asked.execution_id or "7D2E8E0B-0000-4000-8000-000000000001"
        return self._exporter.start(asked, self._struck, self._now, self._switches).id

    # ---- asking ----

    def _status(self, name: str, body: dict[str, Json]) -> Json:
        execution_id = _text(body, "executionId")
        if "not_found" in self._faults:
            raise mistakes.execution_not_found(name, execution_id)
        execution = self._execution(name, execution_id)
        if self._now - execution.started < self._switches.not_found_seconds:
            raise mistakes.execution_not_found(name, execution_id)
        forced = self._faults.get("status_value")
        return forced.options.get("value", "Unknown") if forced else execution.status(self._now, self._switches)

    def _entity_status(self, name: str, body: dict[str, Json]) -> Json:
        """The status of each entity; the shape of the list is not known (fact sheet 12)."""
        execution = self._execution(name, _text(body, "executionId"))
        whole = execution.status(self._now, self._switches)
        states = {job.entity.label: "Failed" if execution.failed(job) else "Succeeded" for job in execution.jobs}
        rows = [{"EntityName": label, "Status": state if whole in GOOD else whole} for label, state in states.items()]
        if self._switches.entity_status == "objects":
            return rows
        texts = [json.dumps(row) for row in rows]
        return texts if self._switches.entity_status == "strings" else f"[{','.join(texts)}]"

    def _url(self, name: str, body: dict[str, Json]) -> Json:
        """A new link, or an empty text while there is none."""
        execution = self._execution(name, _text(body, "executionId"))
        ready = execution.settled and execution.outcome in GOOD
        if "empty_url" in self._faults or not ready:
            return ""
        if execution.is_empty() and self._switches.empty_delta == "no_url":
            return ""
        link = self._blobs.link(execution.build.path, execution.ended, self._switches)
        bad = self._faults.get("bad_url")
        return link if bad is None else _bad_url(link, bad)

    def _page_url(self, name: str, body: dict[str, Json]) -> Json:
        execution = self._execution(name, _text(body, "executionId"))
        return f"{self._base}/?mi=DMFExecutionHistoryWorkspace&executionId={execution.id}"

    def _errors(self, name: str, body: dict[str, Json]) -> Json:
        """A text like a JSON array, in which quotes and line breaks of messages are not escaped (fact sheet 2.2)."""
        execution = self._execution(name, _text(body, "executionId"))
        forced = self._faults.get("errors_text")
        if forced is not None:
            return forced.options.get("text", "")
        if execution.errors_text is not None and execution.settled:
            return execution.errors_text
        errors = execution.all_errors()
        if self._switches.errors_clean:
            return json.dumps(errors, ensure_ascii=False)
        records = (",".join(f'"{name}":"{value}"' for name, value in error.items()) for error in errors)
        return f"[{','.join(f'{{{record}}}' for record in records)}]"

    # ---- changing ----

    def _forget(self, _name: str, body: dict[str, Json]) -> Json:
        self._exporter.executions.forget(_text(body, "executionId"))
        return NOTHING

    def _reset(self, name: str, body: dict[str, Json]) -> Json:
        """Forget where change tracking stands, so that the next incremental run is full."""
        project, label = _text(body, "definitionGroupId"), _text(body, "entityName")
        _text(body, "sourceName")
        try:
            entity = catalogue().find(label)
            self._exporter.projects.find(project).line(entity)
        except LookupError as missing:
            raise mistakes.action_failed(name, str(missing.args[0])) from None
        self._exporter.projects.reset(project, entity)
        return True

    def _sequence(self, _name: str, body: dict[str, Json]) -> Json:
        return _text(body, "listOfDataEntities")

    def _nothing(self, _name: str, _body: dict[str, Json]) -> Json:
        return NOTHING

    def _version(self, name: str, _body: dict[str, Json]) -> Json:
        return VERSIONS[name]

    def _execution(self, name: str, execution_id: str) -> Execution:
        found = self._exporter.executions.get(execution_id)
        if found is None:
            raise mistakes.execution_not_found(name, execution_id)
        return found

    ACTIONS: ClassVar[dict[str, Callable[[Actions, str, dict[str, Json]], Json]]] = {
        **dict.fromkeys(EXPORTS, _export),
        "GetExecutionSummaryStatus": _status,
        "GetEntityExecutionSummaryStatusList": _entity_status,
        "GetExportedPackageUrl": _url,
        "GetExecutionSummaryPageUrl": _page_url,
        "GetExecutionErrors": _errors,
        "DeleteExecutionHistoryJob": _forget,
        "ResetVersionToken": _reset,
        "GetEntitySequence": _sequence,
        "InitializeDataManagement": _nothing,
        "InitializeDataManagementAsync": _nothing,
        **dict.fromkeys(VERSIONS, _version),
    }


def _bad_url(link: str, fault: Fault) -> str:
    """A link that no careful client follows; any text, or one of these forms."""
    rest = link.split("/", 3)[3]
    forms = {
        "http": f"http://storage.blob.core.windows.net/{rest}",
        "relative": f"/{rest}",
        "other_host": f"https://storage.example.com/{rest}",
        "lookalike": f"https://storage.blob.core.windows.net.example.com/{rest}",
        "user": f"https://storage.blob.core.windows.net@example.com/{rest}",
        "file": "file:///etc/passwd",
    }
    form = fault.options.get("form", "http")
    return forms.get(form, str(form))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "Edm.Boolean"
    return "Collection(Edm.String)" if isinstance(value, list) else "Edm.String"


def _text(body: dict[str, Json], name: str, needed: bool = True) -> str:
    value = body.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str):
        raise RefusedError(mistakes.BAD_MODEL)
    return value


def _count(body: dict[str, Json]) -> int:
    """How many rows a preview is cut off at; two names are documented for it. 0 does not cut."""
    value = body.get("count", body.get("exportPreviewCount", 0))
    if type(value) is not int or value < 0:
        raise RefusedError(mistakes.BAD_MODEL)
    return value


def _flag(body: dict[str, Json], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise RefusedError(mistakes.BAD_MODEL)
    return value
