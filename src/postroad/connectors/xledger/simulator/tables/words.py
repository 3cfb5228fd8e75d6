"""Short words for what many tables have: references, small lists, where ids begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from postroad.connectors.xledger.simulator.declare import Field, Ids, Make, Sizes, Table, view
from postroad.connectors.xledger.simulator.generate import ID_STEP, Generated
from postroad.connectors.xledger.simulator.makers import always, counted, ids, listed, pattern

KINDS = ("COST_CENTER", "PROJECT", "EMPLOYEE", "CUSTOMER", "SUPPLIER", "TAX_RULE", "ACTIVITY", "OTHER")
"""The names of `objectKinds`, in their order."""


def near(offset: int) -> Ids:
    """The ids of a small table, close together."""
    return Ids(lambda seed: 20_000_000 + seed % 10_000 * 100_000 + offset)


def far(slot: int) -> Ids:
    """The ids of a table of up to a million rows, all below 32 bits; tenants of near seeds share none."""
    return Ids(lambda seed: 100_000_000 + slot * 120_000_000 + seed % 30 * 4_000_000, ID_STEP)


def fixed(count: int) -> Callable[[Sizes], int]:
    """The size of a table that depends on no other."""
    return lambda _sizes: count


def whole(used: Callable[[Sizes], int]) -> Callable[[Sizes], int]:
    """A size of which all but the spare quarter are `used`."""
    return lambda sizes: used(sizes) + used(sizes) // 3


def ref(table: str, make: Make | None = None, shown: str = "ObjectValue", column: str = "") -> Field:
    """A reference to a row of that table, shown by that type."""
    return Field(shown, make, column, of=table)


def id_of(column: str, table: str) -> Field:
    """The dbId of a reference that another field holds."""
    return Field("Int", column=column, of=table)


def hidden(make: Make, of: str = "", kind: str = "String") -> Field:
    """A column that no field of the table's own type shows."""
    return Field(kind, make, of=of, hidden=True)


def as_object(kind: str) -> dict[str, Field]:
    """The columns that `ObjectValue` shows of a table beside those that every table has."""
    return {"id": hidden(pattern("{:06}")), "objectKind": hidden(always(KINDS.index(kind) + 1), "objectKinds")}


def owned(make: Make) -> dict[str, Field]:
    """Whose a row is."""
    return {"owner": ref("entities", make, "Entity"), "ownerDbId": id_of("owner", "entities")}


def steward(rows: Generated, _name: str, start: int, stop: int) -> list[str | int | float | bool | None]:
    """Owners that the token reaches; of the rows that nobody refers to, every third is the group's."""
    reach = rows.reach
    return [1 if number >= reach and number % 3 == 0 else 2 + number % 4 for number in range(start, stop)]


OBJECT_VALUE = view(
    "ObjectValue",
    dbId="Int",
    code="String",
    description="String",
    id="String",
    owner=ref("entities", shown="Entity"),
    objectKind=ref("objectKinds", shown="ObjectKind"),
)


def objects(
    name: str, singular: str, titles: Sequence[str | None], code: str, offset: int, kind: str = "OTHER"
) -> Table:
    """A small table of object values."""
    fields = {
        "dbId": Field("Int", ids),
        "code": Field("String", pattern(code)),
        "description": Field("String", listed(*titles)),
        "id": Field("String", pattern("{:06}")),
        "owner": ref("entities", listed(2, 3, 4, 5, 1), "Entity"),
        "objectKind": ref("objectKinds", always(KINDS.index(kind) + 1), "ObjectKind"),
    }
    return Table(name, singular, "ObjectValue", fields, fixed(len(titles)), near(offset))


def codes(name: str, singular: str, titles: Sequence[str], offset: int, definition: int) -> Table:
    """A small table of code objects, which are much like enumerations."""
    fields = {
        "dbId": Field("Int", ids),
        "dbSubId": Field("Int", counted(1)),
        "name": Field("String", listed(*titles)),
        "code": Field("String", pattern("{:02}")),
        "ownerDbId": Field("Int", always(None)),
        "definitionId": Field("Int", always(definition)),
    }
    return Table(name, singular, "CodeObject", fields, fixed(len(titles)), near(offset))
