"""Calls to Finance & Operations: sign-in and the actions of the package API (fact sheet 1 and 2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import httpx

from postroad.connectors.d365_finops import faults
from postroad.connectors.d365_finops.faults import BuildingError, MissingError, RefusedError, value_of
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import AuthError, RemoteError, ThrottledError, TransientError
from postroad.sdk.connector import Tools
from postroad.sdk.http import Credentials, HttpClient, Limits

ACTIONS = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
BURST_SECONDS = 5.0
ZERO_ID = "00000000-0000-0000-0000-000000000000"
FORM = "application/x-www-form-urlencoded"
GOOD = ("Succeeded", "PartiallySucceeded")
FINAL = (*GOOD, "Failed", "Canceled")


@dataclass(frozen=True)
class Execution:
    """One run of an export project. Its id is ours and is durable before the export starts."""

    id: str
    project: str
    company: str
    began: float


class Api:
    """The environment of one connection."""

    def __init__(self, settings: FinopsSettings, tools: Tools, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._tools = tools
        self._transport = transport
        limits = Limits(
            budget=f"d365_finops {settings.base}", calls=settings.burst, per=BURST_SECONDS, timeout=settings.timeout
        )
        self._actions = self._client(limits, faults.classify)
        # A start that was not answered is never sent again blindly: its execution is looked for (fact sheet 2.4).
        self._starts = self._client(replace(limits, tries=1), faults.classify)
        polls = replace(limits, tries=settings.polls)
        self._statuses = self._client(polls, partial(_status, pause=settings.poll_seconds))
        self._links = self._client(polls, partial(_link, pause=settings.poll_seconds))
        self._directory = HttpClient(
            settings.sign_in_url.rstrip("/"), lambda: Credentials({}, ()), limits, classify=_sign_in_error,
            tools=tools, transport=transport,
        )  # fmt: skip

    def _client(self, limits: Limits, classify: Any) -> HttpClient:
        return HttpClient(
            self._settings.base, self._sign_in, limits, classify=classify, tools=self._tools, transport=self._transport
        )

    def sign_in(self) -> None:
        """Get a token; AuthError if there is none to be had."""
        self._sign_in()

    def status(self, execution: Execution) -> str | None:
        """The status of an execution as it is now; None where it is not known."""
        try:
            return str(self._call("GetExecutionSummaryStatus", executionId=execution.id))
        except RefusedError as refused:
            if faults.NOT_FOUND in refused.sentence:
                return None
            raise

    def final_status(self, execution: Execution) -> str:
        """The final status; BuildingError or MissingError once the patience of one run is over."""
        answer = self._statuses.post(_body(executionId=execution.id), path=f"{ACTIONS}GetExecutionSummaryStatus")
        return str(value_of(answer.body))

    def start(self, execution: Execution) -> bool:
        """Start an export under our id; whether an id came back. RefusedError, and TransientError without an answer."""
        body = _body(
            definitionGroupId=execution.project,
            packageName=execution.id,
            executionId=execution.id,
            reExecute=False,
            legalEntityId=execution.company,
        )
        answer = self._starts.post(body, path=f"{ACTIONS}ExportToPackageAsync")
        return value_of(answer.body) not in (None, "", ZERO_ID)

    def link(self, execution: Execution) -> str:
        """A new link to the package: a secret, good for minutes. MissingError if there is none for long."""
        answer = self._links.post(_body(executionId=execution.id), path=f"{ACTIONS}GetExportedPackageUrl")
        return str(value_of(answer.body))

    def failures(self, execution: Execution) -> str:
        """What went wrong, without the words of errors, which may quote records."""
        try:
            return faults.summary_of(self._call("GetExecutionErrors", executionId=execution.id))
        except (RefusedError, TransientError) as error:
            return str(error)

    def entity_statuses(self, execution: Execution) -> Mapping[str, str]:
        """The status of each entity by its label; the shape of the answer is not known (fact sheet 12)."""
        found = self._call("GetEntityExecutionSummaryStatusList", executionId=execution.id)
        try:
            rows = json.loads(found) if isinstance(found, str) else found
            rows = [json.loads(row) if isinstance(row, str) else row for row in rows or ()]
            return {str(row["EntityName"]): str(row["Status"]) for row in rows}
        except (ValueError, TypeError, KeyError):
            return {}

    def rows(self, execution: Execution, step: Literal["Staging", "Target"]) -> Mapping[str, int]:
        """How many rows an execution read (staging) or wrote (target), by label; nothing unless all of it is told."""
        options = {"$filter": f"JobId eq '{execution.id}'"}
        try:
            answer = self._actions.get(path=f"/data/DataManagementExecutionJobDetails?{urlencode(options)}")
        except RefusedError:
            return {}
        details = [row for row in value_of(answer.body) or () if isinstance(row, dict)]
        told = {str(row.get("EntityName")): row.get(f"{step}RecordsCreatedCount") for row in details}
        counts = {label: count for label, count in told.items() if isinstance(count, int)}
        return counts if len(counts) == len(details) else {}

    def executions(self, project: str) -> list[str] | None:
        """The ids of the executions of a project that are still known; None where nobody may list them."""
        quoted = project.replace("'", "''")
        options = {"$filter": f"DefinitionGroupId eq '{quoted}'", "$select": "JobId"}
        try:
            answer = self._actions.get(path=f"/data/DataManagementExecutionJobs?{urlencode(options)}")
        except (RefusedError, AuthError):  # our user may not read them; who may do nothing is told by the next call
            return None
        return [str(row.get("JobId")) for row in value_of(answer.body) or () if isinstance(row, dict)]

    def project(self, name: str) -> None:
        """RemoteError unless there is an export project of that name."""
        quoted = name.replace("'", "''")
        path = "/data/DataManagementDefinitionGroups?" + urlencode({"$filter": f"Name eq '{quoted}'", "$top": "1"})
        rows = value_of(self._actions.get(path=path).body)
        if not rows:
            raise RemoteError(f"there is no data project '{name}': create it as the page of this connector says")

    def read(self, path: str) -> bytes:
        """One page of OData."""
        return self._actions.get(path=path).body

    def close(self) -> None:
        """Give back the connections."""
        for client in (self._actions, self._starts, self._statuses, self._links, self._directory):
            client.close()

    def _call(self, action: str, **arguments: Any) -> Any:
        return value_of(self._actions.post(_body(**arguments), path=f"{ACTIONS}{action}").body)

    def _sign_in(self) -> Credentials:
        settings, secret = self._settings, self._settings.client_secret.reveal()
        parts = urlsplit(settings.base)
        resource = f"{parts.scheme}://{parts.netloc}".lower()
        second = settings.token_version == "v2"  # noqa: S105  a version, no secret
        wanted = {"scope": f"{resource}/.default"} if second else {"resource": resource}
        form = {"grant_type": "client_credentials", "client_id": settings.client_id, "client_secret": secret, **wanted}
        path = f"/{settings.tenant}/oauth2/{'v2.0/' if second else ''}token"
        try:
            token = json.loads(self._directory.post(urlencode(form).encode(), FORM, path=path).body)["access_token"]
        except (ValueError, TypeError, KeyError):
            raise AuthError("the directory answered without a token: check sign_in_url and tenant") from None
        headers = {"authorization": f"Bearer {token}", "accept": "application/json", "odata-maxversion": "4.0"}
        return Credentials(headers, (str(token), secret))


def _body(**arguments: Any) -> bytes:
    return json.dumps(arguments).encode()


def _status(status: int, headers: Mapping[str, str], body: bytes, *, pause: float) -> Exception | None:
    """Asks again while the export is not at its end; an unknown word is no end either (fact sheet 2.3)."""
    error = faults.classify(status, headers, body)
    if isinstance(error, RefusedError) and faults.NOT_FOUND in error.sentence:
        return MissingError("the execution is not known yet", pause)
    if error is None and status == 200 and (found := value_of(body)) not in FINAL:
        return BuildingError(f"the export is still building ({found})", pause)
    return error


def _link(status: int, headers: Mapping[str, str], body: bytes, *, pause: float) -> Exception | None:
    """Asks again while there is no link yet (fact sheet 2.2)."""
    error = faults.classify(status, headers, body)
    if error is None and status == 200 and not value_of(body):
        return MissingError("the package has no link yet", pause)
    return error


def _sign_in_error(status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
    if status == 429:
        return ThrottledError("the directory answered 429: too many requests", faults.DEFAULT_PAUSE)
    if 300 <= status < 500:
        try:
            words = str(json.loads(body)["error_description"]).partition(" Trace ID")[0][: faults.MOST]
        except (ValueError, TypeError, KeyError):
            words = f"it answered {status}"
        return AuthError(f"the directory refuses the sign-in: {words}; check tenant, client_id and client_secret")
    return None
