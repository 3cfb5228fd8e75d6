"""Cleaning: what of a message's rows a receiver gets, all columns at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from postroad.errors import ConfigError
from postroad.project.cleaning import Cleaning
from postroad.project.where import Bound, bind
from postroad.records import CHANGED_AT, DELETE, OP, UPSERT, VERSION, Entity

OURS = (OP.name, CHANGED_AT.name, VERSION.name)


@dataclass(frozen=True)
class Cleaned:
    """The records to send. `places` says which rows they are where some are left out; None: all, in their order."""

    records: pa.RecordBatch
    places: pa.Array | None = None

    def original(self, places: Sequence[int]) -> Sequence[int]:
        """Places among the records as places among the rows."""
        if self.places is None:
            return places
        found: list[int] = self.places.take(pa.array(places, pa.int64())).to_pylist()
        return found


class Cleaner:
    """The rule of one delivery, bound to the columns that its dataset has now."""

    def __init__(self, rule: Cleaning, name: str, entity: Entity) -> None:
        """ConfigError with every mistake, where the rule does not suit the columns."""
        mistakes = rule.mistakes(entity)
        if mistakes:
            raise ConfigError(mistakes=mistakes)
        self.target = rule.target(name, entity)
        self._rule = rule
        self._kept = rule.kept(entity)
        self._passes: Bound | None = None if rule.where is None else bind(rule.where, entity.schema)

    def clean(self, rows: pa.RecordBatch, current: int) -> Cleaned:
        """The records for the receiver. `current` says how many of the first rows are of the table, not of changes.

        A row of the changes that does not pass is a delete, for the receiver may hold an older version that did
        (sequence 17). One of the table is left out: those are the first that a subscription tells of their keys.
        """
        op, places = rows.column(OP.name), None
        if self._passes is not None:
            passes = pc.fill_null(self._passes(rows), False)
            op = pc.if_else(passes, op, pa.scalar(DELETE))
            if current:
                left = pa.concat_arrays([pa.repeat(True, current), pa.repeat(False, rows.num_rows - current)])
                sent = pc.invert(pc.and_(left, pc.and_(pc.equal(rows.column(OP.name), UPSERT), pc.invert(passes))))
                places = None if pc.all(sent).as_py() else pc.indices_nonzero(sent)
        columns = [rows.column(name) for name in self._kept]
        columns += [pa.repeat(pa.scalar(value), rows.num_rows) for value in self._rule.constants.values()]
        columns += [op, *(rows.column(name) for name in OURS[1:])]
        records = pa.RecordBatch.from_arrays(columns, names=[*self.target.schema.names, *OURS])
        return Cleaned(records if places is None else records.take(places), places)
