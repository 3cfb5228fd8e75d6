"""Rows of a file that are wrong on purpose: faults of an export that strike some rows of one entity's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["extra", "missing", "newline", "quote", "value", "duplicate", "lost"]
Render = Callable[[Sequence[str]], str]
"""From the texts of a row's cells to the row as it stands in the file, without its end."""


@dataclass(frozen=True)
class Wound:
    """What is wrong with the rows at these places of the file; `column` and `value` are for a kind that needs them.

    A place beyond the end counts from the beginning again, so that a small file has wounded rows too.
    """

    kind: Kind
    rows: tuple[int, ...] = (0,)
    column: int = 0
    value: str = ""

    def inflict(self, cells: list[str], render: Render, end: str) -> str:
        """The row as it stands in the file; nothing of one that is lost on the way."""
        if self.kind == "lost":
            return ""
        upto = cells[: self.column + 1]
        if self.kind == "extra":
            return render([*cells, "surplus"])
        if self.kind == "missing":
            return render(cells[:-1])
        if self.kind == "newline":
            return render(upto) + end + render(cells[self.column + 1 :])
        if self.kind == "quote":
            return f'{render(upto)}"{render(cells)[len(render(upto)) :]}'
        changed = render([*upto[:-1], self.value, *cells[self.column + 1 :]])
        return changed if self.kind == "value" else changed + end + render(cells)


def wound(kind: str, options: Mapping[str, Any], columns: Sequence[str]) -> Wound:
    """The wound that a fault orders; a ValueError for options that make no sense."""
    if kind not in get_args(Kind):
        raise ValueError(f"no such wound: {kind!r}; there are: {', '.join(get_args(Kind))}")
    column = options.get("column", len(columns) // 2)
    if isinstance(column, str):
        if column.upper() not in columns:
            raise ValueError(f"no column '{column}'")
        column = list(columns).index(column.upper())
    rows = options.get("rows", [options.get("row", 0)])
    return Wound(kind, tuple(int(row) for row in rows), int(column), str(options.get("value", "abc")))  # type: ignore[arg-type]


def struck(wounds: Iterable[Wound], first: int, count: int, total: int) -> dict[int, Wound]:
    """The wounds of the `count` rows from place `first` on, by their places among these."""
    found = {}
    for each in wounds:
        for row in each.rows:
            place = row % total - first
            if 0 <= place < count:
                found[place] = each
    return found
