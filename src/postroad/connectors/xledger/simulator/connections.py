"""The three connections: which rows a page holds, and its JSON text (fact sheet 1.4 and 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from postroad.connectors.xledger.simulator.company import BLOCK, PLACE, Column
from postroad.connectors.xledger.simulator.deltas import Delta
from postroad.connectors.xledger.simulator.filters import OWNER_SETS, Span, filtered, only_numbers, scope, span
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.render import Texts, joined, object_text, row_column, text
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Condition, Part, Store
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.sdk.simulator import Fault

LOCAL = ZoneInfo("Europe/Oslo")
Arguments = dict[str, Any]


@dataclass
class Page:
    """What one connection answers: how many edges, their cursors and nodes on demand, and what lies around them."""

    count: int
    cursors: Callable[[], list[str]]
    nodes: Callable[[Selected], list[str]]
    edge_field: Callable[[Selected], Texts]
    has_next: Callable[[], bool]
    has_previous: Callable[[], bool]


@dataclass
class Connections:
    """Answers the root fields of one request, under the faults that strike it. `rows` counts the edges."""

    store: Store
    switches: Switches
    now: float
    faults: Sequence[Fault] = ()
    rows: int = field(default=0)

    def text(self, selected: Selected) -> str:
        """The JSON text of one root field; a RefusedError if it cannot be answered."""
        struck = {fault.kind: fault for fault in self.faults if fault.root in (None, selected.name)}
        if "field_error" in struck:
            options = struck["field_error"].options
            raise RefusedError(options.get("message", "Internal error."), options.get("code", "UNHANDLED_ERROR"))
        page = {"timesheets": self._timesheets, "timesheet_deltas": self._deltas, "entities": self._entities}[
            selected.name
        ](selected, struck)
        self.rows += page.count
        return _connection_text(selected, page, struck)

    def _limit(self, arguments: Arguments) -> tuple[int, bool]:
        """How many rows are asked for, and whether the last ones."""
        asked = [name for name in ("first", "last") if arguments.get(name) is not None]
        if len(asked) == 2:
            raise RefusedError("Specify either `first` or `last`, not both.")
        count = arguments[asked[0]] if asked else self.switches.page_default
        if count < 0:
            raise RefusedError(f"`{asked[0]}` cannot be negative.")
        if count > self.switches.page_limit and self.switches.page_limit_mode == "error":
            raise RefusedError(f"At most {self.switches.page_limit} records can be asked for.")
        return min(count, self.switches.page_limit), asked == ["last"]

    def _timesheets(self, selected: Selected, struck: dict[str, Fault]) -> Page:
        store, arguments = self.store, selected.arguments
        count, backward = self._limit(arguments)
        condition, possible = self._condition(arguments)
        low, high = possible.low, possible.high
        if arguments.get("after") is not None:
            low = max(low, store.company.number_at(_walk_cursor(arguments["after"]) + 1))
        if arguments.get("before") is not None:
            high = min(high, store.company.number_at(_walk_cursor(arguments["before"])))
        parts = self._take(condition, possible, low, high, count, backward)
        size = sum(len(part.places) for part in parts)
        first = parts[0].block * BLOCK + parts[0].places[0] if parts else 0
        last = parts[-1].block * BLOCK + parts[-1].places[-1] if parts else 0
        view = _Rows(store, parts, self.switches.null_reference == "zero")
        return Page(
            size,
            lambda: [str(value) for value in store.gather("dbId", parts)],
            view.texts,
            _no_edge_field,
            lambda: bool(parts) and bool(self._take(condition, possible, last + 1, possible.high, 1, False)),
            lambda: bool(parts) and bool(self._take(condition, possible, possible.low, first, 1, True)),
        )

    def _condition(self, arguments: Arguments) -> tuple[Condition, Span]:
        switches = self.switches
        owners = arguments.get("ownerSet") or switches.owner_set_default
        status = arguments.get("objectStatus") or switches.object_status_default
        asked = arguments.get("filter") or {}
        self._check_ids(asked)
        possible = span(asked, self.store)
        condition = filtered(asked, scope(owners, status))
        if possible.only is not None:
            return only_numbers(possible.only - self.store.unreadable, condition), possible
        return condition, possible

    def _check_ids(self, asked: Arguments) -> None:
        most, ids = self.switches.dbid_in_limit, asked.get("dbId_in") or ()
        if most is not None and len(ids) > most:
            raise RefusedError(f"At most {most} values can be given for `dbId_in`.")

    def _take(
        self, condition: Condition, possible: Span, low: int, high: int, count: int, backward: bool
    ) -> list[Part]:
        """The first, or last, `count` rows with low <= number < high, in ascending order."""
        taken: list[Part] = []
        for part in self._parts(condition, possible, low, high, backward):
            if count <= 0:
                break
            places = part.places[-count:] if backward else part.places[:count]
            count -= len(places)
            if places:
                taken.append(Part(part.block, places))
        return taken[::-1] if backward else taken

    def _parts(self, condition: Condition, possible: Span, low: int, high: int, backward: bool) -> Iterator[Part]:
        store = self.store
        if possible.only is None:
            yield from store.backward(condition, low, high) if backward else store.forward(condition, low, high)
            return
        for block in sorted({number // BLOCK for number in possible.only if low <= number < high}, reverse=backward):
            yield from store.forward(condition, max(low, block * BLOCK), min(high, (block + 1) * BLOCK))

    def _deltas(self, selected: Selected, struck: dict[str, Fault]) -> Page:
        store, arguments = self.store, selected.arguments
        count, backward = self._limit(arguments)
        owners = OWNER_SETS[arguments.get("ownerSet") or self.switches.owner_set_default]
        everything = store.log.between(0, None, owners)
        mode = struck["expired_cursor"].options.get("mode") if "expired_cursor" in struck else None
        found = store.log.between(*self._range(arguments, mode), owners)
        page = (found[-count:] if backward else found[:count]) if count else []
        view = _Deltas(store, page, self.switches.null_reference == "zero", "null_current" in struck)
        return Page(
            len(page),
            lambda: [store.log.sync_version(delta) for delta in page],
            view.texts,
            view.own_column,
            lambda: bool(page) and everything[-1].version > page[-1].version,
            lambda: bool(page) and everything[0].version < page[0].version,
        )

    def _range(self, arguments: Arguments, mode: str | None) -> tuple[int, int | None]:
        """The versions between which deltas are asked; an expired cursor as the switch, or a fault, says."""
        after, before = arguments.get("after"), arguments.get("before")
        start = 0 if after is None else self._version(after)
        stop = None if before is None else self._version(before)
        expired = after is not None and (start is None or self.store.log.is_expired(start, self.switches.expired_when))
        if not expired and mode is None:
            return start or 0, stop
        mode = mode or self.switches.expired_cursor
        if mode == "error":
            raise RefusedError("The cursor is no longer valid.")
        return (0, stop) if mode == "oldest" else (0, 0)

    def _version(self, cursor: str) -> int | None:
        try:
            return self.store.log.version_of(cursor)
        except ValueError as mistake:
            raise RefusedError(f"Invalid cursor `{cursor}`.") from mistake

    def _entities(self, selected: Selected, struck: dict[str, Fault]) -> Page:
        arguments = selected.arguments
        count, backward = self._limit(arguments)
        places = OWNER_SETS[arguments.get("ownerSet") or self.switches.owner_set_default]
        everything = [self.store.catalog["owner"][place] for place in sorted(places)]
        low = _walk_cursor(arguments["after"]) if arguments.get("after") is not None else 0
        high = _walk_cursor(arguments["before"]) if arguments.get("before") is not None else 1 << 62
        found = [entity for entity in everything if low < entity["dbId"] < high]
        page = (found[-count:] if backward else found[:count]) if count else []
        return Page(
            len(page),
            lambda: [str(entity["dbId"]) for entity in page],
            lambda node: [object_text(node, entity) for entity in page],
            _no_edge_field,
            lambda: bool(page) and everything[-1]["dbId"] > page[-1]["dbId"],
            lambda: bool(page) and everything[0]["dbId"] < page[0]["dbId"],
        )


@dataclass
class _Rows:
    """Timesheets as they are now."""

    store: Store
    parts: list[Part]
    zero: bool

    def texts(self, node: Selected) -> list[str]:
        """The JSON text of each row."""
        count = sum(len(part.places) for part in self.parts)
        return joined(
            node.fields, lambda each: row_column(each, node.kind, self._values, self.store.catalog, self.zero), count
        )

    def _values(self, name: str) -> Column:
        return self.store.gather(name, self.parts)


@dataclass
class _Deltas:
    """Mutations, with the rows as they were then."""

    store: Store
    page: list[Delta]
    zero: bool
    without_current: bool

    def texts(self, node: Selected) -> list[str]:
        """The JSON text of each node."""
        return joined(node.fields, self._column, len(self.page))

    def own_column(self, selected: Selected) -> Texts:
        """The fields that belong to the mutation itself."""
        if selected.name == "mutationType":
            return [text(delta.kind) for delta in self.page]
        if selected.name == "mutatedAt":
            return [text(local_time(delta.at)) for delta in self.page]
        return [text(self.store.log.sync_version(delta)) for delta in self.page]

    def _column(self, selected: Selected) -> Texts:
        if selected.name in ("mutationType", "mutatedAt", "syncVersion"):
            return self.own_column(selected)
        if selected.name == "_current":
            return self._current(selected)
        if selected.name == "__typename":
            return [text("TimesheetDelta")] * len(self.page)
        # Names of references are those of the time of the mutation: each delta holds its catalogue.
        found: list[str] = []
        for _, group in groupby(self.page, lambda delta: id(delta.catalog)):
            deltas = list(group)
            found += row_column(selected, "TimesheetDelta", _stored(deltas), deltas[0].catalog, self.zero)
        return found

    def _current(self, selected: Selected) -> list[str]:
        """The rows as they are now; null for one that is gone or cannot be read."""
        numbers = {delta.number for delta in self.page} - self.store.unreadable
        rows = {number: row for number in sorted(numbers) if (row := self.store.row(number)) is not None}
        if self.without_current:
            rows.clear()
        stored = list(rows.values())

        def values(name: str) -> Column:
            return [row[PLACE[name]] for row in stored]

        found = joined(
            selected.fields,
            lambda each: row_column(each, selected.kind, values, self.store.catalog, self.zero),
            len(stored),
        )
        by_number = dict(zip(rows, found, strict=True))
        return [by_number.get(delta.number, "null") for delta in self.page]


def _stored(deltas: list[Delta]) -> Callable[[str], Column]:
    return lambda name: [delta.row[PLACE[name]] for delta in deltas]


def local_time(moment: float) -> str:
    """A time as the remote system writes it: local, without zone (fact sheet 1.6)."""
    return datetime.fromtimestamp(moment, UTC).astimezone(LOCAL).strftime("%Y-%m-%dT%H:%M:%S")


def _walk_cursor(cursor: str) -> int:
    if not cursor.isdecimal():
        raise RefusedError(f"Invalid cursor `{cursor}`.")
    return int(cursor)


def _no_edge_field(selected: Selected) -> Texts:
    raise RefusedError(f"Cannot query field `{selected.name}`.")


def _connection_text(selected: Selected, page: Page, struck: dict[str, Fault]) -> str:
    members = [f"{text(field.key)}:{_part_text(selected, field, page, struck)}" for field in selected.fields]
    return "{" + ",".join(members) + "}"


def _part_text(connection: Selected, part: Selected, page: Page, struck: dict[str, Fault]) -> str:
    if part.name == "__typename":
        return text(connection.kind)
    if part.name == "pageInfo":
        stuck = "null_edges" in struck or "repeat_cursor" in struck
        flags = {"hasNextPage": stuck or page.has_next(), "hasPreviousPage": page.has_previous()}
        return object_text(part, flags)
    if "null_edges" in struck or not page.count:
        return "null"
    return (
        "["
        + ",".join(joined(part.fields, lambda each: _edge_column(connection, part, each, page, struck), page.count))
        + "]"
    )


def _edge_column(connection: Selected, edge: Selected, each: Selected, page: Page, struck: dict[str, Fault]) -> Texts:
    if each.name == "__typename":
        return [text(edge.kind)] * page.count
    if each.name == "cursor":
        cursors = page.cursors()
        if "repeat_cursor" in struck:
            cursors = [connection.arguments.get("after") or cursors[0]] * page.count
        return [text(cursor) for cursor in cursors]
    if each.name == "node":
        nodes = page.nodes(each)
        return ["null"] * page.count if "null_nodes" in struck else nodes
    return page.edge_field(each)
