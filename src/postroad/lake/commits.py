"""The positions that each commit of a table carried: which payloads of which feeds a `_version` applied.

Read from the log itself, of which no entry is ever cleaned up; `_version`s ascend with it, so one is found by halving.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property, lru_cache

from postroad.lake.delta import FENCE, DeltaLog
from postroad.lake.disk import Disk


class Commits:
    """The commits of one table, oldest first."""

    def __init__(self, disk: Disk, log: DeltaLog) -> None:
        self._disk = disk
        self._folder = f"{log.folder}/_delta_log"
        self._read = lru_cache(1000)(self._actions)

    def of(self, version: int) -> int | None:
        """The number of the commit that made a version; None if there is none."""
        at = bisect_left(range(len(self._names)), version, key=self._fence)
        return at if at < len(self._names) and self._fence(at) == version else None

    def positions(self, commit: int) -> Mapping[str, int]:
        """The actions of a commit: `feed:<feed>` is the number of the last payload that it applied."""
        return self._read(self._names[commit])

    def before(self, commit: int, action: str) -> int | None:
        """The value that an action had before a commit; None if it had none. Looks back as far as it has to."""
        for earlier in range(commit - 1, -1, -1):
            value = self.positions(earlier).get(action)
            if value is not None:
                return value
        return None

    @cached_property
    def _names(self) -> list[str]:
        return sorted(name for name in self._disk.names(self._folder) if name.endswith(".json"))

    def _fence(self, commit: int) -> int:
        """The version at a commit; one without, such as of a vacuum, has that of the one before it."""
        value = self.positions(commit).get(FENCE)
        return value if value is not None else (self._fence(commit - 1) if commit else 0)

    def _actions(self, name: str) -> dict[str, int]:
        try:
            entries = [json.loads(line) for line in self._disk.read(name).splitlines()]
        except ValueError:  # torn by a power cut: nobody relied on it
            return {}
        found = (entry["txn"] for entry in entries if "txn" in entry)
        return {action["appId"]: int(action["version"]) for action in found}
