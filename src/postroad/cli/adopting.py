"""The command `adopt`, which begins a dataset with what another program read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroad.cli.options import HERE, Dataset, Environment, Json, Verbose
from postroad.cli.options import Folder as Project

if TYPE_CHECKING:
    from postroad.app.runs import Report
    from postroad.engine.gather import Adoption

Folder = Annotated[Path, typer.Argument(help="Where the other program's files lie.")]
Cursor = Annotated[
    str, typer.Option("--cursor", help="Its last cursor of the changes, as it stored it; empty if it had none.")
]
TakenAt = Annotated[
    str,
    typer.Option("--cursor-taken-at", help="When it last read the changes to that cursor: 2026-10-01T08:00:00+02:00."),
]
NoRefresh = Annotated[
    bool, typer.Option("--no-full-refresh", help="Leave columns that the files lack empty: no full refresh is due.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read the files and say what would be done.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("adopt")(adopt)


def adopt(
    dataset: Dataset,
    folder: Folder,
    cursor: Cursor,
    cursor_taken_at: TakenAt,
    no_full_refresh: NoRefresh = False,
    dry_run: DryRun = False,
    project: Project = HERE,
    env: Environment = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Begin a dataset with the Parquet files and the cursor of another program, so that nothing is fetched again."""
    from postroad.app import App
    from postroad.cli.report import Reporter
    from postroad.engine.adopt import Wish

    began = time.monotonic()
    wish = Wish(folder, cursor, _moment(cursor_taken_at), not no_full_refresh, dry_run)
    with Reporter(verbose=verbose, quiet=json) as reporter, App.open(project, env, reporter=reporter) as app:
        report, adoption = app.runs.adopt(dataset, wish)
    _show(report, adoption, wish.dry_run, time.monotonic() - began, json=json)
    raise typer.Exit(report.exit_code)


def _moment(text: str) -> datetime:
    from postroad.errors import ConfigError

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--cursor-taken-at: '{text}' is no time such as 2026-10-01T08:00:00+02:00") from None
    if found.tzinfo is None:
        raise ConfigError(f"--cursor-taken-at: '{text}' names no zone; write {text}Z for UTC, or {text}+02:00")
    return found


def _show(report: Report, adoption: Adoption, dry_run: bool, seconds: float, *, json: bool) -> None:
    from dataclasses import asdict

    from postroad.cli import show

    if json:
        show.report_json(report, seconds, adoption=asdict(adoption))
        return
    show.report(report, seconds)
    done = all(outcome.status in ("succeeded", "partly_succeeded") for outcome in report.outcomes)
    for line in _lines(adoption, dry_run) if done else ():
        show.console.print(line, soft_wrap=True)


def _lines(adoption: Adoption, dry_run: bool) -> Iterator[str]:
    if adoption.before:
        yield "these files were adopted already; nothing was read again"
        return
    first, *rest = adoption.files
    yield f"read: {first} and {len(rest):,} later"
    for what, columns in (
        ("null, as some file lacks them", adoption.missing),
        ("left out, as nobody declares them", adoption.left_out),
        ("read from numbers, which may have lost digits or leading zeros", adoption.inexact),
    ):
        if columns:
            yield f"{what}: {', '.join(columns)}"
    if adoption.due is not None:
        yield f"the next run is a full refresh, compared with the table: {adoption.due}"
    else:
        tried = "; whether the cursor is young enough was not asked" if dry_run else ""
        yield f"the next run goes on from the cursor{tried}"
