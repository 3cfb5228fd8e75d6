"""Resend: what a retry does with each record that a receiver refused.

A retry sends the key's current row, as `changes` has it, and the refused version closes: it is superseded, or it is
that row. Looking is done before anything is written; what becomes of it is one transaction (`Messages.retry`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from postroad.engine.dispatch import drafts_of
from postroad.errors import ConfigError, StateError
from postroad.lake import Dataset
from postroad.lake.finding import Newest, key_table, newest_of
from postroad.project import Delivery
from postroad.tracking import Tracking
from postroad.tracking.messages import Draft

SAME = "the refused version is sent again"
NEWER = "the current row is sent, which is a newer version"
COMES = "its newer version is not dispatched yet, and comes by itself"
UNKNOWN = "the dataset does not have it any more; nothing is done"


@dataclass(frozen=True)
class Resend:
    """One key: the newest version that was refused and why, what is sent instead, and the rejections that it closes."""

    key: str
    cause: str
    sentence: str
    refused: int
    rejections: Sequence[int]
    newest: Newest | None
    dispatched: bool

    @property
    def happens(self) -> str:
        """In words."""
        if self.newest is None:
            return UNKNOWN
        if not self.dispatched:
            return COMES
        return SAME if self.newest.version == self.refused else NEWER

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        version, op = (self.newest.version, self.newest.op) if self.newest else (None, None)
        return {**asdict(self), "newest": version, "op": op, "happens": self.happens}


def resends(tracking: Tracking, dataset: Dataset, subscription: str) -> list[Resend]:
    """Of each key with an open rejection what a retry does.

    ConfigError if nothing was ever dispatched, StateError if a file of `changes` is damaged or gone.
    """
    known = tracking.subscriptions.get(subscription)
    if known is None:
        raise ConfigError(f"'{subscription}' has delivered nothing yet: `postroad run` begins it")
    refused: dict[str, list[Any]] = {}
    for row in tracking.rejections.refused(subscription):
        refused.setdefault(row["key"], []).append(row)
    try:
        found = newest_of(dataset, key_table(dataset.entity, list(refused))) if refused else {}
    except (pa.ArrowException, OSError) as error:
        told = str(error).partition("\n")[0]
        raise StateError(f"a file of {dataset.name} cannot be read ({told}): put it back from a backup") from error
    return [
        Resend(
            key,
            rows[-1]["cause"],
            rows[-1]["sentence"],
            rows[-1]["version"],
            [row["id"] for row in rows],
            newest := found.get(key),
            newest is not None and newest.version <= known["offset"],
        )
        for key, rows in refused.items()
    ]


def again(planned: Sequence[Resend], delivery: Delivery) -> tuple[list[Draft], list[int]]:
    """The messages of a retry, and the rejections that they close."""
    sent = [each.newest for each in planned if each.newest is not None and each.dispatched]
    ordered = sorted(sent, key=lambda each: (each.version, each.place.path, each.place.first))
    closed = [number for each in planned if each.newest is not None for number in each.rejections]
    return drafts_of([(each.version, each.place) for each in ordered], delivery), closed
