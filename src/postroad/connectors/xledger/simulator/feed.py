"""Pages of the delta feed (fact sheet 2.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from postroad.connectors.xledger.simulator.company import PLACE, Column
from postroad.connectors.xledger.simulator.deltas import Delta
from postroad.connectors.xledger.simulator.filters import OWNER_SETS
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import Arguments, Page, Struck, amount, local_time
from postroad.connectors.xledger.simulator.render import Texts, joined, row_column, text
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.switches import Switches


def delta_page(store: Store, switches: Switches, arguments: Arguments, struck: Struck) -> Page:
    """The mutations that these arguments ask for, oldest first."""
    asked = amount(arguments, switches)
    owners = OWNER_SETS[arguments.get("ownerSet") or switches.owner_set_default]
    everything = store.log.between(0, None, owners)
    page: list[Delta] = asked.of(store.log.between(*_range(store, switches, arguments, struck), owners))
    view = _Deltas(store, page, switches.null_reference == "zero", "null_current" in struck)
    return Page(
        len(page),
        lambda: [store.log.sync_version(delta) for delta in page],
        view.texts,
        lambda: bool(page) and everything[-1].version > page[-1].version,
        lambda: bool(page) and everything[0].version < page[0].version,
        view.own_column,
    )


def _range(store: Store, switches: Switches, arguments: Arguments, struck: Struck) -> tuple[int, int | None]:
    """The versions between which deltas are asked; an expired cursor as the switch, or a fault, says."""
    after, before = arguments.get("after"), arguments.get("before")
    start = 0 if after is None else _version(store, after)
    stop = None if before is None else _version(store, before)
    expired = after is not None and (start is None or store.log.is_expired(start, switches.expired_when))
    forced = struck.get("expired_cursor")
    if after is None or not (expired or forced):
        return start or 0, stop
    mode = forced.options.get("mode", switches.expired_cursor) if forced else switches.expired_cursor
    if mode == "error":
        raise RefusedError("The cursor is no longer valid.")
    return (0, stop) if mode == "oldest" else (0, 0)


def _version(store: Store, cursor: str) -> int | None:
    try:
        return store.log.version_of(cursor)
    except ValueError as mistake:
        raise RefusedError(f"Invalid cursor `{cursor}`.") from mistake


@dataclass(frozen=True)
class _Deltas:
    """Mutations, with the rows as they were then."""

    store: Store
    page: list[Delta]
    zero: bool
    without_current: bool

    def texts(self, node: Selected) -> list[str]:
        """The JSON text of each node."""
        return joined(node.fields, lambda field: self._column(node.kind, field), len(self.page))

    def own_column(self, field: Selected) -> Texts:
        """The fields that belong to the mutation itself."""
        if field.name == "mutationType":
            return [text(delta.kind) for delta in self.page]
        if field.name == "mutatedAt":
            return [text(local_time(delta.at)) for delta in self.page]
        return [text(self.store.log.sync_version(delta)) for delta in self.page]

    def _column(self, kind: str, field: Selected) -> Texts:
        if field.name in {"mutationType", "mutatedAt", "syncVersion"}:
            return self.own_column(field)
        if field.name == "_current":
            return self._current(field)
        # Names of references are those of the time of the mutation: each delta holds its catalogue.
        found: list[str] = []
        for _, group in groupby(self.page, lambda delta: id(delta.catalog)):
            deltas = list(group)
            found += row_column(field, kind, _stored(deltas), deltas[0].catalog, self.zero)
        return found

    def _current(self, field: Selected) -> list[str]:
        """The rows as they are now; null for one that is gone or cannot be read."""
        numbers = set() if self.without_current else {delta.number for delta in self.page} - self.store.unreadable
        rows = {number: row for number in sorted(numbers) if (row := self.store.row(number)) is not None}

        def values(name: str) -> Column:
            return [row[PLACE[name]] for row in rows.values()]

        def column(inner: Selected) -> Texts:
            return row_column(inner, field.kind, values, self.store.catalog, self.zero)

        by_number = dict(zip(rows, joined(field.fields, column, len(rows)), strict=True))
        return [by_number.get(delta.number, "null") for delta in self.page]


def _stored(deltas: list[Delta]) -> Callable[[str], Column]:
    return lambda name: [delta.row[PLACE[name]] for delta in deltas]
