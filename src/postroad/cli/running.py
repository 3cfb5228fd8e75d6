"""The commands that work: `run` and `replay`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from postroad.cli.options import HERE, Dataset, Environment, Folder, Json, Select, Verbose
from postroad.errors import StoppedError

if TYPE_CHECKING:
    from postroad.app.runs import Report
    from postroad.cli.report import Reporter
    from postroad.engine.stop import Stop

FullRefresh = Annotated[bool, typer.Option("--full-refresh", help="Walk everything again and commit what differs.")]
Since = Annotated[str | None, typer.Option("--since", help="Read anew the rows from a day on: 2026-10-01, last_month.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Stop each feed after so many payloads.")]
Parallel = Annotated[int, typer.Option("--parallel", min=1, help="How many entities to work on at a time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; asks no remote system.")]
NoDeliver = Annotated[bool, typer.Option("--no-deliver", help="Leave what is new to a worker, or to the next run.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay while the remote system asks for a pause.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("replay")(replay)


def run(
    select: Select = None,
    full_refresh: FullRefresh = False,
    since: Since = None,
    limit: Limit = None,
    parallel: Parallel = 3,
    dry_run: DryRun = False,
    wait: Wait = False,
    no_deliver: NoDeliver = False,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Bring the selected datasets to the head of their sources and deliver them; called again it goes on from there.

    SIGTERM and Ctrl-C finish the payload at hand. Exit codes: 0 all well, 1 failed, 2 configuration, 3 partly succeeded
    or waiting, 143 and 130 stopped by SIGTERM and Ctrl-C.
    """
    from postroad.app import App
    from postroad.cli import show
    from postroad.cli.arrow import without_pandas
    from postroad.cli.report import Reporter
    from postroad.cli.stopping import SignalledStop

    without_pandas()
    began = time.monotonic()
    with (
        SignalledStop() as stop,
        Reporter(verbose=verbose, quiet=json) as reporter,
        App.open(project, env, reporter=reporter, stop=stop) as app,
    ):
        if dry_run:
            plan = app.runs.plan(select, full_refresh=full_refresh, since=since)
            show.as_json(plan) if json else show.table("would do", ("dataset", "plan"), plan.items())
            return
        report = app.runs.start(
            select, full_refresh=full_refresh, limit=limit, since=since, parallel=parallel, deliver=not no_deliver
        )
        while wait and _waited(report, stop, reporter):
            report = app.runs.start(select, limit=limit, parallel=parallel, deliver=not no_deliver)
    _end(report, began, json=json, stopped=stop.exit_code)


def replay(
    dataset: Dataset,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Close a dataset's last snapshot again from landing, without network, and commit the differences."""
    from postroad.app import App
    from postroad.cli.arrow import without_pandas
    from postroad.cli.report import Reporter

    without_pandas()
    began = time.monotonic()
    with Reporter(verbose=verbose, quiet=json) as reporter, App.open(project, env, reporter=reporter) as app:
        report = app.runs.replay(dataset)
    _end(report, began, json=json)


def _end(report: Report, began: float, *, json: bool, stopped: int = 0) -> None:
    from postroad.cli import show

    (show.report_json if json else show.report)(report, time.monotonic() - began)
    if report.stopped:
        print("stopped; the next run goes on from here", file=sys.stderr)
    raise typer.Exit(stopped if report.stopped else report.exit_code)


def _waited(report: Report, stop: Stop, reporter: Reporter) -> bool:
    """Sleep until every waiting run of the report may go on; False if there is none, or somebody stops us."""
    untils = [each.until for each in report.outcomes if each.status == "waiting" and each.until is not None]
    if not untils or report.stopped:
        return False
    until = max(untils)
    reporter.say(f"waiting until {until:%Y-%m-%d %H:%M:%S} UTC")
    try:
        stop.sleep((until - datetime.now(UTC)).total_seconds())
    except StoppedError:
        report.stopped = True
    return not report.stopped
