"""Workbooks: one page each, since a workbook is read whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pyarrow as pa

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.rows import Batch
from postroad.connectors.files.settings import FilesSettings
from postroad.errors import RemoteError
from postroad.records import Refusal
from postroad.sdk.sheets.cells import Reading, convert
from postroad.sdk.sheets.grid import Batch as SheetBatch
from postroad.sdk.sheets.grid import Grid
from postroad.sdk.sheets.workbook import workbook_grid

MB = 1 << 20
ZIP, OLE = b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def whole(pieces: Iterator[bytes], settings: FilesSettings, name: str) -> bytes:
    """The workbook; RemoteError if it is larger than allowed."""
    body = io.BytesIO()
    for piece in pieces:
        body.write(piece)
        if body.tell() > settings.most_megabytes * MB:
            raise RemoteError(
                f"{name} is larger than {settings.most_megabytes} MB: raise most_megabytes if that is right"
            )
    return body.getvalue()


def grid_of(body: bytes, kind: str, dataset: DeclaredDataset, settings: FilesSettings, *, complete: bool) -> Grid:
    """The rows of a workbook; RemoteError for one of no use. `complete` lets no declared column be missing."""
    if body.startswith(OLE):
        encrypted = ENCRYPTED in body
        raise RemoteError(
            "the workbook is encrypted: save it without a password"
            if encrypted
            else "the file is an old .xls workbook: save it as .xlsx"
        )
    if not body.startswith(ZIP):
        raise RemoteError("the file is no workbook, or was cut short: export it again, or set the dataset's format")
    most_unpacked = settings.most_unpacked_megabytes * MB
    return workbook_grid(body, kind, dataset.layout, most_unpacked, settings.most_cells, whole=complete)


def batches_of(grid: Grid, dataset: DeclaredDataset) -> Iterator[Batch]:
    """The rows of a workbook, batch by batch."""
    reading = Reading(dataset.settings.decimal_sign, dataset.zone, grid.from_1904)
    columns = {each.caption: each for each in dataset.columns}
    for batch in grid.batches():
        yield batch_of(batch, dataset, reading, lambda row, caption: grid.place(row, columns[caption]), grid.absent)


def batch_of(
    batch: SheetBatch,
    dataset: DeclaredDataset,
    reading: Reading,
    place: Callable[[int, str], str],
    absent: tuple[str, ...] = (),
) -> Batch:
    """Cells to typed columns; rows that hold no cells are refused at once."""
    cells = list(batch.cells)
    numbers = list(batch.numbers)
    if batch.bad:
        kept = [row for row in range(len(numbers)) if row not in batch.bad]
        cells = [[column[row] for row in kept] for column in cells]
    else:
        kept = list(range(len(numbers)))
    made = [
        None if column.caption in absent else convert(values, column, reading)
        for column, values in zip(dataset.columns, cells, strict=True)
    ]
    refused = [
        Refusal(numbers[row], None, why.cause, why.sentence, batch.raw(row)) for row, why in sorted(batch.bad.items())
    ]
    lines = pa.array([numbers[row] for row in kept], pa.int64())
    return Batch(lines, made, lambda row: batch.raw(kept[row]), place, refused)
