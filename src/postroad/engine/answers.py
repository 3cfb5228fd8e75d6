"""What a receiver said of some records, as the books keep it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from postroad.engine.route import Route
from postroad.records import VERSION, Outcome, key_texts
from postroad.tracking import Tracking
from postroad.tracking.rejections import Refused


def refusals(rows: pa.RecordBatch, route: Route, outcome: Outcome) -> Iterator[Refused]:
    """The records that an outcome rejects. Loops over them; they are few."""
    taken = rows.take(pa.array(outcome.records, pa.int64()))
    texts, versions = key_texts(taken, _key(route)), taken.column(VERSION.name).to_pylist()
    for place, text, version in zip(outcome.records, texts, versions, strict=True):
        yield Refused(place, text, version, outcome.cause, outcome.sentence)


def open_keys(tracking: Tracking, route: Route) -> set[str]:
    """The keys of which a record is rejected."""
    return {row["key"] for row in tracking.rejections.refused(route.name)}


def newer(open_ones: set[str], route: Route, rows: pa.RecordBatch, applied: Sequence[int]) -> dict[str, int]:
    """The accepted versions of keys with an open rejection. Key texts cost a loop: only where there is one."""
    if not open_ones:
        return {}
    taken = rows.take(pa.array(applied, pa.int64()))
    texts = key_texts(taken, _key(route))
    pairs = zip(texts, taken.column(VERSION.name).to_pylist(), strict=True)
    newest: dict[str, int] = {}
    for text, version in pairs:
        if text in open_ones:
            newest[text] = max(version, newest.get(text, 0))
    return newest


def _key(route: Route) -> Sequence[str]:
    return route.dataset(0).entity.key
