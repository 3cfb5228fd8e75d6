"""Pages of rows, in ascending dbId (fact sheet 1.4; that order is an inference there)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postroad.connectors.xledger.simulator.filters import Span, filtered, only_numbers, scope, span
from postroad.connectors.xledger.simulator.generate import BLOCK
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import Amount, Arguments, Page, Struck, amount, id_cursor
from postroad.connectors.xledger.simulator.render import Shown, Texts, column_texts, joined, text
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Condition, Part, Rows
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.sdk.simulator import Fault


def row_page(rows: Rows, switches: Switches, arguments: Arguments, struck: Struck) -> Page:
    """The rows that these arguments ask for."""
    asked = amount(arguments, switches)
    matching = _matching(rows, switches, arguments)
    low, high = matching.possible.low, matching.possible.high
    if arguments.get("after") is not None:
        low = max(low, rows.generated.number_at(id_cursor(arguments["after"]) + 1))
    if arguments.get("before") is not None:
        high = min(high, rows.generated.number_at(id_cursor(arguments["before"])))
    parts = matching.take(low, high, asked)
    count = sum(len(part.places) for part in parts)
    shown = Shown(rows.store, count, lambda name: rows.gather(name, parts), switches.null_reference)
    bad = struck.get("bad_value")
    return Page(
        count,
        lambda: [str(value) for value in rows.gather("dbId", parts)],
        lambda node: joined(node.fields, lambda field: _column(node.kind, field, shown, bad), count),
        lambda: bool(parts) and matching.exists(parts[-1].last + 1, matching.possible.high),
        lambda: bool(parts) and matching.exists(matching.possible.low, parts[0].first),
    )


def _column(kind: str, field: Selected, shown: Shown, bad: Fault | None) -> Texts:
    """One column; `bad` puts a wrong value into one of its rows."""
    column = column_texts(field, kind, shown)
    if bad is None or bad.options.get("field", "workingHours") != field.name:
        return column
    texts = list(column)
    texts[bad.options.get("row", 0) % len(texts)] = text(bad.options.get("value", "abc"))
    return texts


@dataclass(frozen=True)
class _Matching:
    """The rows that scope and filter leave."""

    rows: Rows
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
        rows, only = self.rows, self.possible.only
        if only is None:
            yield from rows.parts(self.condition, low, high, backward)
            return
        for block in sorted({number // BLOCK for number in only if low <= number < high}, reverse=backward):
            yield from rows.parts(self.condition, max(low, block * BLOCK), min(high, (block + 1) * BLOCK))


def _matching(rows: Rows, switches: Switches, arguments: Arguments) -> _Matching:
    asked = arguments.get("filter") or {}
    ids, most = asked.get("dbId_in") or (), switches.dbid_in_limit
    if most is not None and len(ids) > most:
        raise RefusedError(f"At most {most} values can be given for `dbId_in`.")
    owners = arguments.get("ownerSet") or switches.owner_set_default
    status = arguments.get("objectStatus") or switches.object_status_default
    condition, possible = filtered(rows, asked, scope(rows.table, owners, status)), span(asked, rows)
    if possible.only is not None:
        condition = only_numbers(possible.only - rows.unreadable, condition)
    return _Matching(rows, condition, possible)
