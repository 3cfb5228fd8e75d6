"""A plain script, written from the public documentation of the data management package REST API.

It knows nothing of this project: sign in as an application (version 2 of the token endpoint), export a data project,
poll its status, ask for the link, download and unpack. Addresses and names are arguments.
"""

from __future__ import annotations

import io
import time
import uuid
import zipfile

import requests

ACTIONS = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
FINAL = {"Succeeded", "PartiallySucceeded", "Failed", "Canceled"}


def sign_in(login: str, tenant: str, client_id: str, secret: str, environment: str) -> requests.Session:
    """A session whose requests carry the access token."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = requests.post(
        f"{login}/{tenant}/oauth2/v2.0/token", data={**form, "scope": f"{environment}/.default"}, timeout=30
    )
    answer.raise_for_status()
    session = requests.Session()
    session.headers["Authorization"] = f"{answer.json()['token_type']} {answer.json()['access_token']}"
    return session


def act(session: requests.Session, environment: str, action: str, **arguments: object) -> str:
    """The value of an action."""
    answer = session.post(environment + ACTIONS + action, json=arguments, timeout=60)
    answer.raise_for_status()
    value = answer.json()["value"]
    return str(value["value"] if isinstance(value, dict) else value)


def export(session: requests.Session, environment: str, project: str, company: str, pause: float = 15.0) -> str:
    """Export a data project and wait for its end; the execution id."""
    wanted = f"{project}-{uuid.uuid4()}"
    execution = act(
        session,
        environment,
        "ExportToPackage",
        definitionGroupId=project,
        packageName=wanted,
        executionId=wanted,
        reExecute=False,
        legalEntityId=company,
    )
    deadline = time.monotonic() + 3_600
    while time.monotonic() < deadline:
        status = act(session, environment, "GetExecutionSummaryStatus", executionId=execution)
        if status in FINAL:
            if status not in {"Succeeded", "PartiallySucceeded"}:
                raise RuntimeError(act(session, environment, "GetExecutionErrors", executionId=execution))
            return execution
        time.sleep(pause)
    raise TimeoutError(execution)


def download(session: requests.Session, environment: str, execution: str, pause: float = 15.0) -> dict[str, bytes]:
    """The files of the package. The link carries its own signature: no token is sent to it."""
    for _ in range(100):
        link = act(session, environment, "GetExportedPackageUrl", executionId=execution)
        if link:
            answer = requests.get(link, timeout=300)
            answer.raise_for_status()
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                return {name: archive.read(name) for name in archive.namelist()}
        time.sleep(pause)
    raise TimeoutError(execution)
