"""A landed block to rows: typed columns, the legal entity stamped, one refusal a row, keys that are whole. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.columns import Reading
from postroad.connectors.d365_finops.declaration import COMPANY, Declaration
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.table import Form, Texts, texts
from postroad.records import CHANGED_AT, OP, UPSERT, Payload, Refusal, Rows, key_text
from postroad.sdk.casting import Bad


def parse(payload: Payload, declaration: Declaration, settings: FinopsSettings) -> Iterator[Rows]:
    """The rows of one block; a file without rows has none."""
    if not payload.body:
        return
    meta = payload.meta
    form = Form(tuple(meta["captions"]), meta["delimiter"], meta["qualifier"])
    here = [each for each in declaration.fields if each.caption in form.captions]
    found = texts(
        payload.body,
        form,
        [each.caption for each in here],
        [each.caption for each in here if each.kind == "m"],
    )
    reading = Reading(settings)
    arrays = {each.name: reading.column(found.columns[each.caption], each) for each in here}
    if not declaration.shared:
        arrays[COMPANY] = pa.repeat(pa.scalar(meta["company"]), len(found.places))
    yield rows_of(declaration, arrays, found, reading.bad)


def rows_of(declaration: Declaration, arrays: dict[str, pa.Array], found: Texts, bad: Mapping[int, Bad]) -> Rows:
    """The rows that typed columns make, and a refusal for each that is bad, or lacks a part of its key."""
    size = len(found.places)
    bad = {**bad, **_blank_keys(declaration, arrays)}
    arrays[OP.name] = pa.repeat(pa.scalar(UPSERT), size)
    arrays[CHANGED_AT.name] = pa.nulls(size, CHANGED_AT.type)
    absent = tuple(each.name for each in declaration.fields if each.name not in arrays)
    columns = [each for each in declaration.entity.schema if each.name in arrays]
    # A null in a key stands only in a row that is refused.
    nullable = pa.schema([*(each.with_nullable(True) for each in columns), OP, CHANGED_AT])
    records = pa.RecordBatch.from_arrays([arrays[name] for name in nullable.names], schema=nullable)
    refusals = [*_broken(found), *_refusals(declaration, records, found, bad)]
    if bad:
        records = records.filter(pa.array([row not in bad for row in range(size)], pa.bool_()))
    schema = pa.schema([*columns, OP, CHANGED_AT])
    return Rows(declaration.name, pa.RecordBatch.from_arrays(records.columns, schema=schema), refusals, absent)


def _blank_keys(declaration: Declaration, arrays: dict[str, pa.Array]) -> dict[int, Bad]:
    bad: dict[int, Bad] = {}
    for name in declaration.key:
        column = arrays[name]
        blank = pc.is_null(column)
        if pa.types.is_string(column.type):
            blank = pc.or_(blank, pc.fill_null(pc.equal(column, ""), True))
        if pc.any(blank).as_py():
            for row in pc.indices_nonzero(blank).to_pylist():
                bad[row] = Bad("blank_key", f"{name} is blank, but is part of the key")
    return bad


def _broken(found: Texts) -> list[Refusal]:
    return [Refusal(each.place, None, each.cause, each.sentence, each.raw) for each in found.broken]


def _refusals(declaration: Declaration, records: pa.RecordBatch, found: Texts, bad: Mapping[int, Bad]) -> list[Refusal]:
    refusals = []
    for row, why in sorted(bad.items()):
        key = [records.column(name)[row].as_py() for name in declaration.key]
        readable = None if None in key or "" in key else key_text(key)
        raw = json.dumps(
            {name: column[row].as_py() for name, column in found.columns.items()}, ensure_ascii=False, default=str
        )
        refusals.append(Refusal(found.places[row].as_py(), readable, why.cause, why.sentence, raw))
    return refusals
