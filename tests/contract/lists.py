"""What every receiver of ours does with columns of lists and structures: it takes them whole, and gives them back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from postroad.records import DELETE, MONEY, Entity
from postroad.sdk.connector import Readable
from postroad.testing import KEY, THINGS, DestinationSuite, ReadableSuite, thing

LINES = pa.field(
    "lines",
    pa.list_(
        pa.struct(
            [
                ("item", pa.string()),
                ("amount", MONEY),
                ("due", pa.date32()),
                ("at", pa.timestamp("us", "UTC")),
                ("open", pa.bool_()),
                ("counts", pa.list_(pa.int64())),
            ]
        )
    ),
)
NESTED = Entity("things", KEY, pa.schema([*THINGS, LINES]))


def lines_of(longest: Decimal) -> Sequence[Any]:
    """Values of the suite's column of lists."""
    nothing = dict.fromkeys(field.name for field in LINES.type.value_type)
    one = {
        "item": "Ærø 'q' \"t\" \\ %s \u2028",
        "amount": longest,
        "due": date.min,
        "open": True,
        "counts": [2, None, -1],
    }
    two = {"amount": Decimal("-0.000000001"), "at": datetime(2026, 3, 29, 1, 59, 59, 999_999, UTC), "counts": []}
    return [{**nothing, **one}, None, nothing, {**nothing, **two}], [], [{**nothing, "item": ""}], None


class ListsSuite(DestinationSuite):
    """A dataset that has such a column."""

    def test_lists_and_structures_arrive_whole(self) -> None:
        """Entries in their order, nulls among them; an empty list is not null. A delete takes them away."""
        rows = dict(enumerate(lines_of(self.longest)))
        self._send([thing(9, 1, "narrow")])
        self._send([thing(number, 1, lines=lines) for number, lines in rows.items()], NESTED)
        self._send([thing(1, 2, lines=rows[0]), thing(2, 2, op=DELETE)], NESTED)
        found = {number: row["lines"] for (_, number), row in self.held().items()}
        wanted = {0: rows[0], 1: rows[0], 3: None, 9: None}
        assert found == {number: self.expected({"lines": each})["lines"] for number, each in wanted.items()}


class ReadableListsSuite(ListsSuite, ReadableSuite):
    """The same, and what `verify` relies on."""

    def test_lists_and_structures_are_read_back(self) -> None:
        """As exact as their types say."""
        rows = [thing(number, 1, lines=lines) for number, lines in enumerate(lines_of(self.longest))]
        with closing(self.destination()) as destination:
            assert isinstance(destination, Readable)
            self._pass(destination, rows, NESTED)
            asked = pa.table({"company": ["se01"] * 4, "number": pa.array(range(4), pa.int64())})
            found = pa.Table.from_batches([destination.read(NESTED, asked)]).sort_by("number")
        sent = pa.Table.from_batches([self._records(rows, NESTED)]).column("lines")
        held = found.column("lines")
        assert held.to_pylist() == sent.cast(held.type, safe=False).to_pylist()
