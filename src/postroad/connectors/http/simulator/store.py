"""What the simulated API keeps: records by key with their versions, and its answers by idempotency key."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
Key = tuple[Any, ...]
OWN = ("_op", "_version", "_changed_at")


class UnreadableError(ValueError):
    """A batch that no API would take; says why."""


@dataclass
class Kept:
    """The last state of a key that was taken; `row` is None after a delete."""

    version: int
    row: Record | None
    times: int = 1


@dataclass
class Store:
    """Targets with their records. `compares`: an older version never replaces a newer one, deletes included."""

    key: tuple[str, ...]
    compares: bool = True
    targets: dict[str, dict[Key, Kept]] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)
    later: set[Key] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def read(self, value: Any) -> Sequence[Record]:
        """The records of a batch; UnreadableError unless each has the key, the operation and the version."""
        if not isinstance(value, list) or not value:
            raise UnreadableError("there is no list of records")
        for each in value:
            if not isinstance(each, dict) or not {*self.key, "_op", "_version"} <= each.keys():
                raise UnreadableError(f"a record lacks one of {', '.join(self.key)}, _op, _version")
        return value

    def apply(self, target: str, records: Sequence[Record]) -> list[dict[str, Any]]:
        """Take the records; a result for each, with the fields of its key."""
        with self.lock:
            return [self._one(self.targets.setdefault(target, {}), each) for each in records]

    def bad(self, records: Sequence[Record]) -> str | None:
        """Why one of the records would be refused, if one would."""
        return next((why for each in records if (why := self.refused.get(self.key_of(each)))), None)

    def rows(self, target: str) -> list[Record]:
        """The records of a target that are not deleted."""
        with self.lock:
            return [dict(each.row) for each in self.targets.get(target, {}).values() if each.row is not None]

    def key_of(self, record: Record) -> Key:
        """A record's key."""
        return tuple(record[name] for name in self.key)

    def _one(self, kept: dict[Key, Kept], record: Record) -> dict[str, Any]:
        key = self.key_of(record)
        named = {name: record[name] for name in self.key}
        if key in self.refused:
            return {**named, "state": "refused", "error": self.refused[key]}
        if key in self.later:
            return {**named, "state": "later"}
        known, version = kept.get(key), int(record["_version"])
        if known is not None and self.compares and known.version >= version:
            return {**named, "state": "known"}
        row = {name: value for name, value in record.items() if name not in OWN}
        times = 1 if known is None else known.times + 1
        kept[key] = Kept(version, None if record["_op"] == "delete" else row, times)
        return {**named, "state": "ok"}
