"""Normalise: landed changes become commits on `changes`; and materialise, which brings the table to their head.

Rejections first, then one commit that holds the rows and the number of the last payload applied. A kill between the
two repeats the payload: its rejections are replaced by the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.engine.bench import Bench
from postroad.engine.columns import note_absent
from postroad.engine.stage import reject
from postroad.engine.superseded import drop_superseded
from postroad.lake import changes, tables
from postroad.lake.lake import Dataset, Hand
from postroad.lake.streams import filled, latest_of_each
from postroad.records import DELETE, OP, UPSERT, Feed
from postroad.telemetry import Stage

BYTES_AT_ONCE = 16_000_000  # of raw payloads in one commit: bounds the memory of a stage call


def publish(bench: Bench, entity: str, run: str) -> None:
    """Bring `changes` and then the table to the head of what landed, unless an open first load withholds it."""
    dataset = bench.dataset(entity)
    with bench.writing(dataset, run) as hand:
        publish_under(bench, dataset, hand)
        drop_superseded(bench, dataset)


def publish_under(bench: Bench, dataset: Dataset, hand: Hand) -> None:
    """The same under a lease that is held already."""
    feed = bench.changes_feed(dataset.entity.name)
    if feed is not None and not withheld(bench, dataset):
        for payloads in _groups(pending(bench, dataset, feed)):
            bench.stop.check()
            bench.reporter.stage(Stage.NORMALISE, dataset.name)
            _normalise(bench, dataset, feed, payloads, hand)
    materialise_under(bench, dataset, hand)


def materialise_under(bench: Bench, dataset: Dataset, hand: Hand) -> None:
    """Bring the table to the head of `changes` under a lease that is held already."""
    bench.reporter.stage(Stage.MATERIALISE, dataset.name)
    tally = tables.materialise(dataset, hand)
    count = bench.count(dataset.entity.name)
    count.new += tally.new
    count.changed += tally.changed
    count.deleted += tally.deleted


def withheld(bench: Bench, dataset: Dataset) -> bool:
    """Whether changes wait for the close of a walk: in a first load, and after another tenant (sequence 1)."""
    name = dataset.entity.name
    return dataset.first_load(bench.feed_names(name)) or bool(
        bench.tracking.feeds.entity(bench.connection, name)["withheld"]
    )


def pending(bench: Bench, dataset: Dataset, feed: Feed) -> list[Mapping[str, Any]]:
    """The payloads of a feed of changes that hold rows of this dataset and were not applied (sequence 14)."""
    position = dataset.position(feed.name) or 0
    rows = bench.tracking.feeds.payloads(bench.connection, feed.name, after=position)
    return [row for row in rows if dataset.entity.name in row["entities"]]


def _groups(payloads: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    size = 0
    for row in payloads:
        if group and size + row["size"] > BYTES_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(row)
        size += row["size"]
    if group:
        yield group


def _normalise(bench: Bench, dataset: Dataset, feed: Feed, payloads: Sequence[Mapping[str, Any]], hand: Hand) -> None:
    entity = dataset.entity
    landed = [bench.parse(feed, row, entity) for row in payloads]
    if len(payloads) > 1 and any(each.absent for each in landed):
        # Absent values come from the row before, which may be in the payload before: one at a time.
        for row in payloads:
            _normalise(bench, dataset, feed, [row], hand)
        return
    for row, each in zip(payloads, landed, strict=True):
        reject(bench, row, entity, hand.run, each.refusals, accepted=each.rows)
        bench.count(entity.name).read += each.rows.num_rows + len(each.refusals)
        bench.count(entity.name).rejected += len(each.refusals)
    rows = latest_of_each(pa.concat_tables([each.rows for each in landed]), entity.key)
    if any(each.rows.num_rows for each in landed):
        note_absent(bench, entity.name, landed[0].absent, refresh=True)
    if landed[0].absent:
        materialise_under(bench, dataset, hand)
        rows = _whole(dataset, rows, landed[0].absent)
    version = bench.tracking.leases.version(dataset.changes.expected or 0)
    changes.append(dataset, rows, version, hand, {feed.name: payloads[-1]["number"]})


def _whole(dataset: Dataset, rows: pa.Table, absent: Sequence[str]) -> pa.Table:
    """The rows with the values that the table has for what was not sent; a delete has none (sequence 16)."""
    upserts = rows.filter(pc.equal(rows.column(OP.name), UPSERT))
    deletes = rows.filter(pc.equal(rows.column(OP.name), DELETE))
    key = dataset.entity.key
    before = tables.rows_of(dataset, upserts)
    return pa.concat_tables([filled(upserts, before, key, absent), deletes]).sort_by(
        [(name, "ascending") for name in key]
    )
