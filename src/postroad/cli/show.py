"""Answers on standard output: tables for people, JSON for programs."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from postroad.app.runs import Report

NARROWEST = 10  # characters that a column of data needs to be read
WIDTH = 240
console = Console(highlight=False, markup=False, emoji=False)  # data may look like markup


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, grouped: bool = True) -> None:
    """Print a table; numbers stand to the right. Counts are grouped by thousands, ids must not be."""
    rows = [list(row) for row in rows]
    shown = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        # The first column names the row: it is read whole.
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=index == 0)
    for row in rows:
        shown.add_row(*(_text(value, grouped=grouped) for value in row))
    _paper().print(shown)


def records(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of data, one below the other; where that has too many columns to be read, a table for each row."""
    if not rows or len(columns) * NARROWEST <= _paper().width:
        table(title, columns, [tuple(row.values()) for row in rows], grouped=False)
        return
    line(title)
    for number, row in enumerate(rows, 1):
        table(f"row {number}", ("column", "value"), row.items(), grouped=False)


def _paper() -> Console:
    """A pipe has no width: nothing is folded or cut off for it."""
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=WIDTH)


def line(text: str) -> None:
    """Print a line as it is, never folded: data may look like markup."""
    console.print(text, soft_wrap=True)


def as_json(value: object) -> None:
    """Print a value as JSON."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def report(done: Report, seconds: float) -> None:
    """The closing table of a run, and how each feed's run ended."""
    columns = ("dataset", "read", "new", "changed", "deleted", "rejected", "parked")
    rows = [
        (name, each.read, each.new, each.changed, each.deleted, each.rejected, each.parked)
        for name, each in sorted(done.counts.items())
    ]
    cost = f"{seconds:.1f} s, peak memory {peak_mib()} MiB"
    if rows or not done.deliveries:
        table(cost, columns, rows or [("nothing new", 0, 0, 0, 0, 0, 0)])
    if done.deliveries:
        found = sorted(done.deliveries.items())
        handed = ["handed_over"] if any(each.handed_over for _, each in found) else []
        counted = ["messages", "records", "rejected", *handed]
        shown = [(name, *(vars(each)[column] for column in counted), each.problem) for name, each in found]
        table(
            "deliveries" if rows else cost, ("to", *(column.replace("_", " ") for column in counted), "problem"), shown
        )
    for outcome in done.outcomes:
        if outcome.status != "succeeded":
            told = outcome.until is None or "until" in (outcome.reason or "")
            until = "" if told else f" until {outcome.until:%Y-%m-%d %H:%M:%S} UTC"
            reason = f": {outcome.reason}" if outcome.reason else ""
            line = f"{outcome.connection}.{outcome.feed} {outcome.status}{until}{reason}"
            console.print(line, soft_wrap=True)


def report_json(done: Report, seconds: float, **more: Any) -> None:
    """The same for programs; `more` stands beside it."""
    as_json(
        {
            **more,
            "runs": [vars(outcome) for outcome in done.outcomes],
            "datasets": {name: each.as_dict() for name, each in sorted(done.counts.items())},
            "deliveries": {name: each.as_dict() for name, each in sorted(done.deliveries.items())},
            "seconds": round(seconds, 3),
            "peak_memory_mib": peak_mib(),
        }
    )


def unsent(mail: Mapping[str, Any]) -> str:
    """A mail that did not reach somebody, and why; without a subject, addresses that refuse mail."""
    why = "; ".join(f"{address}: {answer or 'not tried yet'}" for address, answer in mail["unsent"].items())
    if mail["subject"] is None:
        return f"alerts are refused: {why}; correct notify.to in postroad.yaml"
    return f"an alert of {mail['made_at']:%Y-%m-%d %H:%M:%S} UTC is not sent ({mail['subject']}): {why}"


def peak_mib() -> int:
    """The most memory that this process held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def moment(microseconds: int | None) -> str:
    """A stored time for people, in UTC."""
    return "" if microseconds is None else f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S}"


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of tracking for JSON: times as ISO texts."""
    return {name: _iso(value) if name.endswith(("_at", "_until")) else value for name, value in row.items()}


def _iso(value: int | None) -> str | None:
    return None if value is None else datetime.fromtimestamp(value / 1e6, UTC).isoformat()


def _text(value: Any, *, grouped: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list | dict):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return f"{value:,}" if grouped and isinstance(value, int) and not isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
