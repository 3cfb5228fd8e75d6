"""What a receiver said of some records, as the books keep it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial

import pyarrow as pa

from postroad.engine.route import Route
from postroad.records import VERSION, Outcome, key_texts
from postroad.tracking import Tracking
from postroad.tracking.rejections import Newer, Refused


def refusals(rows: pa.RecordBatch, route: Route, outcome: Outcome) -> Iterator[Refused]:
    """The records that an outcome rejects. Loops over them; they are few."""
    taken = rows.take(pa.array(outcome.records, pa.int64()))
    texts, versions = key_texts(taken, _key(route)), taken.column(VERSION.name).to_pylist()
    for place, text, version in zip(outcome.records, texts, versions, strict=True):
        yield Refused(place, text, version, outcome.cause, outcome.sentence)


def newer(tracking: Tracking, route: Route, sent: Sequence[tuple[pa.RecordBatch, Sequence[int]]]) -> list[Newer]:
    """Of messages of a subscription, rows and the places of those that were accepted: which versions of keys with an
    open rejection the receiver holds now. Key texts cost a loop: only where there is one.
    """
    any_open, upto = tracking.rejections.any_open(route.name)
    found = [partial(_versions, route, rows, applied) for rows, applied in sent]
    if not any_open:
        return [Newer({}, upto, of) for of in found]
    held = [of() for of in found]
    open_ones = tracking.rejections.open_keys(route.name, [*set().union(*held)])
    return [
        Newer({key: each[key] for key in each.keys() & open_ones}, upto, of)
        for each, of in zip(held, found, strict=True)
    ]


def _versions(
    route: Route, rows: pa.RecordBatch, applied: Sequence[int], keys: Collection[str] | None = None
) -> dict[str, int]:
    """The newest version of each of these keys, or of all."""
    taken = rows.take(pa.array(applied, pa.int64()))
    texts = key_texts(taken, _key(route))
    newest: dict[str, int] = {}
    for text, version in zip(texts, taken.column(VERSION.name).to_pylist(), strict=True):
        if keys is None or text in keys:
            newest[text] = max(version, newest.get(text, 0))
    return newest


def _key(route: Route) -> Sequence[str]:
    return route.dataset(0).entity.key
