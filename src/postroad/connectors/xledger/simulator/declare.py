"""The words in which tables of the remote system are declared: schema, rows, filters and feeds all follow from them.

A `Table` is one kind of row. Its fields are those of its GraphQL type; a field has a maker (`makers`) that computes
its column, or shows a column that another field made. A reference stores the place of a row in another table: its
number plus one, 0 for none. The same table may be shown by several types: an employee whole, or as `ObjectValue`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postroad.connectors.xledger.simulator.generate import Generated

Value = str | int | float | bool | None
Column = list[Value]
Sizes = Mapping[str, int]
Make = Callable[["Generated", str, int, int], Column]
"""A column, by its name, for the rows from one number to below another; they lie in one block."""


class Moment(Enum):
    """In `Table.fresh`: the time, or the day, at which a row is added."""

    NOW = auto()
    TODAY = auto()


NOW, TODAY = Moment.NOW, Moment.TODAY


@dataclass(frozen=True)
class Field:
    """One field of a GraphQL type and the column that it shows.

    `of` names the table that it points into; then the column holds places, and a scalar `type` shows the other row's
    dbId. `part` is an object made of further columns of the same row. A hidden field has a column and nothing else.
    """

    type: str
    make: Make | None = None
    column: str = ""
    of: str = ""
    part: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Type:
    """A GraphQL object type: its fields, each with the column that it shows."""

    name: str
    fields: Mapping[str, Field]


@dataclass(frozen=True)
class Table:
    """One kind of row.

    `size` gives the number of rows from the sizes of the tables declared before it and of those asked for; of a
    `sized` one it can be asked for. `ids` is where dbIds begin. A `connection` is a root field of the table's name,
    and one with `deltas` has a feed of its changes. `mutable` columns are those that change when rows are changed at
    random, `fresh` are the values of a row that was just added, `unfiltered` the fields without a filter. Of a table
    with `spare`, the last quarter of the rows is referred to by nobody.
    """

    name: str
    singular: str
    type: str
    fields: Mapping[str, Field]
    size: Callable[[Sizes], int]
    ids: Ids
    connection: bool = False
    sized: bool = False
    deltas: bool = False
    spare: bool = False
    mutable: tuple[str, ...] = ()
    fresh: Mapping[str, Value | Moment] = field(default_factory=dict)
    unfiltered: frozenset[str] = frozenset()

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """The columns of a row, in the order in which a row holds them."""
        return tuple(name for name, each in self.fields.items() if each.make is not None)

    @cached_property
    def place(self) -> dict[str, int]:
        """Where in a row each column is."""
        return {name: place for place, name in enumerate(self.stored)}

    @cached_property
    def shown(self) -> Type:
        """Its own GraphQL type."""
        visible = {
            name: replace(each, column=each.column or name) for name, each in self.fields.items() if not each.hidden
        }
        return Type(self.type, visible)

    @property
    def filter(self) -> str:
        """The name of its filter's type, from the only one that is known: `Timesheet_Filter` (fact sheet 1.5)."""
        return f"{self.type}_Filter"

    @property
    def deltas_root(self) -> str:
        """The root field of its changes."""
        return f"{self.singular}_deltas"


@dataclass(frozen=True)
class Ids:
    """How dbIds ascend: from `first` (of a seed), up to `step` apart; or exactly the `listed` ones.

    `wide` ids exceed 32 bits and are written as strings (`Int64String`).
    """

    first: Callable[[int], int] = lambda _seed: 0
    step: int = 1
    wide: bool = False
    listed: tuple[int, ...] = ()


def view(name: str, **fields: str | Field) -> Type:
    """A GraphQL type that shows columns of the same names, given by their scalar types; or fields as they are."""
    made = {key: Field(each) if isinstance(each, str) else each for key, each in fields.items()}
    return Type(name, {key: replace(each, column=each.column or key) for key, each in made.items()})
