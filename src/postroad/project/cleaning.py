"""Simple cleaning at a delivery: which columns and rows a receiver gets, and what they are called there.

What is wrong with a rule by itself is told when the project is loaded; what is wrong with it for its dataset when the
columns of that are known, which needs no network either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from postroad.errors import Mistake
from postroad.project.nodes import Spot
from postroad.project.problems import near, one_of
from postroad.project.where import Condition, WhereError, bind, columns_of
from postroad.records import Entity

Constant = str | int | float | bool


@dataclass(frozen=True)
class Cleaning:
    """What a delivery makes of its dataset's rows, in the dataset's own names.

    `select`: these columns and the key; None: all. `where`: only rows that meet it; one that does not, or not any
    more, is a delete of its key. `rename`: what a column is called at the receiver. `constants`: further columns there,
    the same in each row. `spots` is where each part stands: `("select", 0)`, `("rename", "hours")`, `("where",)`.
    """

    select: tuple[str, ...] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    where: Condition | None = None
    constants: Mapping[str, Constant] = field(default_factory=dict)
    spots: Mapping[tuple[str | int, ...], Spot] = field(default_factory=dict, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """Tells two rules apart; the same for one that is only written otherwise."""
        select = None if self.select is None else sorted({*self.select})
        constants = sorted((name, type(value).__name__, value) for name, value in self.constants.items())
        said = json.dumps([select, sorted(self.rename.items()), repr(self.where), constants])
        return hashlib.sha256(said.encode()).hexdigest()

    def kept(self, entity: Entity) -> list[str]:
        """The columns that are sent, by their names in the dataset, in its order; those of the key are among them."""
        wanted = entity.schema.names if self.select is None else {*self.select, *entity.key}
        return [name for name in entity.schema.names if name in wanted]

    def named(self, column: str) -> str:
        """What a column is called at the receiver."""
        return self.rename.get(column, column)

    def target(self, name: str, entity: Entity) -> Entity:
        """What the destination is told of the dataset: the target's name, and key and columns as they are there."""
        columns = [entity.schema.field(each).with_name(self.named(each)) for each in self.kept(entity)]
        columns += [pa.field(each, pa.scalar(value).type) for each, value in self.constants.items()]
        return Entity(name, tuple(self.named(each) for each in entity.key), pa.schema(columns))

    def mistakes(self, entity: Entity) -> list[Mistake]:
        """What is wrong with the rule for a dataset with these columns."""
        return list(dict.fromkeys([*self._unknown(entity), *self._taken(entity), *self._unfit(entity)]))

    def _unknown(self, entity: Entity) -> Iterator[Mistake]:
        names = entity.schema.names
        asked: list[tuple[tuple[str | int, ...], str]] = [
            (("select", place), name) for place, name in enumerate(self.select or ())
        ]
        asked += [(("rename", name), name) for name in self.rename]
        asked += [(("where",), name) for name in (columns_of(self.where) if self.where else ())]
        for place, name in asked:
            if name not in names:
                sentence = f"{place[0]}: {entity.name} has no column '{name}'; there are: {one_of(names)}"
                yield self._mistake(place, "unknown-column", sentence, near(name, names))

    def _taken(self, entity: Entity) -> Iterator[Mistake]:
        """Two columns of one name at the receiver."""
        kept = self.kept(entity)
        names = [self.named(each) for each in kept]
        for name in kept:
            if name in self.rename and names.count(self.rename[name]) > 1:
                sentence = f"rename: another column is called '{self.rename[name]}' already"
                yield self._mistake(("rename", name), "repeated-column", sentence)
        for name in self.constants:
            if name in names:
                sentence = f"constants: {entity.name} has a column '{name}' already"
                yield self._mistake(("constants", name), "repeated-column", sentence)

    def _unfit(self, entity: Entity) -> Iterator[Mistake]:
        if self.where is None or not {*columns_of(self.where)} <= {*entity.schema.names}:
            return
        try:
            bind(self.where, entity.schema)
        except WhereError as error:
            yield self._mistake(("where",), "bad-where", f"where: {error}")

    def _mistake(self, place: tuple[str | int, ...], code: str, sentence: str, hint: str = "") -> Mistake:
        spot = self.spots.get(place, Spot("deliver"))
        return Mistake(spot.file, spot.line, spot.column, code, sentence, hint)
