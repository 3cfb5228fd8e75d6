"""The commands that only look: `status`, `runs`, `query`."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from postroad.cli.options import HERE, Environment, Folder, Json, Select

if TYPE_CHECKING:
    from postroad.app.queue import QueueStatus
    from postroad.catalog.deliveries import SubscriptionStatus
    from postroad.catalog.status import DatasetStatus

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the answer as CSV.")]
MOST = 200  # rows that `query` shows as a table


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(status)
    app.command("runs")(runs)
    app.command("query")(query)


def status(select: Select = None, project: Folder = HERE, env: Environment = None, json: Json = False) -> None:
    """How every dataset and every delivery stands: what waits, is due, was refused; asks no remote system."""
    from postroad.app import App
    from postroad.cli import show

    with App.open(project, env) as app:
        found = app.datasets.status(select)
        deliveries = app.deliveries.status(select)
        calls = app.tracking.budget.counted()
        unsent = app.alerts.unsent()
        queue = app.deliveries.queue()
    if json:
        delivered = [each.as_dict() for each in deliveries]
        datasets = [each.as_dict() for each in found]
        told = {"datasets": datasets, "deliveries": delivered, "calls": calls, "alerts": unsent}
        show.as_json(told | ({"queue": queue.as_dict()} if queue else {}))
        return
    rows = [
        (
            each.dataset,
            each.state,
            each.rows,
            each.just_in,
            sum(each.rejected.values()),
            f"{each.last_poll:%Y-%m-%d %H:%M:%S}" if each.last_poll else "never",
        )
        for each in found
    ]
    show.table("datasets (times in UTC)", ("dataset", "state", "rows", "Just In", "rejected", "last poll"), rows)
    for each in found:
        for feed, doing in each.active.items():
            print(f"{feed}: {doing}")
        for feed, failure in each.failed.items():
            print(f"{feed}: {failure}")
        _notes(each)
    if deliveries:
        subscriptions(deliveries)
    if queue:
        _queue(queue)
    for mail in unsent:
        print(show.unsent(mail))


def _queue(queue: QueueStatus) -> None:
    if queue.problem:
        print(f"queue: {queue.problem}; what is dispatched waits in the database")
    if queue.dead:
        print(f"queue: the broker gave up {queue.dead} messages; the next run or worker takes them back")
    if queue.refused:
        print(
            f"queue: {queue.refused} that came in are no messages of ours: look at {queue.refused_queue} on the broker"
        )


def runs(limit: Limit = 20, project: Folder = HERE, env: Environment = None, json: Json = False) -> None:
    """The newest runs, each with its true status."""
    from postroad.app import App
    from postroad.cli import show

    with App.open(project, env) as app:
        found = app.runs.list(limit)
    if json:
        show.as_json([show.plain({name: value for name, value in row.items() if name != "token"}) for row in found])
        return
    rows = [
        (
            row["id"],
            f"{row['connection']}.{row['feed']}",
            row["status"],
            show.moment(row["started_at"]),
            show.moment(row["ended_at"] or row["wait_until"]),
            row["reason"] or row["successor"],
        )
        for row in found
    ]
    show.table("runs (times in UTC)", ("run", "feed", "status", "started", "ended or waits until", "reason"), rows)


def query(
    sql: Annotated[str, typer.Argument(help="SQL over tables such as erp.invoices and its …_changes.")],
    project: Folder = HERE,
    env: Environment = None,
    json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Ask the lake with DuckDB's SQL."""
    from postroad.app import App
    from postroad.cli import show

    with App.open(project, env) as app:
        answer = app.datasets.query(sql)
    if json:
        show.as_json(answer.to_pylist())
    elif as_csv:
        _print_csv(answer.column_names, answer.to_pylist())
    else:
        title = "1 row" if answer.num_rows == 1 else f"{answer.num_rows:,} rows"
        title += f", the first {MOST}" if answer.num_rows > MOST else ""
        show.records(title, answer.column_names, answer.slice(0, MOST).to_pylist())


def _notes(status: DatasetStatus) -> None:
    """What a person should know of a dataset, and what to type."""
    name = status.dataset
    if status.due:
        print(f"{name}: a full refresh is due: {status.due}{_cure(status)}")
    if status.open_walk_pages is not None:
        landed = f"{status.open_walk_pages} page{'' if status.open_walk_pages == 1 else 's'} landed"
        print(f"{name}: a walk is open with {landed}; `postroad run` goes on with it")
    if status.parked:
        print(
            f"{name}: a close is parked: {status.parked}; `postroad rejected retry {name} --stage guard` lets it pass,"
        )
        print(f"  `postroad rejected discard {name} --stage guard` drops it")
    for cause, count in sorted(status.rejected.items()):
        print(f"{name}: {count:,} rejected: {cause}; `postroad rejected list` shows them")


def subscriptions(found: list[SubscriptionStatus]) -> None:
    """How each receiver stands, and what to type."""
    from postroad.cli import show

    columns = ("delivered to", "from", "state", "lag", "behind", "in flight", "rejected", "last outcome")
    rows = [
        (
            each.subscription,
            each.dataset,
            each.state,
            each.lag,
            f"{each.lag_seconds:,.0f} s" if each.lag else "",
            each.in_flight,
            sum(each.rejected.values()),
            each.last_outcome,
        )
        for each in found
    ]
    show.table("deliveries", columns, rows)
    for each in found:
        name = each.subscription
        if each.state == "paused":
            print(f"{name}: paused: {each.reason}; `postroad resume {name}` goes on")
        elif each.reason:
            print(each.reason if each.reason.startswith(f"{name} ") else f"{name}: {each.reason}")
        if each.handed_since:
            since = f"the oldest since {each.handed_since:%Y-%m-%d %H:%M:%S} UTC"
            print(f"{name}: {each.handed_over:,} records handed over, {since}; their receipts are to come")
        if each.waits_until:
            print(f"{name}: left alone until {each.waits_until:%Y-%m-%d %H:%M:%S} UTC: {each.last_outcome}")
        if each.held:
            print(f"{name}: {each.held} messages wait for you: `postroad rejected list --stage deliver` says why,")
            print(f"  `postroad rejected retry {name} --stage deliver` sends them again, `discard` drops them")
        for cause, count in sorted(each.rejected.items()):
            print(f"{name}: {count:,} rejected: {cause}; `postroad rejected list --stage deliver` shows them")


def _cure(status: DatasetStatus) -> str:
    if status.parked:
        return ""
    if status.dropped:
        return "; its last close was discarded, `postroad run --full-refresh` begins another"
    return "; `postroad run` does it"


def _print_csv(columns: list[str], rows: list[dict[str, object]]) -> None:
    writer = csv.DictWriter(sys.stdout, columns)
    writer.writeheader()
    writer.writerows(rows)
