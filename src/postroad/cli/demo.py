"""`postroad demo`: the whole way on this machine, from simulators' sockets through a lake into an application."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from postroad.app import App
from postroad.cli import looking, rejected, show, tracing, visiting
from postroad.cli.report import Reporter
from postroad.errors import ConfigError, StateError
from postroad.project import init_project
from postroad.sdk.demo import Deed, Demo, Receiver, Sent, Server
from postroad.sdk.registry import connector_names, load_connector

DELIVER = "flows/deliver.yaml"
SAMPLE = 200  # records of which the values are compared
MARK = ".demo"
MARKED = "`postroad demo` wrote this folder and empties it when it runs again.\n"


class Line(NamedTuple):
    """A delivery of the demo."""

    dataset: str
    to: str
    sent: Sent


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
    demos, (receiver, application) = _demos(), _receiver()
    _require_ours(folder)
    _step("What it uses, beside simulators, a lake and a database in a folder")
    visited = visiting.servers(_servers())
    _lay(folder, [*demos, receiver, *visited])
    with visiting.dropped(visited), visiting.broker(folder):
        lines = _lines(folder, demos, [receiver])
        shared = _lines(folder, demos, [*visited], lines)
        _show_flow(folder)
        kept = _syncs(folder, rows, demos, lines, application)
        _step("4. What the application refused, and why")
        _refused(folder)
        for line in kept:
            _step(f"5. {application.let_go(folder, line.sent.name)}; then the refused record is sent again")
            _retry(folder, line.to)
        _step("6. How the deliveries stand, and whether receivers hold what the lake has")
        _stand(folder, [each.to for each in (lines[:1] + shared[-1:])])
        _step("7. Questions to the lake")
        _ask(folder, demos)
    _lines(folder, demos, [receiver])
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look around: postroad status -p {folder}; and {folder}/lake")


def _syncs(folder: Path, rows: int, demos: Mapping[str, Demo], lines: list[Line], application: Receiver) -> list[Line]:
    """The two syncs, between which people work; the lines of which the application refuses a record."""
    kept = [line for line in lines if line.sent.kept]
    with ExitStack() as running:
        processes = {name: running.enter_context(_simulator(name, demo.options(rows))) for name, demo in demos.items()}
        addresses = {name: _address(process) for name, process in processes.items()}
        for name, address in addresses.items():
            os.environ.update(demos[name].variables(address))
        systems = "".join(f"\n   - {demo.introduction(rows)}" for demo in demos.values())
        _step(f"1. First sync of {len(demos)} simulated systems{systems}\n   {application.told}")
        _sync(folder)
        _step("2. Meanwhile people add, change and delete records in these systems")
        _show_deeds(folder, demos)
        for name, demo in demos.items():
            for deed in demo.deeds:
                _tell(addresses[name], deed)
        for line in kept:
            _step(f"   {application.hold(folder, line.sent.name)}")
        _step("3. Second sync: just that reaches the tables, and the application, which refuses what it holds on to")
        _sync(folder, rejected=len(kept))
    return kept


def _demos() -> dict[str, Demo]:
    """The connectors that are read in the demo, in its order."""
    found = {name: part for name, part in _parts().items() if isinstance(part, Demo)}
    return dict(sorted(found.items(), key=lambda each: each[1].place))


def _receiver() -> tuple[str, Receiver]:
    """The connector that receives."""
    return next((name, part) for name, part in _parts().items() if isinstance(part, Receiver))


def _servers() -> dict[str, Server]:
    """The connectors that receive at a server, if somebody offers one."""
    return {name: part for name, part in _parts().items() if isinstance(part, Server)}


def _parts() -> dict[str, Demo | Receiver | Server | None]:
    return {name: load_connector(name).demo for name in connector_names()}


def _require_ours(folder: Path) -> None:
    """Only a folder that a demo wrote is emptied: a lake may be somebody's."""
    if folder.exists() and not (folder.is_dir() and ((folder / MARK).exists() or not any(folder.iterdir()))):
        raise ConfigError(f"{folder} holds something else than an earlier demo; name another folder, or delete it")


def _lay(folder: Path, connectors: list[str]) -> None:
    """A new project of their examples, in place of an earlier demo's."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / MARK).write_text(MARKED)
    init_project(folder, *connectors)


def _lines(
    folder: Path, demos: Mapping[str, Demo], receivers: Sequence[str], before: Sequence[Line] = ()
) -> list[Line]:
    """Write the flow that delivers to these, behind what is there `before`; what its new lines say."""
    connections = _connections(folder)
    found = [
        Line(f"{connections[name]}.{sent.entity}", f"{connections[receiver]}.{sent.name}", sent)
        for receiver in receivers
        for name, demo in demos.items()
        for sent in demo.sent
        if sent.shared or not before
    ]
    parts = [(f"dataset: {each.dataset}", f"to: {each.to}", *each.sent.cleaning) for each in [*before, *found]]
    (folder / DELIVER).write_text("deliver:\n" + "".join("  - " + "\n    ".join(each) + "\n" for each in parts))
    return found


def _show_flow(folder: Path) -> None:
    flow = textwrap.indent((folder / DELIVER).read_text(), "   ")
    _step(f"The project's {DELIVER}, beside what it reads\n\n{flow}")


def _connections(folder: Path) -> dict[str, str]:
    """The connection of each connector."""
    with App.open(folder) as app:
        return {app.project.connections[name].connector: name for name in app.project.connections}


def _sync(folder: Path, rejected: int = 0) -> None:
    """One run, in which receivers refuse so many records."""
    began = time.monotonic()
    with Quiet() as reporter, App.open(folder, reporter=reporter) as app:
        report = app.runs.start()
    well = report.exit_code == (3 if rejected else 0)
    well &= sum(each.rejected for each in report.deliveries.values()) == rejected
    if not well:
        print("\n".join(reporter.sentences), file=sys.stderr)
    show.report(report, time.monotonic() - began)
    if not well:
        raise StateError("the demo's sync did not go as it should; the reasons stand above")


def _refused(folder: Path) -> None:
    """What `rejected list` shows, and the way of the first of these records."""
    with App.open(folder) as app:
        rejected.grouped(app.rejections.groups("deliver"))
        row = app.rejections.list("deliver")[0]
        dataset = f"{row['connection']}.{row['entity']}"
        key = row["key"][1:-1]
        _step(f"   postroad trace {dataset} {key} -p {folder}\n")
        tracing.shown(app.tracing.trace(dataset, key, versions=1))


def _retry(folder: Path, to: str) -> None:
    began = time.monotonic()
    with Quiet() as reporter, App.open(folder, reporter=reporter) as app:
        report = app.rejections.retry(to, "deliver")
    show.report(report, time.monotonic() - began)
    if report.exit_code:
        raise StateError("the demo's record was refused again; `postroad rejected list` says why")


def _stand(folder: Path, targets: Sequence[str]) -> None:
    with App.open(folder) as app:
        looking.subscriptions(app.deliveries.status())
        for to in targets:
            _step(f"   postroad verify {to} -p {folder}\n")
            found = app.deliveries.verify(to, SAMPLE)
            tracing.verified(found)
            if not found.equal:
                raise StateError(f"{to} differs from what the lake has")


def _show_deeds(folder: Path, demos: Mapping[str, Demo]) -> None:
    """What is about to be done, by dataset."""
    connections = _connections(folder)
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
