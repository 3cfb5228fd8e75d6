"""What every kind of file is read into: captions, and batches of rows as cells by declared column."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from postroad.errors import RemoteError
from postroad.sdk.casting import Bad
from postroad.sdk.sheets.columns import Column, Layout

BATCH = 10_000
SHOWN = 40  # captions in a sentence

Cell = Any
"""None, a text, a bool, an int, a float, a Decimal, a date, datetime, time or timedelta, or an ErrorCell."""


@dataclass(frozen=True)
class ErrorCell:
    """A cell whose formula failed, such as #REF!."""

    text: str


class UnfitError(ValueError):
    """A cell cannot be what its column holds; the text, if any, says why."""


@dataclass
class Batch:
    """Some rows: their numbers in the file, their cells by declared column; `bad` rows hold no cells.

    `raw` gives the text of a row by its place in the batch; it is asked only for rows that are refused.
    """

    numbers: Sequence[int]
    cells: Sequence[Sequence[Cell]]
    raw: Callable[[int], str]
    bad: dict[int, Bad] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """A file's rows, which `batches` gives as often as it is called.

    `place` names a cell for a sentence; `absent` are declared captions that the file lacks.
    """

    batches: Callable[[], Iterator[Batch]]
    place: Callable[[int, Column], str]
    absent: tuple[str, ...] = ()
    from_1904: bool = False


def found_columns(layout: Layout, captions: Sequence[str], where: str, *, whole: bool) -> Mapping[str, int]:
    """Where each declared caption stands; RemoteError that lists what the row `where` has instead.

    A caption that stands twice is an error where it is declared. `whole` lets none be missing, else only key columns.
    """
    places: dict[str, int] = {}
    for place, caption in enumerate(captions):
        if caption in places and any(each.caption == caption for each in layout.columns):
            raise RemoteError(f"{where} has the caption '{caption}' twice: rename one of the columns in the file")
        places.setdefault(caption, place)
    declared = [each.caption for each in layout.columns]
    missing = [each for each in declared if each not in places]
    needed = missing if whole else [each for each in missing if each in layout.key]
    if needed:
        raise RemoteError(_lacking(needed, captions, where))
    return {caption: places[caption] for caption in declared if caption in places}


def _lacking(missing: Sequence[str], captions: Sequence[str], where: str) -> str:
    known = [caption for caption in captions if caption]
    listed = ", ".join(f"'{_short(caption)}'" for caption in known[:SHOWN]) or "nothing"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    hints = [near for each in missing for near in difflib.get_close_matches(each, known, 1)]
    hint = f"; did you mean {' and '.join(f'{_short(each)!r}' for each in hints)}?" if hints else ""
    columns = " and ".join(f"'{each}'" for each in missing)
    return f"{where} has no column {columns}; it has {listed}{more}{hint}"


def _short(caption: str) -> str:
    return caption if len(caption) <= 60 else f"{caption[:57]}..."


def require_cells(cells: int, most: int) -> None:
    """RemoteError for a file that is over the limit."""
    if cells > most:
        raise RemoteError(
            f"the file has {cells:,} cells or more; most_cells allows {most:,}: raise it if that is right"
        )


def caption_of(cell: Cell) -> str:
    """The caption that a header cell shows: spaces at its ends, and hard spaces, are nobody's intention."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else " ".join(str(cell).split())
