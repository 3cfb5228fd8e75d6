"""The lake as a stranger reads it: the JSON entries of the Delta log, and the Parquet files that they name.

Uses nothing of the product and no delta-rs, so that a mistake in either cannot hide itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]


@dataclass
class Table:
    """A Delta table after its last entry: its members in the order of their commits, and the positions."""

    folder: Path
    members: list[str] = field(default_factory=list)
    actions: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, int]] = field(default_factory=list)

    def files(self) -> list[pa.Table]:
        """Each member's rows, in commit order."""
        return [pq.ParquetFile(self.folder / name).read() for name in self.members]

    def rows(self) -> list[Row]:
        """All rows, in commit order."""
        return [row for file in self.files() for row in file.to_pylist()]


def read_table(folder: Path) -> Table:
    """Replay the log; a table that does not exist is empty."""
    table = Table(folder)
    for entry in sorted((folder / "_delta_log").glob("*.json")):
        positions: dict[str, int] = {}
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                table.members.append(action["add"]["path"])
            elif "remove" in action:
                table.members.remove(action["remove"]["path"])
            elif "txn" in action:
                positions[action["txn"]["appId"]] = action["txn"]["version"]
        table.actions |= positions
        table.history.append(positions)
    return table
