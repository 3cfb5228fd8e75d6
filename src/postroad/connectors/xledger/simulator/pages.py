"""What the connections have in common: the arguments of a page, and its JSON text (fact sheet 1.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.render import Texts, joined, json_object, object_text, text
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.sdk.simulator import Fault

LOCAL = ZoneInfo("Europe/Oslo")
Arguments = Mapping[str, Any]
Struck = Mapping[str, Fault]
"""The faults that strike one root field, by kind."""


@dataclass(frozen=True)
class Page:
    """What one connection answers: how many edges, their cursors and nodes on demand, and what lies around them."""

    count: int
    cursors: Callable[[], list[str]]
    nodes: Callable[[Selected], list[str]]
    has_next: Callable[[], bool]
    has_previous: Callable[[], bool]
    edge_column: Callable[[Selected], Texts] | None = None


@dataclass(frozen=True)
class Amount:
    """How many rows a page may hold, and whether they are the last ones."""

    count: int
    backward: bool

    def of(self, found: list[Any]) -> list[Any]:
        """That many of the rows that were found, in ascending order."""
        if not self.count:
            return []
        return found[-self.count :] if self.backward else found[: self.count]


def amount(arguments: Arguments, switches: Switches) -> Amount:
    """What `first` and `last` ask for; a RefusedError if the remote system would not take it."""
    asked = [name for name in ("first", "last") if arguments.get(name) is not None]
    if len(asked) == 2:
        raise RefusedError("Specify either `first` or `last`, not both.")
    count = arguments[asked[0]] if asked else switches.page_default
    if count < 0:
        raise RefusedError(f"`{asked[0]}` cannot be negative.")
    if count > switches.page_limit and switches.page_limit_mode == "error":
        raise RefusedError(f"At most {switches.page_limit} records can be asked for.")
    return Amount(min(count, switches.page_limit), asked == ["last"])


def id_cursor(cursor: str) -> int:
    """The dbId in a cursor of an ordinary connection."""
    if not cursor.isdecimal():
        raise RefusedError(f"Invalid cursor `{cursor}`.")
    return int(cursor)


def local_time(moment: float) -> str:
    """A time as the remote system writes it: local, without zone (fact sheet 1.6)."""
    return datetime.fromtimestamp(moment, UTC).astimezone(LOCAL).strftime("%Y-%m-%dT%H:%M:%S")


def connection_json(selected: Selected, page: Page, struck: Struck) -> bytes:
    """The JSON of a connection."""
    return json_object((field.key, _member(selected, field, page, struck)) for field in selected.fields)


def _member(connection: Selected, part: Selected, page: Page, struck: Struck) -> bytes:
    if part.name == "__typename":
        return text(connection.kind).encode()
    if part.name == "pageInfo":
        return _page_info(part, page, stuck="null_edges" in struck or "repeat_cursor" in struck)
    if "null_edges" in struck or not page.count:
        return b"null"
    edges = joined(part.fields, lambda field: _edge_column(connection, part, field, page, struck), page.count)
    # Row by row: one text of 7 MB would take four bytes a character as soon as one row holds an emoji.
    return b"[" + b",".join([edge.encode() for edge in edges]) + b"]"


def _page_info(part: Selected, page: Page, stuck: bool) -> bytes:
    """Only what is selected is computed: to look behind a filtered page can take a scan."""
    asked = {field.name for field in part.fields}
    following = "hasNextPage" in asked and (stuck or page.has_next())
    previous = "hasPreviousPage" in asked and page.has_previous()
    return object_text(part, {"hasNextPage": following, "hasPreviousPage": previous}).encode()


def _edge_column(connection: Selected, edge: Selected, field: Selected, page: Page, struck: Struck) -> Texts:
    if field.name == "__typename":
        return [text(edge.kind)] * page.count
    if field.name == "cursor":
        cursors = page.cursors()
        if "repeat_cursor" in struck:
            cursors = [connection.arguments.get("after") or cursors[0]] * page.count
        return [text(cursor) for cursor in cursors]
    if field.name == "node":
        return ["null"] * page.count if "null_nodes" in struck else page.nodes(field)
    if page.edge_column is None:
        raise RefusedError(f"Cannot query field `{field.name}`.")
    return page.edge_column(field)
