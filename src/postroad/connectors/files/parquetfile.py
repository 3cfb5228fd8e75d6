"""Parquet files: small ones as they are, large ones in slices of some thousand rows, each a Parquet file of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.dialect import require_columns
from postroad.connectors.files.lists import captions_of, found_in, of_array, require_lists
from postroad.connectors.files.rows import Batch
from postroad.connectors.files.values import convert as convert_texts
from postroad.errors import RemoteError
from postroad.records import MONEY
from postroad.sdk.casting import Bad, cast_or_find
from postroad.sdk.sheets.cells import CAUSES, Converted, Reading
from postroad.sdk.sheets.cells import convert as convert_cells
from postroad.sdk.sheets.columns import Column
from postroad.sdk.times import to_utc

SLICE = 8 << 20  # bytes of rows as they are in memory
MOST_ROWS, FEWEST_ROWS = 50_000, 1_000  # of one slice
BUFFER = 1 << 20  # read at once of a column; more, or all before it is wanted, would be the whole file
BATCH = 50_000


@dataclass(frozen=True)
class Slice:
    """Some rows, as a Parquet file, and the number of the first."""

    row: int
    body: bytes


def slices(opened: BinaryIO, size: int, dataset: DeclaredDataset, name: str) -> Iterator[Slice]:
    """The slices of a file, none for one without rows; RemoteError for one that cannot be used."""
    file = _readable(lambda: pq.ParquetFile(opened, buffer_size=BUFFER, pre_buffer=False), name)
    captions = [each.caption for each in dataset.columns] + [each.caption for each in dataset.lists]
    require_columns(captions, captions_of(file.schema_arrow), name)
    require_lists(dataset.lists, file.schema_arrow, name)
    rows = file.metadata.num_rows
    if rows <= MOST_ROWS and size <= SLICE:
        opened.seek(0)
        if rows:
            yield Slice(1, opened.read())
        return
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    each = sum(group.total_byte_size for group in groups) // max(1, rows) + 1
    batches = file.iter_batches(max(FEWEST_ROWS, min(MOST_ROWS, SLICE // each)), use_threads=False)
    first = 1
    while (batch := _readable(lambda: next(batches, None), name)) is not None:
        body = io.BytesIO()
        pq.write_table(pa.Table.from_batches([batch]), body, compression="zstd")
        yield Slice(first, body.getvalue())
        first += batch.num_rows


def batches_of(body: bytes, first: int, dataset: DeclaredDataset) -> Iterator[Batch]:
    """The rows of a slice whose first row has that number."""
    file = _readable(lambda: pq.ParquetFile(pa.BufferReader(body)), "the file")
    for batch in file.iter_batches(BATCH, use_threads=False):
        rows = batch.to_struct_array()
        columns = [
            None if (found := found_in(rows, each.caption)) is None else _converted(found, each, dataset)
            for each in dataset.columns
        ]
        lists = [
            None
            if (found := found_in(rows, each.caption)) is None
            else of_array(found, each, lambda values, one: _converted(values, one, dataset))
            for each in dataset.lists
        ]
        lines = pa.arange(first, first + batch.num_rows)
        yield Batch(lines, columns, _raw_of(batch), lambda row, caption: f"row {row}, {caption},", lists=lists)
        first += batch.num_rows


def _raw_of(batch: pa.RecordBatch) -> Callable[[int], str]:
    return lambda row: json.dumps(batch.slice(row, 1).to_pylist()[0], ensure_ascii=False, default=str)


Read = TypeVar("Read")


def _readable(action: Callable[[], Read], name: str) -> Read:
    try:
        return action()
    except (pa.ArrowException, OSError, ValueError):
        raise RemoteError(f"{name} cannot be read as Parquet: it is damaged, or was cut short") from None


def _converted(values: pa.Array, column: Column, dataset: DeclaredDataset) -> Converted:
    """The declared column. Types that are exact in each other are cast; all else is read as a cell is."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return convert_texts(values.cast(pa.binary()), column, dataset)
    if column.kind == "datetime" and pa.types.is_timestamp(kind):
        return _instants(values, column, dataset)
    if _exact(kind, column):
        if column.round is not None:
            values = pc.round(values, column.round, "half_towards_infinity")
        array, rows = cast_or_find(values, MONEY if column.kind == "decimal" else column.type)
        return Converted(array, dict.fromkeys(rows, Bad(*CAUSES[column.kind])))
    return convert_cells(values.to_pylist(), column, Reading(".", dataset.zone, from_1904=False))


def _exact(kind: pa.DataType, column: Column) -> bool:
    types = pa.types
    exact: dict[str, bool] = {
        "int": types.is_integer(kind),
        "decimal": types.is_integer(kind) or types.is_decimal(kind),
        "date": types.is_date(kind),
        "bool": types.is_boolean(kind),
    }
    return exact.get(column.kind, False)


def _instants(values: pa.Array, column: Column, dataset: DeclaredDataset) -> Converted:
    cast, rows = cast_or_find(values, pa.timestamp("us", values.type.tz))
    bad = dict.fromkeys(rows, Bad("bad_time", "has more digits than microseconds"))
    if values.type.tz is not None:
        return Converted(cast.cast(column.type), bad)
    found = to_utc(cast, dataset.zone)
    skipped = Bad("nonexistent_time", f"is a time that the clocks of {dataset.zone} skipped")
    ambiguous = {row: str(cast[row].as_py()) for row in found.ambiguous}
    return Converted(found.values, bad | dict.fromkeys(found.missing, skipped), ambiguous)
