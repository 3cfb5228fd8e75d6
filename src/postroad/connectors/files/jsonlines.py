"""JSON lines: an object on each line, its members by caption; `address.city` is a member of a member.

A member that is not there is null, since many writers leave out what is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.lists import member, of_values
from postroad.connectors.files.rows import Batch
from postroad.connectors.files.workbooks import batch_of
from postroad.sdk.casting import Bad
from postroad.sdk.sheets.cells import Reading, convert
from postroad.sdk.sheets.grid import Batch as SheetBatch

BATCH = 10_000
_ROWS = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Decimal)
_ROW = msgspec.json.Decoder(Any, float_hook=Decimal)
WRONG = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError)


def batches_of(body: bytes, first: int, dataset: DeclaredDataset) -> Iterator[Batch]:
    """The rows of a block that begins on line `first`."""
    reading = Reading(dataset.settings.decimal_sign, dataset.zone, from_1904=False)
    lines = body.split(b"\n")
    filled = [at for at, line in enumerate(lines) if line.strip()]
    for start in range(0, len(filled), BATCH):
        some = filled[start : start + BATCH]
        yield _batch([lines[at] for at in some], [first + at for at in some], dataset, reading)


def _batch(lines: Sequence[bytes], numbers: Sequence[int], dataset: DeclaredDataset, reading: Reading) -> Batch:
    rows, bad = _decoded(lines, numbers)
    wanted = [[member(row, each.caption) for row in rows] for each in dataset.columns]
    cells = SheetBatch(numbers, wanted, lambda row: lines[row].decode("utf-8", "backslashreplace").rstrip("\r"), bad)
    batch = batch_of(cells, dataset, reading, lambda line, caption: f"line {line}, {caption},")
    good = [row for at, row in enumerate(rows) if at not in bad]
    batch.lists = [
        of_values([member(row, each.caption) for row in good], each, lambda values, one: convert(values, one, reading))
        for each in dataset.lists
    ]
    return batch


def _decoded(lines: Sequence[bytes], numbers: Sequence[int]) -> tuple[Sequence[Mapping[str, Any]], dict[int, Bad]]:
    """All lines at once where all are good, else one by one."""
    try:
        rows = _ROWS.decode(b"[" + b",".join(lines) + b"]")
        if len(rows) == len(lines):
            return rows, {}
    except WRONG:
        pass
    found: list[Mapping[str, Any]] = []
    bad = {}
    for row, line in enumerate(lines):
        members, why = _members(line)
        found.append(members)
        if why is not None:
            bad[row] = Bad(why.cause, f"line {numbers[row]} {why.sentence}")
    return found, bad


def _members(line: bytes) -> tuple[Mapping[str, Any], Bad | None]:
    try:
        found = _ROW.decode(line)
    except WRONG as error:
        return {}, Bad("bad_json", f"cannot be read as JSON ({error})")
    if not isinstance(found, dict):
        return {}, Bad("wrong_type", "is no object")
    return found, None
