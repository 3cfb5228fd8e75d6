"""Pages of a delta feed (fact sheet 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from postroad.connectors.xledger.simulator.declare import Column
from postroad.connectors.xledger.simulator.deltas import Delta
from postroad.connectors.xledger.simulator.filters import OWNER_SETS
from postroad.connectors.xledger.simulator.generate import Row
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import Arguments, Page, Struck, amount, local_time
from postroad.connectors.xledger.simulator.render import Shown, Texts, column_texts, joined, row_texts, text
from postroad.connectors.xledger.simulator.schema import OWN
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Rows
from postroad.connectors.xledger.simulator.switches import Switches


def delta_page(rows: Rows, switches: Switches, arguments: Arguments, struck: Struck) -> Page:
    """The mutations that these arguments ask for, oldest first."""
    asked = amount(arguments, switches)
    owners = OWNER_SETS[arguments.get("ownerSet") or switches.owner_set_default]
    log = rows.log
    everything = log.between(0, None, owners)
    page: list[Delta] = asked.of(log.between(*_range(rows, switches, arguments, struck), owners))
    view = _Deltas(rows, page, switches, "null_current" in struck)
    return Page(
        len(page),
        lambda: [log.sync_version(delta) for delta in page],
        view.texts,
        lambda: bool(page) and everything[-1].version > page[-1].version,
        lambda: bool(page) and everything[0].version < page[0].version,
        view.own_column,
    )


def _range(rows: Rows, switches: Switches, arguments: Arguments, struck: Struck) -> tuple[int, int | None]:
    """The versions between which deltas are asked; an expired cursor as the switch, or a fault, says."""
    after, before = arguments.get("after"), arguments.get("before")
    start = 0 if after is None else _version(rows, after)
    stop = None if before is None else _version(rows, before)
    expired = after is not None and (start is None or rows.log.is_expired(start, switches.expired_when))
    forced = struck.get("expired_cursor")
    if after is None or not (expired or forced):
        return start or 0, stop
    mode = forced.options.get("mode", switches.expired_cursor) if forced else switches.expired_cursor
    if mode == "error":
        raise RefusedError("The cursor is no longer valid.")
    return (0, stop) if mode == "oldest" else (0, 0)


def _version(rows: Rows, cursor: str) -> int | None:
    try:
        return rows.log.version_of(cursor)
    except ValueError as mistake:
        raise RefusedError(f"Invalid cursor `{cursor}`.") from mistake


@dataclass(frozen=True)
class _Deltas:
    """Mutations, with the rows as they were then."""

    rows: Rows
    page: list[Delta]
    switches: Switches
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
        return [text(self.rows.log.sync_version(delta)) for delta in self.page]

    def _column(self, kind: str, field: Selected) -> Texts:
        if field.name in OWN:
            return self.own_column(field)
        if field.name == "_current":
            return self._current(field)
        # What a row refers to is shown as it was at the time of the mutation.
        found: list[str] = []
        for era, group in groupby(self.page, lambda delta: delta.era):
            deltas = list(group)
            found += column_texts(field, kind, self._shown([delta.row for delta in deltas], era))
        return found

    def _current(self, field: Selected) -> list[str]:
        """The rows as they are now; null for one that is gone or cannot be read."""
        numbers = set() if self.without_current else {delta.number for delta in self.page} - self.rows.unreadable
        existing = {number: row for number in sorted(numbers) if (row := self.rows.row(number)) is not None}
        texts = row_texts(field, self._shown([*existing.values()], None))
        by_number = dict(zip(existing, texts, strict=True))
        return [by_number.get(delta.number, "null") for delta in self.page]

    def _shown(self, stored: Sequence[Row], era: int | None) -> Shown:
        return Shown(self.rows.store, len(stored), _columns(self.rows, stored), self.switches.null_reference, era)


def _columns(rows: Rows, stored: Sequence[Row]) -> Callable[[str], Column]:
    place = rows.table.place
    return lambda name: [row[place[name]] for row in stored]
