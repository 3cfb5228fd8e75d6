"""The commands of deliveries: `worker`, `pause`, `resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Verbose

Name = Annotated[str, typer.Argument(help="A subscription, by its target: appdb.invoices.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("pause")(pause)
    app.command("resume")(resume)


def worker(project: Folder = HERE, env: Environment = None, verbose: Verbose = False) -> None:
    """Deliver what is new, until stopped; any number of workers share the work.

    SIGTERM and Ctrl-C finish the message at hand; that is the end of a worker's work, with exit code 0.
    """
    from postroad.app import App
    from postroad.cli.arrow import without_pandas
    from postroad.cli.report import Reporter
    from postroad.cli.stopping import SignalledStop

    without_pandas()
    with (
        SignalledStop() as stop,
        Reporter(verbose=verbose) as reporter,
        App.open(project, env, reporter=reporter, stop=stop) as app,
    ):
        app.deliveries.work()


def pause(subscription: Name, project: Folder = HERE, env: Environment = None) -> None:
    """Send nothing more to a target; what is new waits for it."""
    from postroad.app import App

    with App.open(project, env) as app:
        app.deliveries.pause(subscription)
    print(f"{subscription} is paused; `postroad resume {subscription}` goes on with it")


def resume(subscription: Name, project: Folder = HERE, env: Environment = None) -> None:
    """Go on with a target that was paused, or that Postroad paused, or that is left alone after an outage."""
    from postroad.app import App

    with App.open(project, env) as app:
        app.deliveries.resume(subscription)
    print(f"{subscription} is resumed; the next run or worker sends what waits")
