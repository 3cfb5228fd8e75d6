"""The commands that work: `run` and `replay`."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from postroad.cli.options import HERE, Dataset, Environment, Folder, Json, Select, Verbose

if TYPE_CHECKING:
    from postroad.app.runs import Report

FullRefresh = Annotated[bool, typer.Option("--full-refresh", help="Walk everything again and commit what differs.")]
Since = Annotated[str | None, typer.Option("--since", help="Read anew the rows from a day on: 2026-10-01, last_month.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Stop each feed after so many payloads.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; asks no remote system.")]
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
    dry_run: DryRun = False,
    wait: Wait = False,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Bring the selected datasets to the head of their sources; called again it goes on where it stopped.

    Exit codes: 0 all well, 1 failed, 2 configuration, 3 partly succeeded or waiting.
    """
    from postroad.app import App
    from postroad.cli import show
    from postroad.cli.arrow import without_pandas
    from postroad.cli.report import Reporter

    without_pandas()
    # SIGTERM ends a run as Ctrl-C does: with a true status, and the next run goes on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with Reporter(verbose=verbose, quiet=json) as reporter, App.open(project, env, reporter=reporter) as app:
        if dry_run:
            plan = app.runs.plan(select, full_refresh=full_refresh, since=since)
            show.as_json(plan) if json else show.table("would do", ("dataset", "plan"), plan.items())
            return
        report = app.runs.start(select, full_refresh=full_refresh, limit=limit, since=since)
        while wait and (until := _waits_until(report)) is not None:
            reporter.say(f"waiting until {until:%Y-%m-%d %H:%M:%S} UTC")
            time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))
            report = app.runs.start(select, full_refresh=False, limit=limit)
    _end(report, began, json=json)


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


def _end(report: Report, began: float, *, json: bool) -> None:
    from postroad.cli import show

    (show.report_json if json else show.report)(report, time.monotonic() - began)
    raise typer.Exit(report.exit_code)


def _waits_until(report: Report) -> datetime | None:
    untils = [each.until for each in report.outcomes if each.status == "waiting" and each.until is not None]
    return max(untils) if untils else None
