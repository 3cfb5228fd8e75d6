"""The data of one environment, and what people do in it: every change gets the next number of one count.

Not thread safe: the simulator holds one lock around every use.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from postroad.connectors.d365_finops.simulator.entities import Entity, Field, catalogue
from postroad.connectors.d365_finops.simulator.rows import Change, Key, Shelf
from postroad.connectors.d365_finops.simulator.values import held_value
from postroad.connectors.d365_finops.simulator.words import vocabulary

COMPANIES = ("usmf", "demf", "noco", "dat")
"""The legal entities; the last one is as empty as in a real environment."""

SIZES: Mapping[str, int] = {
    "VendorsV2": 1_000,
    "CustomersV3": 800,
    "ReleasedProductsV2": 1_200,
    "PurchaseOrderHeadersV2": 2_000,
    "MainAccounts": 300,
    "GeneralJournalAccountEntries": 5_000,
    "Employees": 120,
}
"""Rows of a shared entity, or of the first company; each further company has half of the one before."""


class Environment:
    """All rows of all entities. Random choices follow from the seed."""

    def __init__(self, seed: int, sizes: Mapping[str, int], companies: Sequence[str] = COMPANIES) -> None:
        self.seed = seed
        self.companies = tuple(company.lower() for company in companies)
        self.version = 0
        self._draw = random.Random(f"changes {seed}")
        self._shelves = {
            entity.collection: dict(self._filled(entity, {**SIZES, **sizes}[entity.collection]))
            for entity in catalogue().entities.values()
        }

    def shelves(self, entity: Entity, company: str | None = None) -> list[Shelf]:
        """The rows of an entity, company by company, or those of one company; a shared entity has one shelf."""
        found = self._shelves[entity.collection]
        if entity.shared or company is None:
            return list(found.values())
        if company.lower() not in found:
            raise LookupError(f"no legal entity '{company}'; there are: {', '.join(self.companies)}")
        return [found[company.lower()]]

    def mutate(self, entity: Entity, count: int, company: str | None = None, joined: bool = False) -> list[Key]:
        """Give random values to a few fields of random rows, of the root table or of `joined` tables; their keys."""
        fields = [field for field in entity.fields if field.joined == joined and field.name not in entity.key]
        changed = []
        for shelf, number in self._some(entity, count, company):
            chosen = self._draw.sample(fields, min(3, len(fields)))
            self._write(shelf, number, {field.name: self._word(field) for field in chosen}, joined)
            changed.append(shelf.key(number))
        return changed

    def update(self, entity: Entity, key: Sequence[Any], values: Mapping[str, Any], tracked: bool = True) -> None:
        """Set fields of one row; untracked as when only time changes an effective-dated row."""
        shelf, number = self.find(entity, key)
        held = {name: held_value(self._settable(entity, name), value) for name, value in values.items()}
        joined = all(entity.by_name[name].joined for name in held)
        self._write(shelf, number, held, joined, tracked)

    def rename(self, entity: Entity, key: Sequence[Any], to: Sequence[Any]) -> None:
        """Give a row another key, as the product's *Rename key* does; `to` holds the parts without the company."""
        shelf, number = self.find(entity, key)
        parts = {name: held_value(entity.by_name[name], part) for name, part in zip(entity.key, to, strict=True)}
        wanted = (*shelf.key(number)[: len(entity.keys) - len(to)], *parts.values())
        taken = shelf.number_of(wanted)
        if taken is not None and shelf.exists(taken):
            raise ValueError(f"there is a row with the key {wanted!r}")
        shelf.renamed.pop(shelf.key(number), None)
        self._write(shelf, number, parts, joined=False)
        shelf.renamed[wanted] = number

    def delete(self, entity: Entity, which: int | Iterable[Sequence[Any]], company: str | None = None) -> list[Key]:
        """Delete random rows, or those with these keys; their keys. No package ever tells (fact sheet 4)."""
        if isinstance(which, int):
            found = list(self._some(entity, which, company))
        else:
            found = [self.find(entity, key) for key in which]
        for shelf, number in found:
            shelf.gone.add(number)
            self.version += 1
        return [shelf.key(number) for shelf, number in found]

    def restore(self, entity: Entity, keys: Iterable[Sequence[Any]]) -> None:
        """Bring deleted rows back under their keys."""
        for key in keys:
            for shelf in self._holders(entity, key):
                number = shelf.number_of(tuple(key))
                if number is not None and number in shelf.gone:
                    shelf.gone.discard(number)
                    self._write(shelf, number, {}, joined=False)
                    break
            else:
                raise LookupError(f"no deleted row {tuple(key)!r} of {entity.collection}")

    def add(self, entity: Entity, count: int, company: str | None = None) -> list[Key]:
        """Add rows, to the first company if none is named; their keys."""
        shelf = self.shelves(entity, company or self.companies[0])[0]
        first, shelf.end = shelf.end, shelf.end + count
        for number in range(first, shelf.end):
            self._write(shelf, number, {}, joined=False)
        return [shelf.key(number) for number in range(first, shelf.end)]

    def find(self, entity: Entity, key: Sequence[Any]) -> tuple[Shelf, int]:
        """The row with that key; a LookupError if there is none."""
        for shelf in self._holders(entity, key):
            number = shelf.number_of(tuple(key))
            if number is not None and shelf.exists(number):
                return shelf, number
        raise LookupError(f"no row {tuple(key)!r} of {entity.collection}")

    def _filled(self, entity: Entity, size: int) -> Iterator[tuple[str, Shelf]]:
        if entity.shared:
            yield "", Shelf(entity, "", self.seed, size)
            return
        for place, company in enumerate(self.companies):
            yield company, Shelf(entity, company, self.seed, 0 if company == "dat" else size >> place)

    def _holders(self, entity: Entity, key: Sequence[Any]) -> list[Shelf]:
        if len(key) != len(entity.keys):
            raise LookupError(f"a key of {entity.collection} is {', '.join(entity.keys)}")
        return self.shelves(entity, None if entity.shared else str(key[0]))

    def _some(self, entity: Entity, count: int, company: str | None) -> Iterator[tuple[Shelf, int]]:
        """Different random rows; fewer if there are not enough."""
        shelves = [shelf for shelf in self.shelves(entity, company) if len(shelf)]
        seen: set[tuple[str, int]] = set()
        for _ in range(count * 20 if shelves else 0):
            shelf = self._draw.choices(shelves, [len(shelf) for shelf in shelves])[0]
            number = self._draw.randrange(shelf.end)
            if shelf.exists(number) and (shelf.company, number) not in seen:
                seen.add((shelf.company, number))
                yield shelf, number
            if len(seen) >= count:
                return

    def _word(self, field: Field) -> Any:
        words = vocabulary(field)
        return words[self._draw.randrange(len(words))].as_py()

    def _write(self, shelf: Shelf, number: int, values: Mapping[str, Any], joined: bool, tracked: bool = True) -> None:
        if values:
            shelf.values[number] = {**shelf.values.get(number, {}), **values}
        self.version += 1
        if tracked:
            root = shelf.changes[number].root if number in shelf.changes else 0
            shelf.changes[number] = Change(root if joined else self.version, self.version)

    @staticmethod
    def _settable(entity: Entity, name: str) -> Field:
        if name not in entity.by_name or name in entity.keys:
            raise ValueError(f"'{name}' is no field of {entity.collection} that can be set")
        return entity.by_name[name]
