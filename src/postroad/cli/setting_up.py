"""The commands around a project: `init`, `check`, `simulate`, `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Json

Passed = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
Example = Annotated[
    list[str] | None, typer.Option("--example", help="A connector whose example is written; several make one project.")
]
Connect = Annotated[bool, typer.Option("--connect", help="Also try every connection, step by step.")]

Litter = Annotated[bool, typer.Option("--litter", help="Only list every file of the lake that nothing refers to.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init)
    app.command("check")(check)
    app.command("simulate", context_settings=Passed)(simulate)
    app.command("demo")(demo)


def init(folder: Annotated[Path, typer.Argument(help="Where to write it.")], example: Example = None) -> None:
    """Write a new project; with `--example NAME` one that runs against the simulator."""
    from postroad.project import init_project

    written = init_project(folder, *(example or ()))
    for path in written:
        print(f"wrote {path}")
    # An example's README says how to start its simulator and what to type next.
    for path in written:
        if example and path.name == "README.md":
            print(f"\n{path.read_text().rstrip()}")


def check(
    connect: Connect = False,
    litter: Litter = False,
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
) -> None:
    """Read the project, resolve its secrets, look for lost and unlisted files; all mistakes at once."""
    from postroad.cli import checking, show

    if litter:
        paths = checking.litter(project, env)
        show.as_json(paths) if json else print("\n".join(paths))
        return
    steps = list(checking.steps(project, env, connect=connect))
    if json:
        show.as_json([vars(step) for step in steps])
    else:
        rows = [("ok" if step.ok else "FAILED", step.step, step.sentence) for step in steps]
        show.table("check", ("", "step", ""), rows)
    if any(not step.ok for step in steps):
        raise typer.Exit(2)


def simulate(
    context: typer.Context,
    connector: Annotated[str, typer.Argument(help="The connector whose remote system is simulated.")],
) -> None:
    """Run the simulator of a connector; `postroad simulate NAME --help` shows its options."""
    from postroad.sdk.registry import load_simulator

    if connector in ("--help", "-h"):
        print(context.get_help())
        return
    load_simulator(connector)(context.args)


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where to put the demo's project; what an earlier demo left there is deleted.")
    ] = Path("demo"),
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many the largest of the datasets has.")] = 21_000,
) -> None:
    """Sync everything that is simulated, change some of it, sync again, and query the result."""
    from postroad.cli.demo import run_demo

    run_demo(folder, rows)
