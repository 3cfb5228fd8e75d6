"""What a receiver holds beside what it should: values as the receiver's types keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from postroad.engine.compare import differing
from postroad.records import VERSION, Entity

LATE = datetime(1969, 12, 31, 23, 59, 59, 1, UTC)  # cut downwards it is another millisecond than cut to the middle
KEPT = LATE.replace(microsecond=0)
US, MS = pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC")


def of(member: Any, kind: pa.DataType) -> tuple[list[Any], pa.DataType]:
    """A column whose second value has a structure that is null."""
    structure = pa.struct([("a", kind), ("b", pa.string())])
    return [[{"a": member, "b": "x"}], [None], [], None], pa.list_(structure)


@pytest.mark.parametrize("nested", [False, True])
def test_times_are_compared_as_the_receiver_keeps_them(nested: bool) -> None:
    ours, theirs, others = (
        of(member, kind) if nested else ([member, None], kind)
        for member, kind in ((LATE, US), (KEPT, MS), (KEPT + timedelta(milliseconds=1), MS))
    )
    places = list(range(len(ours[0])))
    target = Entity("things", ("id",), pa.schema([("id", pa.int64()), ("it", ours[1])]))

    def table(column: tuple[list[Any], pa.DataType]) -> pa.Table:
        return pa.table({"id": places, "it": pa.array(*column), VERSION.name: [1] * len(places)})

    assert differing(target, table(ours), table(theirs), show=False) == (len(places), [])
    _, (found,) = differing(target, table(ours), table(others), show=False)
    assert (found.key, found.fields) == ("[0]", ["it"])
