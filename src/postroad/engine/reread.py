"""Reread: what reading the refused rows of a dataset again would make of them. Writes nothing and asks no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from postroad.engine.bench import Bench
from postroad.errors import PostroadError
from postroad.store.rows import Row
from postroad.tracking.rejections import NORMALISE


@dataclass(frozen=True)
class Reread:
    """One refused row, and why it is still refused; None if it is read now. `known`: its payload could be read."""

    rejection: Row
    sentence: str | None
    known: bool = True

    @property
    def happens(self) -> str:
        """In words."""
        if not self.known:
            return f"its payload cannot be read: {self.sentence}"
        return "it is read now" if self.sentence is None else f"it is refused again: {self.sentence}"


def reread(bench: Bench, entity: str) -> Iterator[Reread]:
    """The refused rows of an entity, payload by payload."""
    refused = [row for row in bench.tracking.rejections.open(bench.connection, entity) if row["stage"] == NORMALISE]
    by_payload = sorted(refused, key=lambda row: int(row["payload"]))
    for landing, rows in groupby(by_payload, key=lambda row: int(row["payload"])):
        yield from _of_payload(bench, entity, landing, list(rows))


def _of_payload(bench: Bench, entity: str, landing: int, rows: Sequence[Row]) -> Iterator[Reread]:
    payload = bench.tracking.feeds.landed(landing)
    try:
        found = _refusals(bench, entity, payload) if payload is not None else None
    except PostroadError as error:
        yield from (Reread(row, str(error), known=False) for row in rows)
        return
    if found is None:
        yield from (Reread(row, "it is not listed any more", known=False) for row in rows)
        return
    yield from (Reread(row, found.get(row["row"])) for row in rows)


def _refusals(bench: Bench, entity: str, payload: Row) -> Mapping[int, str]:
    parsed = bench.parse(bench.feed(payload["feed"]), payload, bench.entity(entity))
    return {refusal.row: refusal.sentence for refusal in parsed.refusals}
