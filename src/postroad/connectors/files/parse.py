"""The rows of a landed page, by what its meta says it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.files import jsonlines, parquetfile, workbooks
from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.dialect import Form
from postroad.connectors.files.reading import NOTHING, VANISHED
from postroad.connectors.files.rows import Batch, rows_of
from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.values import convert
from postroad.records import CHANGED_AT, OP, Json, Payload, Refusal, Rows
from postroad.sdk.csvrows import Refused, Texts, texts


def parse(dataset: DeclaredDataset, settings: FilesSettings, payload: Payload) -> Iterator[Rows]:
    """The accepted and refused rows of a page."""
    meta = payload.meta
    if payload.body is None or meta["format"] == NOTHING:
        return
    if meta["format"] == VANISHED:
        yield _vanished(dataset, meta)
        return
    for batch in _batches(dataset, settings, payload.body, meta):
        yield rows_of(batch, dataset, meta["file"], meta["values"])


def _batches(dataset: DeclaredDataset, settings: FilesSettings, body: bytes, meta: Json) -> Iterator[Batch]:
    kind = meta["format"]
    if kind == "csv":
        return _csv(dataset, body, meta)
    if kind == "jsonl":
        return jsonlines.batches_of(body, meta["line"], dataset)
    if kind == "parquet":
        return parquetfile.batches_of(body, meta["line"], dataset)
    grid = workbooks.grid_of(body, kind, dataset, settings, complete=False)
    return workbooks.batches_of(grid, dataset)


def _csv(dataset: DeclaredDataset, body: bytes, meta: Json) -> Iterator[Batch]:
    form = Form(**{**meta["form"], "captions": tuple(meta["form"]["captions"])})
    found = _without_blank(_texts(body, form, meta["line"]))
    places = {caption: place for place, caption in reversed(list(enumerate(form.captions)))}
    columns = [
        convert(found.columns[places[each.caption]], each, dataset) if each.caption in places else None
        for each in dataset.columns
    ]
    refused = [_refusal(each) for each in found.refused]
    yield Batch(found.lines, columns, found.raw, lambda line, caption: f"line {line}, {caption},", refused)


def _texts(body: bytes, form: Form, line: int) -> Texts:
    """The columns of a block; before the first rows of a file stand its captions and what else is skipped."""
    newline, skipped = form.newline.encode(), form.skip if line == 1 else 0
    for _ in range(skipped):
        body = body.partition(newline)[2]
    return texts(body, form.of_rows, line + skipped)


def _without_blank(found: Texts) -> Texts:
    """Rows whose fields are all empty are no rows."""
    filled = pa.repeat(pa.scalar(False), len(found.lines))
    for column in found.columns:
        filled = pc.or_(filled, pc.greater(pc.binary_length(column), 0))
        if pc.all(filled).as_py() is not False:
            return found
    columns = [column.filter(filled) for column in found.columns]
    return Texts(columns, found.lines.filter(filled), found.ends.filter(filled), found.source, found.refused)


def _vanished(dataset: DeclaredDataset, meta: Json) -> Rows:
    """The rows of a file that nobody read."""
    sentence = (
        f"{meta['file']} was removed while it was being read: its first {meta['pages']} parts are there, the rest is "
        "not; put the file back under another name if it matters, and discard this"
    )
    schema = pa.schema([*dataset.entity.schema, OP, CHANGED_AT])
    refusal = Refusal(0, None, "file_vanished", sentence, meta["file"])
    return Rows(dataset.name, pa.RecordBatch.from_pylist([], schema=schema), [refusal])


def _refusal(each: Refused) -> Refusal:
    return Refusal(each.line, None, each.why.cause, f"line {each.line} {each.why.sentence}", each.raw)
