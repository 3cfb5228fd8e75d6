"""`postroad demo`: the whole way on this machine, from a simulator's socket to a query."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from postroad.app import App
from postroad.cli import show
from postroad.cli.report import Reporter
from postroad.errors import StateError
from postroad.project import init_project
from postroad.sdk.registry import connector_names, load_connector

QUERY = """
SELECT project_description AS project, count(*) AS timesheets, sum("workingHours")::DECIMAL(18, 2) AS hours
FROM {dataset} GROUP BY ALL ORDER BY hours DESC LIMIT 8
"""
HISTORY = (
    "SELECT _op AS operation, count(*) AS rows, count(DISTINCT _version) AS commits FROM {dataset}_changes GROUP BY ALL"
)
PATIENCE = 30.0


def run_demo(folder: Path, timesheets: int) -> None:
    """Run it; leaves the project in `folder` to look around in."""
    name = next(name for name in connector_names() if load_connector(name).demo)
    began = time.monotonic()
    for part in ("lake", "postroad.db", "postroad.db-wal", "postroad.db-shm"):
        path = folder / part
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not (folder / "postroad.yaml").exists():
        init_project(folder, name)
    with _simulator(name, timesheets) as url:
        os.environ[f"{name.upper()}_URL"] = f"{url}/graphql"
        _step(f"1. First sync from a simulated {name} with {timesheets:,} timesheets, of which our token reaches most")
        _sync(folder)
        _step("2. Meanwhile in the remote system: 300 timesheets change, 40 are deleted, 60 are new")
        for action, body in (("mutate", {"n": 300}), ("delete", {"which": 40}), ("add", {"n": 60})):
            _tell(url, action, body)
        _step("3. Second sync: the changes alone, in one call")
        _sync(folder)
    _step("4. What the lake shows now")
    with App.open(folder) as app:
        dataset = next(iter(app.datasets.status())).dataset
        for title, sql in (("hours by project", QUERY), ("its history", HISTORY)):
            answer = app.datasets.query(sql.format(dataset=dataset))
            show.table(title, answer.column_names, [tuple(row.values()) for row in answer.to_pylist()])
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look around: postroad status -p {folder}; and {folder}/lake")


def _sync(folder: Path) -> None:
    began = time.monotonic()
    with Reporter() as reporter, App.open(folder, reporter=reporter) as app:
        report = app.runs.start()
    show.report(report, time.monotonic() - began)
    if report.exit_code:
        raise StateError("the demo's sync did not succeed; the reasons stand above")


@contextmanager
def _simulator(name: str, timesheets: int) -> Iterator[str]:
    """The connector's simulator as a process of its own, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--timesheets", str(timesheets)]
    process = subprocess.Popen(
        [sys.executable, "-m", "postroad", "simulate", name, *options], stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(port, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise StateError("the simulator did not start; `postroad simulate` shows why")


def _tell(url: str, action: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    address = f"{url}/_simulator/{action}"  # ours, on this machine
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        answer.read()


def _step(sentence: str) -> None:
    print(f"\n{sentence}", flush=True)
