"""Verify: what a receiver holds against what its dataset says that it should hold.

Keys and versions of both sides are walked beside each other in key order, the receiver's sorted by us first, in bounded
memory. What differs and is on its way, in a message or not dispatched yet, is no difference. Of the keys that agree
some are compared value by value. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.catalog.deliveries import disagreement
from postroad.engine.compare import Different, differing
from postroad.engine.route import Route, from_json
from postroad.errors import ConfigError
from postroad.lake.finding import key_table
from postroad.lake.slices import packed, undispatched
from postroad.lake.sorting import Sorter
from postroad.lake.streams import Stream, windows, with_keys, without_keys
from postroad.lake.tables import rows_of
from postroad.project.where import bind, columns_of
from postroad.records import OP, UPSERT, VERSION, key_texts
from postroad.sdk.connector import Readable
from postroad.tracking.queue import Json

MOST_NAMED = 1_000  # keys of each kind
AT_ONCE = 1_000  # keys whose values are compared at a time
SLICED = 5_000  # rows of a claim check that are read at a time
KIND = "\x00kind"
MISSING, EXTRA, OLDER, NEWER = "missing", "extra", "older", "newer"
KINDS = (MISSING, EXTRA, OLDER, NEWER)


@dataclass
class Verified:
    """What verifying found. `keys` names, of each kind of difference, at most a thousand keys; `counts` counts all.

    `rows` should be there, `held` are. `awaited` differ and are on their way; `rejected` differ because the receiver
    refused them; of `sampled` keys the values were compared.
    """

    target: str
    dataset: str
    rows: int = 0
    held: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    keys: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    awaited: int = 0
    rejected: int = 0
    sampled: int = 0
    different: list[Different] = field(default_factory=list)
    begun: bool = True

    @property
    def equal(self) -> bool:
        """Whether the receiver holds what it should, but for what is on its way."""
        return not any(self.counts.values()) and not self.rejected and not self.different

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**vars(self), "different": [vars(each) for each in self.different], "equal": self.equal}


class Verification:
    """One verification of a subscription's target."""

    def __init__(self, route: Route, sample: int, *, show: bool) -> None:
        self._route = route
        self._destination = _readable(route)
        self._known = route.bench.tracking.subscriptions.get(route.name)
        other = None if self._known is None else disagreement(route.delivery, self._known)
        if other is not None:
            raise ConfigError(other)
        self._dataset = route.dataset(0)
        self._target = route.target(self._dataset)
        self._key = list(self._target.key)
        self._sample = sample
        self._show = show
        self._every = max(1, self._dataset.rows() // max(sample, 1))
        self._since = route.delivery.offset  # what was there before a day was never sent
        self._agreed = 0
        self._waiting: list[pa.Table] = []
        self._done = Verified(route.name, self._dataset.name, begun=self._known is not None)

    def run(self) -> Verified:
        """Compare; what `Readable` raises, and ConfigError if the receiver's keys are none of ours."""
        checks = self._route.bench.tracking.messages.checks(self._route.name)
        schema = pa.schema([*(self._target.schema.field(name) for name in self._key), VERSION])
        with (
            closing(Sorter(schema, self._key)) as theirs,
            closing(Sorter(pa.schema(list(schema)[:-1]), self._key)) as way,
        ):
            for batch in self._destination.keys(self._target):
                theirs.add(self._conformed(batch, schema))
            # Asked for after the receiver was read, so that what arrived meanwhile is among it.
            for keys in self._awaited(checks):
                way.add(keys)
            for found, awaited in windows(self._differences(theirs.rows()), way.rows(), self._key):
                if found is not None:
                    self._count(found if awaited is None else without_keys(found, awaited, self._key), found.num_rows)
        self._compare(last=True)
        return self._done

    # Keys and versions

    def _ours(self) -> Stream:
        """The keys that should be there, as they are called there, with their versions."""
        rule = self._route.delivery.cleaning.where
        passes = None if rule is None else bind(rule, self._dataset.entity.schema)
        own = [*self._dataset.entity.key, VERSION.name]
        asked = () if rule is None else columns_of(rule)
        for rows in self._dataset.current([*dict.fromkeys([*own, *asked])]):
            (batch,) = rows.combine_chunks().to_batches()
            kept = rows if passes is None else rows.filter(pc.fill_null(passes(batch), False))
            if kept.num_rows:
                yield self._renamed(kept.select(own))

    def _differences(self, theirs: Stream) -> Stream:
        for ours, held in windows(self._ours(), theirs, self._key):
            self._done.rows += ours.num_rows if ours is not None else 0
            self._done.held += held.num_rows if held is not None else 0
            found = [self._owed(each) for each in _kinds(ours, held, self._key)]
            if ours is not None and held is not None:
                self._take(ours, held)
            if any(each.num_rows for each in found):
                yield pa.concat_tables(found).sort_by([(name, "ascending") for name in self._key])

    def _owed(self, found: pa.Table) -> pa.Table:
        """Without the rows that nobody ever had to send: those from before the day that a delivery begins with."""
        if not self._since or found.column(KIND)[0].as_py() != MISSING:
            return found
        kept = found.filter(pc.greater(found.column(VERSION.name), self._since))
        self._done.rows -= found.num_rows - kept.num_rows
        return kept

    def _count(self, found: pa.Table, before: int) -> None:
        """Note what differs and is not on its way."""
        self._done.awaited += before - found.num_rows
        if found.num_rows and self._refused.num_rows:
            rest = without_keys(found, self._refused, self._key)
            self._done.rejected += found.num_rows - rest.num_rows
            found = rest
        if self._known is None:
            awaited = found.filter(pc.equal(found.column(KIND), MISSING))
            self._done.awaited += awaited.num_rows
            found = without_keys(found, awaited, self._key)
        for kind in KINDS:
            some = found.filter(pc.equal(found.column(KIND), kind))
            room = MOST_NAMED - len(self._done.keys[kind])
            self._done.counts[kind] += some.num_rows
            self._done.keys[kind] += key_texts(some.slice(0, room), self._key)

    @cached_property
    def _refused(self) -> pa.Table:
        """The keys with an open rejection, which are few."""
        refused = self._route.bench.tracking.rejections.refused(self._route.name)
        return self._renamed(key_table(self._dataset.entity, sorted({row["key"] for row in refused})))

    def _awaited(self, checks: Sequence[Json]) -> Iterator[pa.Table]:
        """The keys of what is on its way: in the messages that were open, and committed since they were written."""
        slices = [(0, each) for check in checks for each in from_json(check)]
        if self._known is not None:
            later = undispatched(self._dataset, self._known["offset"])
            slices += [] if later is None else list(later[1])
        for group in packed(slices, SLICED):
            rows = self._route.reader.read(self._dataset, [each for _, each in group])
            yield self._renamed(rows.select(list(self._dataset.entity.key)))

    def _conformed(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
        try:
            return pa.Table.from_batches([batch]).select(schema.names).cast(schema)
        except (pa.ArrowException, ValueError) as error:
            told = str(error).partition("\n")[0]
            raise ConfigError(f"{self._route.name} holds keys that are none of ours ({told}): look there") from None

    def _renamed(self, rows: pa.Table) -> pa.Table:
        return rows.rename_columns([self._route.delivery.cleaning.named(name) for name in rows.column_names])

    # Values

    def _take(self, ours: pa.Table, held: pa.Table) -> None:
        """Keep some of the keys that agree in their version, evenly spread."""
        if not self._sample:
            return
        one, other = with_keys(ours, held, self._key), with_keys(held, ours, self._key)
        same = one.filter(pc.equal(one.column(VERSION.name), other.column(VERSION.name)))
        first = -self._agreed % self._every
        self._agreed += same.num_rows
        places = pa.array(range(first, same.num_rows, self._every), pa.int64())
        if len(places):
            self._waiting.append(same.take(places))
            self._compare(last=False)

    def _compare(self, *, last: bool) -> None:
        """Compare the values of the keys that wait, once they are many."""
        count = sum(rows.num_rows for rows in self._waiting)
        if not count or (count < AT_ONCE and not last):
            return
        keys = pa.concat_tables(self._waiting)
        self._waiting = []
        ours = self._sent(keys)
        theirs = self._destination.read(self._target, keys.select(self._key))
        compared, found = differing(self._target, ours, pa.Table.from_batches([theirs]), show=self._show)
        self._done.sampled += compared
        self._done.different += found[: MOST_NAMED - len(self._done.different)]

    def _sent(self, keys: pa.Table) -> pa.Table:
        """The rows of the table as the receiver gets them."""
        own = keys.select(self._key).rename_columns(list(self._dataset.entity.key))
        rows = rows_of(self._dataset, own)
        rows = rows.append_column(OP, pa.repeat(pa.scalar(UPSERT), rows.num_rows)).combine_chunks()
        cleaner = self._route.cleaner(self._dataset)
        records = [cleaner.clean(batch, 0).records for batch in rows.to_batches()]
        return pa.Table.from_batches(records) if records else keys.slice(0, 0)


def _kinds(ours: pa.Table | None, held: pa.Table | None, key: Sequence[str]) -> Iterator[pa.Table]:
    """The keys of both sides that differ, each with how."""
    if ours is None or held is None:
        rows = ours if ours is not None else held
        assert rows is not None
        yield _called(rows, MISSING if held is None else EXTRA)
        return
    one, other = with_keys(ours, held, key), with_keys(held, ours, key)
    versions = [side.column(VERSION.name) for side in (one, other)]
    pairs = [
        (without_keys(ours, held, key), MISSING),
        (without_keys(held, ours, key), EXTRA),
        (one.filter(pc.greater(*versions)), OLDER),
        (one.filter(pc.less(*versions)), NEWER),
    ]
    yield from (_called(rows, kind) for rows, kind in pairs if rows.num_rows)


def _called(rows: pa.Table, kind: str) -> pa.Table:
    return rows.append_column(KIND, pa.chunked_array([pa.repeat(pa.scalar(kind), rows.num_rows)]))


def _readable(route: Route) -> Readable:
    if not isinstance(route.destination, Readable):
        raise ConfigError(
            f"'{route.delivery.destination}' cannot be read back, so what it holds is not known; "
            f"`postroad status` shows what it answered"
        )
    return route.destination
