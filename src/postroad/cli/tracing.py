"""The commands that answer for one record, or for one receiver: `trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Json

if TYPE_CHECKING:
    from postroad.app.tracing import Trace, TracedVersion

Words = Annotated[list[str], typer.Argument(help="DATASET KEY, such as erp.vendors se01/V-1042; with --at only KEY.")]
At = Annotated[str | None, typer.Option("--at", help="A target, such as appdb.vendors, by whose key KEY is meant.")]
Versions = Annotated[int, typer.Option("--versions", min=1, help="How many versions to show, newest first.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trace")(trace)


def trace(
    words: Words,
    at: At = None,
    versions: Versions = 10,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
) -> None:
    """Where a record is and why it is not there: its versions, their payloads, and what every receiver said."""
    from postroad.app import App
    from postroad.cli import show
    from postroad.errors import ConfigError

    if len(words) != (2 if at is None else 1):
        raise ConfigError("trace takes DATASET KEY, or KEY with --at TARGET; a key with spaces stands in quotes")
    with App.open(project, env) as app:
        if at is None:
            found = app.tracing.trace(words[0], words[1], versions=versions)
        else:
            found = app.tracing.trace_at(at, words[0], versions=versions)
    if json:
        show.as_json({**found.as_dict(), "rejections": [show.plain(row) for row in found.rejections]})
    else:
        _print(found)


def _print(found: Trace) -> None:
    from postroad.cli import show

    show.line(f"{found.dataset} {found.key}")
    for each in found.versions:
        _version(each)
    if found.more:
        show.line("older versions: --versions N shows more")
    for row in found.rejections:
        where = row["subscription"] or row["stage"]
        ended = f", {row['status']}: {row['reason']}" if row["status"] != "rejected" else ""
        at = show.moment(row["rejected_at"])
        show.line(f"rejection {row['id']}, {where}, {at}: {row['cause']}: {row['sentence']}{ended}")
    if found.values is not None:
        show.table("the row now", ("column", "value"), found.values.items(), grouped=False)
    for sentence in found.answer:
        show.line(sentence)


def _version(each: TracedVersion) -> None:
    from postroad.cli import show

    show.line(f"\nversion {each.version}, {each.at:%Y-%m-%d %H:%M:%S} UTC: {each.op} by run {each.run}")
    show.line(f"  from {each.origin.sentence if each.origin else 'a commit that names no payload'}")
    if each.origin is not None and each.origin.path is not None:
        show.line(f"       {each.origin.path}")
    show.line(f"  in   {each.file}, row {each.row}")
    for told in each.deliveries:
        number = f", message {told.message}" if told.message is not None else ""
        tried = f", attempt {told.attempts}" if told.attempts > 1 else ""
        at = f", {told.at:%Y-%m-%d %H:%M:%S} UTC" if told.at else ""
        show.line(f"  to   {told.subscription}: {told.status}{number}{tried}{at}: {told.sentence}")
