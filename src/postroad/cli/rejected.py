"""`postroad rejected …`: records that were not accepted, by us or a receiver, and closes that a guard parked."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Json

app = typer.Typer(
    help="Records that were not accepted, and closes that a guard parked.", no_args_is_help=True, rich_markup_mode=None
)

Stage = Annotated[
    str | None,
    typer.Option("--stage", help="normalise (a row), guard (a parked close or delete), deliver (a receiver)."),
]
Ids = Annotated[list[str], typer.Argument(help="Numbers; or a dataset with --stage guard, a target with deliver.")]


@app.command("list")
def list_(stage: Stage = None, project: Folder = HERE, env: Environment = None, json: Json = False) -> None:
    """What was not accepted and why, newest first."""
    from postroad.app import App
    from postroad.cli import show

    with App.open(project, env) as opened:
        found = opened.rejections.list(stage)
    if json:
        show.as_json([show.plain(row) for row in found])
        return
    columns = ("id", "dataset", "stage", "key", "cause", "sentence")
    show.table(f"{len(found):,} rejected or parked", columns, [tuple(row[name] for name in columns) for row in found])
    for cause, count in Counter(row["cause"] for row in found).most_common():
        print(f"{count:,} {cause}")


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
        out.table(f"rejection {rejection}", ("", "value"), row.items())


@app.command()
def retry(
    dataset: Annotated[str, typer.Argument(help="A dataset, such as erp.invoices; a target with --stage deliver.")],
    stage: Annotated[str, typer.Option("--stage", help="guard, normalise or deliver.")] = "normalise",
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
) -> None:
    """Try again: `guard` lets a parked close pass, compared anew; `normalise` reads the rows again from landing.

    `deliver` sends what a target's receiver refused, of each key the newest, and the messages that wait for you.
    """
    from postroad.app import App
    from postroad.cli import show
    from postroad.cli.report import Reporter

    began = time.monotonic()
    with Reporter(quiet=json) as reporter, App.open(project, env, reporter=reporter) as opened:
        report = opened.rejections.retry(dataset, stage)
    (show.report_json if json else show.report)(report, time.monotonic() - began)
    raise typer.Exit(report.exit_code)


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
                print(f"{subscription}: {opened.deliveries.discard(subscription)} held messages dropped")
            return
        wrong = [each for each in what if not each.isdigit()]
        if wrong:
            raise ConfigError(f"'{wrong[0]}' is no number of a rejection; `postroad rejected list` shows them")
        print(f"{opened.rejections.discard([int(each) for each in what])} discarded")
