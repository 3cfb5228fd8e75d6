"""The commands that answer for one record, or for one receiver: `trace`, `verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postroad.app.tracing import Trace, TracedVersion
    from postroad.engine.verify import Verified

Words = Annotated[list[str], typer.Argument(help="DATASET KEY, such as erp.vendors se01/V-1042; with --at only KEY.")]
At = Annotated[str | None, typer.Option("--at", help="A target, such as appdb.vendors, by whose key KEY is meant.")]
Versions = Annotated[int, typer.Option("--versions", min=1, help="How many versions to show, newest first.")]

NAMED = 20  # keys that are named; `--json` names a thousand of each kind
DIFFERENT = 3  # the exit code
SAID = {
    "missing": "missing there",
    "extra": "too many there",
    "older": "there in an older version",
    "newer": "there in a newer version",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trace")(trace)
    app.command("verify")(verify)


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
        shown(found)


def verify(
    target: Annotated[str, typer.Argument(help="A target, such as appdb.vendors; or a dataset, to count its source.")],
    sample: Annotated[int, typer.Option("--sample", min=0, help="Of how many records to compare the values.")] = 1000,
    values: Annotated[bool, typer.Option("--show", help="Show the values that differ.")] = False,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
) -> None:
    """Whether a receiver holds what its dataset has: all keys and versions, and the values of a sample.

    Of a dataset: whether its source has as many records.
    """
    from postroad.app import App
    from postroad.cli import show

    with App.open(project, env) as app:
        if app.deliveries.has(target):
            found = app.deliveries.verify(target, sample, show=values)
            verified(found) if not json else show.as_json(found.as_dict())
            raise typer.Exit(0 if found.equal else DIFFERENT)
        counted = app.datasets.count(target)
    show.as_json(counted.as_dict()) if json else show.line(counted.sentence)
    raise typer.Exit(0 if counted.equal else DIFFERENT)


def verified(found: Verified) -> None:
    """Show what was compared."""
    from postroad.cli import show

    named = [(text, found.counts[kind], _some(found.keys[kind])) for kind, text in SAID.items()]
    rows = [
        ("should be there", found.rows, ""),
        ("are there", found.held, ""),
        *named,
        ("rejected by the receiver", found.rejected, ""),
        ("on their way", found.awaited, ""),
        ("values compared of", found.sampled, ""),
        ("with other values", len(found.different), _some([each.key for each in found.different])),
    ]
    show.table(f"{found.target} beside {found.dataset}", ("records", "count", "keys"), rows)
    for each in found.different[:NAMED]:
        told = each.values or {}
        values = [
            f"{name}: {told[name][0]!r}, there {told[name][1]!r}" if name in told else name for name in each.fields
        ]
        show.line(f"{each.key} differs in {'; '.join(values)}")
    if not found.begun:
        show.line(f"nothing was sent to {found.target} yet; `postroad run` does it")
    show.line(
        "equal" if found.equal else f"not equal; `postroad trace --at {found.target} KEY` says what became of a key"
    )


def _some(keys: Sequence[str]) -> str:
    rest = f" … and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
    return " ".join(keys[:NAMED]) + rest


def shown(found: Trace) -> None:
    """Show the way of a record."""
    from postroad.cli import show

    show.line(f"{found.dataset} {found.key}")
    for each in found.versions:
        _version(each)
    if found.more:
        show.line("older versions: --versions N shows more")
    for row in found.rejections:
        where = row["subscription"] or row["stage"]
        told = row["reason"] or ""  # "discarded by anna" says the status as well
        ended = told if told.startswith(row["status"]) else f"{row['status']}: {told}"
        ended = f", {ended}" if row["status"] != "rejected" else ""
        at = show.moment(row["rejected_at"])
        show.line(f"rejection {row['id']}, {where}, {at}: {row['cause']}: {row['sentence']}{ended}")
    if found.values is not None:
        show.table("the row now", ("column", "value"), found.values.items(), grouped=False)
    for sentence in found.answer:
        show.line(sentence)


def _version(each: TracedVersion) -> None:
    from postroad.cli import show

    show.line(f"\nversion {each.version}, {each.at:%Y-%m-%d %H:%M:%S} UTC: {each.op} by run {each.run}")
    show.line(f"  from {each.origin.sentence if each.origin else 'a payload that is not listed any more'}")
    if each.origin is not None and each.origin.path is not None:
        show.line(f"       {each.origin.path}")
    show.line(f"  in   {each.file}, row {each.row}")
    for told in each.deliveries:
        number = f", message {told.message}" if told.message is not None else ""
        tried = f", attempt {told.attempts}" if told.attempts > 1 else ""
        at = f", {told.at:%Y-%m-%d %H:%M:%S} UTC" if told.at else ""
        show.line(f"  to   {told.subscription}: {told.status}{number}{tried}{at}: {told.sentence}")
