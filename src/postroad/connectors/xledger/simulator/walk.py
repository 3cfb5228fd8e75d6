"""Pages of timesheets, in ascending dbId (fact sheet 1.4; that order is an inference there)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postroad.connectors.xledger.simulator.company import BLOCK, Column
from postroad.connectors.xledger.simulator.filters import Span, filtered, only_numbers, scope, span
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import Amount, Arguments, Page, Struck, amount, id_cursor
from postroad.connectors.xledger.simulator.render import Texts, joined, row_column, text
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Condition, Part, Store
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.sdk.simulator import Fault


def timesheet_page(store: Store, switches: Switches, arguments: Arguments, struck: Struck) -> Page:
    """The timesheets that these arguments ask for."""
    asked = amount(arguments, switches)
    matching = _matching(store, switches, arguments)
    low, high = matching.possible.low, matching.possible.high
    if arguments.get("after") is not None:
        low = max(low, store.company.number_at(id_cursor(arguments["after"]) + 1))
    if arguments.get("before") is not None:
        high = min(high, store.company.number_at(id_cursor(arguments["before"])))
    parts = matching.take(low, high, asked)
    zero = switches.null_reference == "zero"
    rows = _Rows(store, parts, zero, struck.get("bad_value"))
    return Page(
        rows.count,
        lambda: [str(value) for value in store.gather("dbId", parts)],
        rows.texts,
        lambda: bool(parts) and matching.exists(parts[-1].last + 1, matching.possible.high),
        lambda: bool(parts) and matching.exists(matching.possible.low, parts[0].first),
    )


@dataclass(frozen=True)
class _Matching:
    """The rows that scope and filter leave."""

    store: Store
    condition: Condition
    possible: Span

    def take(self, low: int, high: int, asked: Amount) -> list[Part]:
        """The first, or last, rows with low <= number < high, in ascending order."""
        taken: list[Part] = []
        left = asked.count
        for part in self._parts(low, high, asked.backward) if left else ():
            places = part.places[-left:] if asked.backward else part.places[:left]
            left -= len(places)
            if places:
                taken.append(Part(part.block, places))
            if not left:
                break
        return taken[::-1] if asked.backward else taken

    def exists(self, low: int, high: int) -> bool:
        """Whether there is any with low <= number < high; looked for from the nearer side by both callers."""
        return bool(self.take(low, high, Amount(1, backward=low == self.possible.low)))

    def _parts(self, low: int, high: int, backward: bool) -> Iterator[Part]:
        store, only = self.store, self.possible.only
        if only is None:
            yield from store.parts(self.condition, low, high, backward)
            return
        for block in sorted({number // BLOCK for number in only if low <= number < high}, reverse=backward):
            yield from store.parts(self.condition, max(low, block * BLOCK), min(high, (block + 1) * BLOCK))


def _matching(store: Store, switches: Switches, arguments: Arguments) -> _Matching:
    asked = arguments.get("filter") or {}
    ids, most = asked.get("dbId_in") or (), switches.dbid_in_limit
    if most is not None and len(ids) > most:
        raise RefusedError(f"At most {most} values can be given for `dbId_in`.")
    owners = arguments.get("ownerSet") or switches.owner_set_default
    status = arguments.get("objectStatus") or switches.object_status_default
    condition, possible = filtered(asked, scope(owners, status)), span(asked, store)
    if possible.only is not None:
        condition = only_numbers(possible.only - store.unreadable, condition)
    return _Matching(store, condition, possible)


@dataclass(frozen=True)
class _Rows:
    """Timesheets as they are now; `bad` puts a wrong value into one of them."""

    store: Store
    parts: list[Part]
    zero: bool
    bad: Fault | None

    @property
    def count(self) -> int:
        return sum(len(part.places) for part in self.parts)

    def texts(self, node: Selected) -> list[str]:
        """The JSON text of each row."""
        return joined(node.fields, lambda field: self._column(node.kind, field), self.count)

    def _column(self, kind: str, field: Selected) -> Texts:
        column = row_column(field, kind, self._values, self.store.catalog, self.zero)
        if self.bad is None or self.bad.options.get("field", "workingHours") != field.name:
            return column
        texts = list(column)
        texts[self.bad.options.get("row", 0) % len(texts)] = text(self.bad.options.get("value", "abc"))
        return texts

    def _values(self, name: str) -> Column:
        return self.store.gather(name, self.parts)
