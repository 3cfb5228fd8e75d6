"""Typed columns to accepted rows and refusals: one refusal a row, keys that are whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.lists import ListColumn
from postroad.errors import RemoteError
from postroad.records import AMBIGUOUS, CHANGED_AT, OP, UPSERT, Refusal, Rows, key_texts
from postroad.sdk.casting import Bad, true_rows
from postroad.sdk.sheets.cells import Converted
from postroad.sdk.sheets.columns import Column

Present = dict[Column | ListColumn, Converted]


@dataclass
class Batch:
    """Some rows of a file: their lines, their columns in the declared order (None: absent), and how to show one.

    `place` begins the sentence of a refusal: line and caption, or the cell of a sheet. `refused` are rows that have no
    columns at all. `lists` are the columns of lists, in the declared order; none: this kind of file has no lists.
    """

    lines: pa.Array
    columns: Sequence[Converted | None]
    raw: Callable[[int], str]
    place: Callable[[int, str], str]
    refused: Sequence[Refusal] = field(default_factory=list)
    lists: Sequence[Converted | None] = ()


def rows_of(batch: Batch, dataset: DeclaredDataset, file: str, values: Mapping[str, str]) -> Rows:
    """The accepted and refused rows of a batch. `values` stand in the columns that the file's name fills."""
    entity, settings = dataset.entity, dataset.settings
    size = len(batch.lines)
    arrays = {name: pa.repeat(pa.scalar(value), size) for name, value in values.items()}
    if settings.file_as is not None:
        arrays[settings.file_as] = pa.repeat(pa.scalar(file), size)
    if settings.line_as is not None:
        arrays[settings.line_as] = batch.lines
    declared: list[Column | ListColumn] = [*dataset.columns, *dataset.lists]
    made = [*batch.columns, *(batch.lists or [None] * len(dataset.lists))]
    present: Present = {each: one for each, one in zip(declared, made, strict=True) if one is not None}
    absent = tuple(each.name for each in declared if each not in present)
    if lost := set(absent) & set(entity.key):
        raise RemoteError(f"{file} was read without the column {min(lost)} of today's key: refresh fully")
    arrays |= {each.name: made.array for each, made in present.items()}
    arrays[OP.name] = pa.repeat(pa.scalar(UPSERT), size)
    arrays[CHANGED_AT.name] = pa.nulls(size, CHANGED_AT.type)
    arrays[AMBIGUOUS.name] = _ambiguous(present, size)
    bad = _bad(batch, dataset, present, arrays)
    schema = pa.schema([*(each for each in entity.schema if each.name not in absent), OP, CHANGED_AT, AMBIGUOUS])
    records = pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], names=schema.names)
    refusals = [
        replace(each, sentence=f"{file}, {each.sentence}")
        for each in (*batch.refused, *_refusals(batch, records, bad, entity.key))
    ]
    if bad:
        refused = pc.is_in(pa.arange(0, size), pa.array(sorted(bad), pa.int64()))
        records = records.filter(pc.invert(refused))
    return Rows(dataset.name, records.cast(schema), sorted(refusals, key=lambda each: each.row), absent)


def _bad(batch: Batch, dataset: DeclaredDataset, present: Present, arrays: Mapping[str, pa.Array]) -> dict[int, Bad]:
    """Why rows are refused: the leftmost cell that is wrong, else the key."""
    bad: dict[int, Bad] = {}
    for column, made in present.items():
        for row, why in made.bad.items():
            bad.setdefault(row, Bad(why.cause, f"{_at(batch, row, column.caption)} {why.sentence}"))
    captions = {column.name: column.caption for column in dataset.columns}
    for name in dataset.entity.key:
        if arrays[name].null_count:
            for row in true_rows(pc.is_null(arrays[name])):
                sentence = f"{_at(batch, row, captions.get(name, name))} is blank, but is part of the key"
                bad.setdefault(row, Bad("blank_key", sentence))
    return bad


def _at(batch: Batch, row: int, caption: str) -> str:
    return batch.place(batch.lines[row].as_py(), caption)


def _refusals(batch: Batch, records: pa.RecordBatch, bad: Mapping[int, Bad], key: Sequence[str]) -> list[Refusal]:
    if not bad:
        return []
    rows = sorted(bad)
    few = records.take(pa.array(rows, pa.int64()))
    whole = pa.repeat(pa.scalar(True), len(rows))
    for name in key:
        whole = pc.and_(whole, pc.is_valid(few.column(name)))
    texts = [text if is_whole else None for text, is_whole in zip(key_texts(few, key), whole.to_pylist(), strict=True)]
    return [
        Refusal(batch.lines[row].as_py(), text, bad[row].cause, bad[row].sentence, batch.raw(row))
        for row, text in zip(rows, texts, strict=True)
    ]


def _ambiguous(present: Present, size: int) -> pa.Array:
    texts: dict[int, dict[str, str]] = {}
    for column, made in present.items():
        for row, text in made.ambiguous.items():
            texts.setdefault(row, {})[column.name] = text
    if not texts:
        return pa.nulls(size, AMBIGUOUS.type)
    return pa.array([list(texts[row].items()) if row in texts else None for row in range(size)], AMBIGUOUS.type)
