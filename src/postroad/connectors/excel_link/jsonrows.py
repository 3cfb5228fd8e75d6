"""JSON rows: lists in a declared order, as Flexlinks give them (fact sheet 4.1), or objects by caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from postroad.connectors.excel_link.tables import Table
from postroad.errors import RemoteError
from postroad.sdk.casting import Bad
from postroad.sdk.sheets.grid import (
    BATCH,
    Batch,
    Cell,
    Grid,
    caption_of,
    found_columns,
    require_cells,
)

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw] | None)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ROW = msgspec.json.Decoder(Any, float_hook=Decimal)


def json_grid(body: bytes, table: Table, most_cells: int, *, whole: bool) -> Grid:
    """The declared columns of a list of rows, alone or under `rows`; RemoteError for a body that cannot be used."""
    require_cells(body.count(b","), most_cells)  # before they become objects; a text may hold some too
    rows = _rows(body)
    absent: tuple[str, ...] = ()
    if any(bytes(row).startswith(b"{") for row in rows):
        captions = _captions(rows)
        columns = found_columns(table.layout, captions, "no row", whole=whole)
        absent = tuple(each.caption for each in table.columns if each.caption not in columns)
    return Grid(partial(_batches, rows, table), lambda number, column: f"row {number}, {column.caption},", absent)


def _rows(body: bytes) -> list[msgspec.Raw]:
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        if body[:1] == b"{":
            members = _BODY.decode(body)
            if "rows" not in members:
                named = ", ".join(list(members)[:20]) or "nothing"
                raise RemoteError(f"the JSON has no member 'rows'; it has {named}")
            return _LIST.decode(members["rows"]) or []
        return _LIST.decode(body) or []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"the JSON is no list of rows, nor an object with one called rows ({error})") from None


def _captions(rows: Sequence[msgspec.Raw]) -> list[str]:
    found: dict[str, None] = {}
    for row in rows:
        try:
            found |= dict.fromkeys(map(caption_of, _OBJECT.decode(row)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # It is refused with its number, when it is read.
    return list(found)


def _batches(rows: Sequence[msgspec.Raw], table: Table) -> Iterator[Batch]:
    for start in range(0, len(rows), BATCH):
        yield _batch(rows[start : start + BATCH], start + 1, table)


def _batch(rows: Sequence[msgspec.Raw], first: int, table: Table) -> Batch:
    bad: dict[int, Bad] = {}
    lines = []
    for step, row in enumerate(rows):
        cells = _cells(row, table)
        if isinstance(cells, Bad):
            bad[step] = Bad(cells.cause, f"row {first + step} {cells.sentence}")
            cells = {}
        lines.append(cells)
    wanted = [[line.get(each.caption) for line in lines] for each in table.columns]
    return Batch(range(first, first + len(rows)), wanted, lambda step: bytes(rows[step]).decode(errors="replace"), bad)


def _cells(row: msgspec.Raw, table: Table) -> Mapping[str, Cell] | Bad:
    try:
        found = _ROW.decode(row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        return Bad("bad_json", f"cannot be read ({error})")
    if isinstance(found, dict):
        return {caption_of(caption): cell for caption, cell in found.items()}
    if not isinstance(found, list):
        return Bad("wrong_type", "is neither a list nor an object")
    if len(found) != len(table.captions):
        return Bad("wrong_columns", f"has {len(found)} values instead of {len(table.captions)}")
    return dict(zip(table.captions, found, strict=True))
