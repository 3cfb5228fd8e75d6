"""`postroad demo`: the whole way on this machine, from simulators' sockets to a query that joins their tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from postroad.app import App
from postroad.cli import show
from postroad.cli.report import Reporter
from postroad.errors import ConfigError, StateError
from postroad.project import init_project
from postroad.sdk.demo import Deed, Demo
from postroad.sdk.registry import connector_names, load_connector

MARK = ".demo"
MARKED = "`postroad demo` wrote this folder and empties it when it runs again.\n"


class Quiet(Reporter):
    """Progress bars as in any run; the sentences beside them are told if the run does not succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        """See `Reporter.say`."""
        self.sentences.append(sentence)


def run_demo(folder: Path, rows: int) -> None:
    """Run it; leaves the project in `folder` to look around in. ConfigError if the folder holds anything else."""
    began = time.monotonic()
    demos = _demos()
    _lay(folder, list(demos))
    with ExitStack() as running:
        processes = {name: running.enter_context(_simulator(name, demo.options(rows))) for name, demo in demos.items()}
        addresses = {name: _address(process) for name, process in processes.items()}
        for name, address in addresses.items():
            os.environ.update(demos[name].variables(address))
        systems = "".join(f"\n   - {demo.introduction(rows)}" for demo in demos.values())
        _step(f"1. First sync of {len(demos)} simulated systems{systems}")
        _sync(folder)
        _step("2. Meanwhile people add, change and delete records in these systems")
        _show_deeds(folder, demos)
        for name, demo in demos.items():
            for deed in demo.deeds:
                _tell(addresses[name], deed)
        _step("3. Second sync: just that reaches the tables")
        _sync(folder)
    _step("4. Questions to the lake")
    _ask(folder, demos)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look around: postroad status -p {folder}; and {folder}/lake")


def _demos() -> dict[str, Demo]:
    """The connectors that have a part in the demo, in its order."""
    found = {name: load_connector(name).demo for name in connector_names()}
    return dict(sorted(((name, demo) for name, demo in found.items() if demo), key=lambda each: each[1].place))


def _lay(folder: Path, connectors: list[str]) -> None:
    """A new project of their examples. Only a folder that a demo wrote is emptied: a lake may be somebody's."""
    if folder.exists() and not (folder.is_dir() and ((folder / MARK).exists() or not any(folder.iterdir()))):
        raise ConfigError(f"{folder} holds something else than an earlier demo; name another folder, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / MARK).write_text(MARKED)
    init_project(folder, *connectors)


def _sync(folder: Path) -> None:
    began = time.monotonic()
    with Quiet() as reporter, App.open(folder, reporter=reporter) as app:
        report = app.runs.start()
    if report.exit_code:
        print("\n".join(reporter.sentences), file=sys.stderr)
    show.report(report, time.monotonic() - began)
    if report.exit_code:
        raise StateError("the demo's sync did not succeed; the reasons stand above")


def _show_deeds(folder: Path, demos: Mapping[str, Demo]) -> None:
    """What is about to be done, by dataset."""
    with App.open(folder) as app:
        connections = {app.project.connections[name].connector: name for name in app.project.connections}
    counts: dict[str, dict[str, int]] = {}
    for name, demo in demos.items():
        for deed in demo.deeds:
            row = counts.setdefault(f"{connections[name]}.{deed.entity}", {"new": 0, "changed": 0, "deleted": 0})
            row[deed.what] += deed.rows
    rows = [(dataset, *counted.values()) for dataset, counted in sorted(counts.items())]
    show.table("", ("dataset", "new", "changed", "deleted"), rows)


def _ask(folder: Path, demos: Mapping[str, Demo]) -> None:
    """The questions of all connectors, each with its SQL and the answer."""
    with App.open(folder) as app:
        for question in (question for demo in demos.values() for question in demo.questions):
            answer = app.datasets.query(question.sql)
            _step(f"{question.sentence}\n\n{textwrap.indent(question.sql, '   ')}")
            show.table("", answer.column_names, [tuple(row.values()) for row in answer.to_pylist()], grouped=False)


@contextmanager
def _simulator(name: str, options: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A connector's simulator, which is started as a process of its own on a free port."""
    words = [sys.executable, "-m", "postroad", "simulate", name, "--port", "0", *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    """Where a simulator listens: the last word of the line that it prints when it does."""
    line = process.stdout.readline().split() if process.stdout else []
    if not line:
        raise StateError("a simulator did not start; its reason stands above")
    parts = urlsplit(line[-1])
    return f"{parts.scheme}://{parts.netloc}"


def _tell(address: str, deed: Deed) -> None:
    headers = {"Content-Type": "application/json"}
    url = f"{address}/_simulator/{deed.call}"  # ours, on this machine
    request = urllib.request.Request(url, json.dumps(dict(deed.arguments)).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        answer.read()


def _step(sentence: str) -> None:
    print(f"\n{sentence}", flush=True)
