"""Parity: how many rows a dataset has, beside how many its source counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from postroad.engine.bench import Bench
from postroad.errors import ConfigError
from postroad.sdk.connector import Countable


@dataclass(frozen=True)
class Counted:
    """Rows of a dataset, those that its source counts, and the open rejections, which are not among its rows."""

    dataset: str
    rows: int
    there: int
    rejected: int

    @property
    def equal(self) -> bool:
        """Whether both have as many."""
        return self.rows == self.there

    @property
    def sentence(self) -> str:
        """For people."""
        told = f"{self.dataset} has {self.rows:,} rows, its source counts {self.there:,}"
        if self.equal:
            return f"{told}: equal"
        why = f"; {self.rejected:,} rows are rejected" if self.rejected else ""
        return f"{told}: not equal{why}; `postroad run {self.dataset}` takes what changed since the last run"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**vars(self), "equal": self.equal}


def count(bench: Bench, entity: str) -> Counted:
    """Ask the source, with a call for each scope that its walks read; ConfigError if it cannot tell."""
    dataset = bench.dataset(entity)
    feeds = [feed for feed in bench.walk_feeds(entity) if not feed.scope.moves and not feed.scope.sweeps]
    source = bench.source
    found = [source.count(feed) for feed in feeds] if isinstance(source, Countable) else [None]
    there = [each for each in found if each is not None]
    if not there or len(there) != len(found):
        raise ConfigError(
            f"the source of {dataset.name} cannot count its records without reading them all; "
            f"`postroad run {dataset.name} --full-refresh` compares every row"
        )
    rejected = len(bench.tracking.rejections.open(bench.connection, entity))
    return Counted(dataset.name, dataset.rows(), sum(there), rejected)
