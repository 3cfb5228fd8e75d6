"""`postroad rejected …`: records that were not accepted, by us or a receiver, and closes that a guard parked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from postroad.cli.options import HERE, Environment, Folder, Json

app = typer.Typer(
    help="Records that were not accepted, and closes that a guard parked.", no_args_is_help=True, rich_markup_mode=None
)

MOST = 100_000  # rejections that are shown one by one
Stage = Annotated[
    str | None,
    typer.Option("--stage", help="normalise (a row), guard (a parked close or delete), deliver (a receiver)."),
]
Each = Annotated[bool, typer.Option("--all", help="Show each, newest first.")]
Ids = Annotated[list[str], typer.Argument(help="Numbers; or a dataset with --stage guard, a target with deliver.")]


@app.command("list")
def list_(
    stage: Stage = None, each: Each = False, project: Folder = HERE, env: Environment = None, json: Json = False
) -> None:
    """What was not accepted and why, counted by cause."""
    from postroad.app import App
    from postroad.cli import show

    with App.open(project, env) as opened:
        found = opened.rejections.list(stage, MOST) if each or json else opened.rejections.groups(stage)
    if json:
        show.as_json([show.plain(row) for row in found])
    elif each:
        columns = ("id", "dataset", "stage", "key", "cause", "sentence")
        show.table(f"{len(found):,} rejected or parked", columns, [[row[name] for name in columns] for row in found])
    else:
        grouped(found, stage)


def grouped(found: Sequence[Mapping[str, Any]], stage: str | None = None) -> None:
    """Show rejections that were counted by cause."""
    from postroad.cli import show

    records, causes = sum(row["records"] for row in found), len({row["cause"] for row in found if row["records"]})
    waiting = sum(row["newest"] is None for row in found)
    title = f"{_counted(records, 'record')}, {_counted(causes, 'cause')}"
    title += f"; {_counted(waiting, 'close or message', 'closes or messages')} waiting for you" if waiting else ""
    columns = ("dataset", "stage", "cause", "records", "newest", "sentence")
    rows = [[row[name] if name != "records" else row[name] or None for name in columns] for row in found]
    show.table(title, columns, rows)
    if records:
        print(f"`postroad rejected list --all{f' --stage {stage}' if stage else ''}` shows each")


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@app.command()
def show(
    rejection: Annotated[int, typer.Argument(help="The number of a rejection.")],
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
) -> None:
    """One rejection with the raw text of its row."""
    from postroad.app import App
    from postroad.cli import show as out

    with App.open(project, env) as opened:
        row = out.plain(opened.rejections.show(rejection))
    if json:
        out.as_json(row)
    else:
        out.table(f"rejection {rejection}", ("", "value"), row.items(), grouped=False)


@app.command()
def retry(
    dataset: Annotated[str, typer.Argument(help="A dataset, such as erp.invoices; a target with --stage deliver.")],
    stage: Annotated[str, typer.Option("--stage", help="guard, normalise or deliver.")] = "normalise",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
) -> None:
    """Try again: `guard` lets a parked close pass, compared anew; `normalise` reads the rows again from landing.

    `deliver` sends the current rows of what a target's receiver refused, and the messages that wait for you.
    """
    from postroad.app import App
    from postroad.cli import show
    from postroad.cli.report import Reporter

    if dry_run:
        with App.open(project, env) as opened:
            planned = opened.rejections.rehearse(dataset, stage)
        _rehearsed(planned, json=json)
        return
    began = time.monotonic()
    with Reporter(quiet=json) as reporter, App.open(project, env, reporter=reporter) as opened:
        report = opened.rejections.retry(dataset, stage)
    (show.report_json if json else show.report)(report, time.monotonic() - began)
    raise typer.Exit(report.exit_code)


def _rehearsed(planned: Sequence[Mapping[str, Any]], *, json: bool) -> None:
    from postroad.cli import show

    if json:
        show.as_json(planned)
        return
    columns = ("what", "cause", "happens")
    show.table(f"{len(planned):,} would be tried again", columns, [[row[name] for name in columns] for row in planned])
    for happens, count in Counter(row["happens"] for row in planned).most_common(10):
        if count > 1:
            print(f"{count:,}: {happens}")


@app.command()
def discard(what: Ids, stage: Stage = None, project: Folder = HERE, env: Environment = None) -> None:
    """Drop rejections by number, a dataset's parked close (`--stage guard`), a target's held messages (`deliver`)."""
    from postroad.app import App
    from postroad.errors import ConfigError

    with App.open(project, env) as opened:
        if stage == "guard":
            for dataset in what:
                opened.rejections.discard_parked(dataset)
                print(f"{dataset}: the parked close is dropped; its dataset stays as it is")
            return
        if stage == "deliver" and not all(each.isdigit() for each in what):
            for subscription in what:
                messages, records = opened.deliveries.discard(subscription)
                refused = f", {_counted(records, 'rejection')} too" if records else ""
                print(f"{subscription}: {_counted(messages, 'message')} dropped{refused}")
            return
        wrong = [each for each in what if not each.isdigit()]
        if wrong:
            raise ConfigError(f"'{wrong[0]}' is no number of a rejection; `postroad rejected list` shows them")
        print(f"{opened.rejections.discard([int(each) for each in what])} discarded")
