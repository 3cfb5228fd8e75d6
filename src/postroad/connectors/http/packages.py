"""Records as packages: final bytes, bounded, each key once in each."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.http.settings import HttpSettings
from postroad.records import CHANGED_AT, DELETE, OP, VERSION, Entity, Package
from postroad.sdk.jsontext import Form, bare, objects

JSON, LINES = "application/json", "application/x-ndjson"


@dataclass(frozen=True)
class Batch:
    """The body of one request, and the keys of its records as texts, by which its answer names them."""

    body: bytes = field(repr=False)
    content_type: str
    keys: pa.RecordBatch = field(repr=False)

    def identity(self, target: str, message: str) -> str:
        """The same for the same bytes on the same errand: after a crash, and not once an answer was written down."""
        facts = f"{target}\n{message}\n".encode()
        return hashlib.sha256(facts + self.body).hexdigest()[:48]


def packages(settings: HttpSettings, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
    """The records in their order, cut where a batch is full and where a key comes again.

    So a receiver meets two versions of a key in two requests, the older one first, and an answer that names a key
    names one record.
    """
    form = Form(settings.decimals == "texts", settings.integers == "texts")
    bodies = _bodies(target, records, form)
    columns = [bare(records.column(name)) for name in target.key]
    keys = pa.RecordBatch.from_arrays(columns, names=list(target.key))
    for start, stop in _cuts(settings, bodies, keys):
        whole = _whole(settings, bodies.slice(start, stop - start))
        kind = LINES if settings.body == "lines" else JSON
        yield Package(Batch(whole, kind, keys.slice(start, stop - start)), stop - start)


def _bodies(target: Entity, records: pa.RecordBatch, form: Form) -> pa.Array:
    """Each record as a JSON object; a delete has its key and our own columns only."""
    own = (OP.name, CHANGED_AT.name, VERSION.name)
    deleted = pc.equal(records.column(OP.name), DELETE)
    live = objects(records.select([*target.schema.names, *own]), form)
    if not pc.any(deleted).as_py():
        return live
    return pc.if_else(deleted, objects(records.select([*target.key, *own]), form), live)


def _cuts(settings: HttpSettings, bodies: pa.Array, keys: pa.RecordBatch) -> Iterator[tuple[int, int]]:
    """From where to where each package goes. Loops over packages, and over keys that come again."""
    ends = pc.cumulative_sum(pc.add(pc.binary_length(bodies), 1).cast(pa.int64()))
    again = _again(keys)
    start, done = 0, 0
    while start < len(bodies):
        full = bisect.bisect_right(ends, done + settings.most_bytes, lo=start, key=lambda end: end.as_py())
        stop = min(max(full, start + 1), start + settings.most_records)
        stop = min([stop, *(place for before, place in again if before >= start and place > start)])
        yield start, stop
        start, done = stop, ends[stop - 1].as_py()


def _again(keys: pa.RecordBatch) -> Sequence[tuple[int, int]]:
    """Of each key that comes again its places, two by two."""
    marks = pc.binary_join_element_wise(*[pc.binary_replace_slice(each, 0, 0, "\x00") for each in keys.columns], "\x01")
    if pc.count_distinct(marks).as_py() == len(marks):
        return ()
    places = pa.array(range(len(marks)), pa.int64())
    order = pc.sort_indices(pa.table({"mark": marks, "place": places}), [("mark", "ascending"), ("place", "ascending")])
    marks, places = marks.take(order), places.take(order)
    same = pc.equal(marks.slice(1), marks.slice(0, len(marks) - 1))
    return list(
        zip(places.slice(0, len(places) - 1).filter(same).to_pylist(), places.slice(1).filter(same).to_pylist(),
            strict=True)
    )  # fmt: skip


def _whole(settings: HttpSettings, bodies: pa.Array) -> bytes:
    between = "\n" if settings.body == "lines" else ","
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(bodies)], pa.int32()), bodies), between)
    inner: bytes = joined[0].as_buffer().to_pybytes()
    if settings.body == "lines":
        return inner + b"\n"
    if settings.body == "list":
        return b"[" + inner + b"]"
    name = objects(pa.RecordBatch.from_pydict({settings.records: pa.array([1])}), Form())[0].as_py()
    return f"{name[:-2]}[".encode() + inner + b"]}"
