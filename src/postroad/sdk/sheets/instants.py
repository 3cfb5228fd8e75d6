"""Times of cells as instants: a time without a zone is local to the connection's, one with a zone is what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.sdk.times import to_utc

LOCAL, INSTANT = pa.timestamp("us"), pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Instants:
    """A column in UTC. Rows in `missing` name a time that never was; `ambiguous` ones took the earlier of two."""

    array: pa.Array
    missing: list[int]
    ambiguous: dict[int, str]


def instants(moments: Sequence[Any], zone: str) -> Instants:
    """The instants of these datetimes (or None)."""
    zoned = [moment is not None and moment.tzinfo is not None for moment in moments]
    local = [None if moment is None or named else moment for moment, named in zip(moments, zoned, strict=True)]
    found = to_utc(pa.array(local, LOCAL), zone)
    array = found.values
    if any(zoned):
        fixed = [_utc(moment) if named else None for moment, named in zip(moments, zoned, strict=True)]
        array = pc.if_else(pa.array(zoned), pa.array(fixed, INSTANT), array)
    return Instants(array, found.missing, {row: moments[row].isoformat() for row in found.ambiguous})


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
