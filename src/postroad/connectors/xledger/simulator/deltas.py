"""The log of mutations that the remote system keeps for three days (fact sheet 2.1)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

from postroad.connectors.xledger.simulator.declare import Value

MutationType = Literal["ADDED", "UPDATED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Delta:
    """One mutation: the row as it was just after it (of a deletion: just before), and the era of what it refers to."""

    version: int
    kind: MutationType
    number: int
    at: float
    row: tuple[Value, ...]
    era: int


class DeltaLog:
    """Mutations with consecutive versions; the old ones are dropped."""

    def __init__(self, tenant: str, owner: int) -> None:
        self._owner = owner  # the place of the owner in a row
        self._tag = f"{zlib.crc32(tenant.encode()):08x}"
        self._entries: list[Delta] = []
        self._next = 1

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, kind: MutationType, number: int, at: float, row: tuple[Value, ...], era: int) -> Delta:
        """Log one mutation."""
        delta = Delta(self._next, kind, number, at, row, era)
        self._entries.append(delta)
        self._next += 1
        return delta

    def drop_before(self, at: float) -> int:
        """Drop the entries that are older; how many."""
        kept = next((place for place, delta in enumerate(self._entries) if delta.at >= at), len(self._entries))
        del self._entries[:kept]
        return kept

    def sync_version(self, delta: Delta) -> str:
        """The opaque text of a version. Its digits are reversed, so that whoever sorts by it is found out."""
        return f"{delta.version:012x}"[::-1] + self._tag

    def version_of(self, cursor: str) -> int | None:
        """The version behind a cursor; None if it is of another tenant, a ValueError if it is none."""
        if len(cursor) != 20:
            raise ValueError(cursor)
        version = int(cursor[:12][::-1], 16)
        return version if cursor[12:] == self._tag and version < self._next else None

    def is_expired(self, version: int, when: Literal["gone", "gap"]) -> bool:
        """Whether entries after that version, or the entry itself, were dropped already."""
        oldest = self._next - len(self._entries)
        return version < (oldest if when == "gone" else oldest - 1)

    def between(self, after: int, before: int | None, owners: frozenset[Value]) -> list[Delta]:
        """The retained entries after and before those versions whose rows belong to these owners."""
        oldest = self._next - len(self._entries)
        stop = len(self._entries) if before is None else max(before - oldest, 0)
        return [delta for delta in self._entries[max(after + 1 - oldest, 0) : stop] if delta.row[self._owner] in owners]
