"""The steps of `postroad check`: the project's files, then what it stored, then its connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from postroad.app import App
from postroad.cli import show
from postroad.errors import PostroadError
from postroad.project import check_project
from postroad.records import Check


def litter(folder: Path, environment: str | None) -> list[str]:
    """Every file of the lake that nothing refers to."""
    with App.open(folder, environment) as app:
        return app.datasets.litter()


def steps(folder: Path, environment: str | None, *, connect: bool) -> Iterator[Check]:
    """Every step; what follows a failed one that it needs is left out."""
    ok = True
    for step in check_project(folder, environment):
        ok = ok and step.ok
        yield step
    if not ok:
        return
    with App.open(folder, environment) as app:
        yield from _deliveries(app)
        yield from _stored(app)
        yield from _alerts(app)
        if connect:
            yield from app.alerts.check()
            yield from app.deliveries.check_queue()
            for connection in app.project.connections:
                yield from _connection(app, connection)


def _deliveries(app: App) -> Iterator[Check]:
    if not app.project.deliveries:
        return
    mistakes = app.deliveries.mistakes()
    yield from (Check("deliveries", False, str(mistake)) for mistake in mistakes)
    if not mistakes:
        sentence = f"{len(app.project.deliveries)}; their datasets have the columns that they name"
        yield Check("deliveries", True, sentence)


def _stored(app: App) -> Iterator[Check]:
    gone = app.datasets.missing()
    yield Check("listed files", not gone, f"{len(gone)} are gone, {gone[0]} among them" if gone else "all there")
    left = app.datasets.litter()
    whence = "left by attempts that died, being written by a live run, or listed in a database that was lost"
    sentence = (
        f"{len(left)} that nothing refers to, {left[0]} among them: {whence}; `--litter` lists them" if left else "none"
    )
    yield Check("litter", True, sentence)


def _alerts(app: App) -> Iterator[Check]:
    if app.project.notify is None:
        return
    unsent = app.alerts.unsent()
    told = show.unsent(unsent[0]) if unsent else f"to {', '.join(app.project.notify.to)}; all are sent"
    more = f", and {len(unsent) - 1} more" if len(unsent) > 1 else ""
    yield Check("alerts", not unsent, told + more)


def _connection(app: App, connection: str) -> Iterator[Check]:
    """Of a connection its source or, where it has none, its destination."""
    if app.takes_deliveries_only(connection):
        with app.destination(connection) as destination:
            yield from (Check(f"{connection}: {step.step}", step.ok, step.sentence) for step in destination.check())
        return
    source = app.source(connection)
    named = app.entities(connection)
    try:
        for step in source.check():
            if step.entity and named and step.entity not in named:
                continue  # No flow asks for it, so nobody needs a right to it.
            yield Check(f"{connection}: {step.step}", step.ok, step.sentence)
    except PostroadError as error:
        yield Check(connection, False, str(error))
    finally:
        source.close()
