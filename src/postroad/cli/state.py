"""`postroad state …`: the cursors of feeds."""

from __future__ import annotations

from typing import Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Json, Select

app = typer.Typer(help="The cursors of feeds: show, set, reset.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(select: Select = None, project: Folder = HERE, env: Environment = None, json: Json = False) -> None:
    """Where every feed stands."""
    from json import dumps

    from postroad.app import App
    from postroad.cli import show as out

    with App.open(project, env) as opened:
        found = opened.datasets.state(select)
    if json:
        out.as_json(found)
        return
    rows = [(name, each["last_payload"], dumps(each["cursor"], ensure_ascii=False)) for name, each in found.items()]
    out.table("feeds", ("feed", "last payload", "cursor"), rows)


@app.command("set")
def set_(
    feed: Annotated[str, typer.Argument(help="A feed, such as erp.changes.")],
    cursor: Annotated[str, typer.Argument(help="The cursor as JSON, as `state show --json` prints it.")],
    project: Folder = HERE,
    env: Environment = None,
) -> None:
    """Put another cursor in place; ends a live run of the feed first."""
    from json import JSONDecodeError, loads

    from postroad.app import App
    from postroad.errors import ConfigError

    try:
        value = loads(cursor)
    except JSONDecodeError as error:
        raise ConfigError(f"the cursor is not JSON: {error}") from error
    with App.open(project, env) as opened:
        opened.datasets.set_state(feed, value)
    print(f"{feed}: cursor set; the next run goes on from there")


@app.command()
def reset(
    select: Annotated[str, typer.Argument(help="A connection or one dataset.")],
    project: Folder = HERE,
    env: Environment = None,
) -> None:
    """Forget cursors and open walks and keep the data; the next run is a compared full refresh."""
    from postroad.app import App

    with App.open(project, env) as opened:
        for dataset in opened.datasets.reset_state(select):
            print(f"{dataset}: cursors and open walk forgotten; the next run is a compared full refresh")
