"""One delivery opened for work: its dataset, its destination, and its subscription."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from postroad.engine.bench import Bench
from postroad.engine.cleaning import Cleaned, Cleaner
from postroad.errors import StateError
from postroad.lake import Dataset
from postroad.lake.slices import Slice, SliceReader
from postroad.project import Delivery
from postroad.records import CHANGED_AT, OP, VERSION, Entity, Facts
from postroad.sdk.connector import Destination, Gathering, Once, Ordered
from postroad.tracking.queue import Held, Json
from postroad.tracking.runs import moment
from postroad.tracking.subscriptions import Wanted


@dataclass
class Route:
    """A delivery at work. Columns that the lake gets meanwhile are seen with the first version after them.

    `origin` says which project it is of, for receivers.
    """

    delivery: Delivery
    bench: Bench
    destination: Destination
    reader: SliceReader
    origin: str = ""
    _seen: int = 0
    _dataset: Dataset | None = field(default=None)
    _cleaner: tuple[Entity, Cleaner] | None = field(default=None)

    @property
    def name(self) -> str:
        """The subscription's name, which is that of its target."""
        return self.delivery.to

    @property
    def wanted(self) -> Wanted:
        """The subscription as the project describes it."""
        delivery = self.delivery
        cleaning = delivery.cleaning.digest
        place = (delivery.destination, delivery.target)
        return Wanted(delivery.to, delivery.dataset, *place, delivery.start, cleaning, self.ordered)

    @property
    def gathers(self) -> bool:
        """Whether records of several messages may be sent as one."""
        return isinstance(self.destination, Gathering) and self.destination.gathers and not self.ordered

    @property
    def ordered(self) -> bool:
        """Whether the receiver takes what comes, so that messages have to come in order."""
        return isinstance(self.destination, Ordered) and self.destination.ordered

    @property
    def once(self) -> bool:
        """Whether what may have arrived is not to be sent again."""
        return isinstance(self.destination, Once) and self.destination.once

    def dataset(self, version: int) -> Dataset:
        """The dataset with the columns that it has at that version."""
        if self._dataset is None or version > self._seen:
            self.bench.forget_columns(self.delivery.entity)
            self._dataset, self._seen = self.bench.dataset(self.delivery.entity), version
        return self._dataset

    def target(self, dataset: Dataset) -> Entity:
        """What the destination is told of the dataset: the target's name, key and columns as the delivery has them."""
        return self.cleaner(dataset).target

    def cleaner(self, dataset: Dataset) -> Cleaner:
        """The delivery's rule for the columns that the dataset has; ConfigError if it does not suit them."""
        if self._cleaner is None or self._cleaner[0] is not dataset.entity:
            cleaner = Cleaner(self.delivery.cleaning, self.delivery.target, dataset.entity)
            self._cleaner = dataset.entity, cleaner
        return self._cleaner[1]

    def cleaned(self, dataset: Dataset, rows: pa.RecordBatch, slices: Json) -> Cleaned:
        """What of a message's rows goes to the receiver, and as what."""
        # The rows of the table come first in any message: a subscription is told of them before any change. Those
        # that are told anew, when it has expired, may have passed before.
        table = f"{dataset.table.folder}/"
        current = sum(each.rows for each in from_json(slices) if each.path.startswith(table) and not each.told)
        return self.cleaner(dataset).clean(rows, current)

    def facts(self, held: Held) -> Facts:
        """What a receiver may want to know of a message."""
        identifier, at = f"{held.message}-{held.receipt}", moment(held.dispatched_at)
        return Facts(identifier, self.origin, self.delivery.dataset, held.batch, held.batches, at)

    def rows(self, dataset: Dataset, slices: Json) -> pa.RecordBatch:
        """The records of a claim check: business columns, `_op`, `_changed_at` and `_version`.

        StateError if they have more than the 2 GiB of text that a column of one batch can hold.
        """
        found = self.reader.read(dataset, from_json(slices))
        names = [*dataset.entity.schema.names, OP.name, CHANGED_AT.name, VERSION.name]
        rows = found.select(names).combine_chunks()
        batches = rows.to_batches()
        if len(batches) > 1:
            raise StateError("a message has more than 2 GiB of text: name another target, with fewer most_records")
        return batches[0] if batches else pa.RecordBatch.from_pylist([], rows.schema)


def to_json(slices: Sequence[Slice]) -> Json:
    """A claim check as it is stored: `[path, first row, rows, size]` each, and `true` where rows are told anew."""
    return [[each.path, each.first, each.rows, each.size, *([True] if each.told else [])] for each in slices]


def from_json(slices: Json) -> list[Slice]:
    """The same back."""
    return [Slice(*each) for each in slices]
