"""The state of every subscription, computed from lake and tracking and therefore true after any crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from postroad.lake import Dataset
from postroad.lake.slices import undispatched
from postroad.project import Cleaning, Delivery
from postroad.tracking import Tracking
from postroad.tracking.queue import PAUSED
from postroad.tracking.runs import moment


@dataclass(frozen=True)
class SubscriptionStatus:
    """One subscription: how far it is behind, and what a person should know.

    `lag` counts the record versions that the receiver has not answered, dispatched or not; `lag_seconds` is the age of
    the oldest of them, from its commit in the lake. `in_flight` are those that some worker holds now, `handed_over`
    those whose receipts are to come, the oldest since `handed_since`, `held` the messages that wait for a person.
    `waits_until` is set while the receiver is left alone after an outage.
    """

    subscription: str
    dataset: str
    state: str
    reason: str | None
    lag: int
    lag_seconds: float
    in_flight: int
    held: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    last_outcome: str | None = None
    last_outcome_at: datetime | None = None
    waits_until: datetime | None = None
    handed_over: int = 0
    handed_since: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        times = {
            name: value.isoformat()
            for name in ("last_outcome_at", "waits_until", "handed_since")
            if (value := getattr(self, name))
        }
        return {**asdict(self), **times}


def subscription_status(tracking: Tracking, dataset: Dataset, delivery: Delivery) -> SubscriptionStatus:
    """The status of one delivery's subscription."""
    known = tracking.subscriptions.get(delivery.to)
    waiting = undispatched(dataset, delivery.offset if known is None else known["offset"])
    later = [] if waiting is None else waiting[1]
    counts = tracking.messages.counts().get(delivery.to)
    oldest = [version for version in (counts and counts["oldest"], later[0][0] if later else None) if version]
    now = _now(tracking)
    stored = _stored(tracking, delivery.to, delivery.dataset, known, now)
    other = None if known is None else disagreement(delivery, known)
    if other is not None:
        stored |= {"state": "changed", "reason": other}
    return _status(counts, sum(each.rows for _, each in later), oldest, now, stored)


def disagreement(delivery: Delivery, known: Mapping[str, Any]) -> str | None:
    """Why a subscription cannot go on under its flow's line; None if it can.

    What was sent under another rule is at the receiver, and in no new message: rows, columns and names of both would
    lie there side by side.
    """
    if known["dataset"] != delivery.dataset:
        return f"{delivery.to} has received {known['dataset']} so far, not {delivery.dataset}: name another target"
    if (known["cleaning"] or Cleaning().digest) != delivery.cleaning.digest:
        return (
            f"{delivery.to} has received rows under another select, rename, where or constants: put that back, "
            "or name another target, which gets everything under the new one"
        )
    return None


def forgotten(tracking: Tracking, names: Iterable[str]) -> list[SubscriptionStatus]:
    """Subscriptions that no flow names any more and that still have messages or rejections."""
    counts, now = tracking.messages.counts(), _now(tracking)
    found = []
    for known in tracking.subscriptions.all():
        if known["name"] not in names:
            stored = _stored(tracking, known["name"], known["dataset"], known, now)
            mine = counts.get(known["name"])
            if mine or stored["held"] or stored["rejected"]:
                drop = f"postroad rejected discard {known['name']} --stage deliver"
                reason = f"no flow names it: put its line back, or drop what it holds by `{drop}`"
                stored |= {"state": "forgotten", "reason": reason}
                found.append(_status(mine, 0, [mine["oldest"]] if mine else [], now, stored))
    return found


def _status(
    counts: Mapping[str, Any] | None, later: int, oldest: Sequence[int], now: int, stored: Mapping[str, Any]
) -> SubscriptionStatus:
    """`later` records are not dispatched; `oldest` are versions among which the oldest without an answer is."""
    return SubscriptionStatus(
        lag=later + (counts["records"] if counts else 0),
        lag_seconds=round(max(now - min(oldest), 0) / 1e6, 3) if oldest else 0.0,
        in_flight=counts["in_flight"] if counts else 0,
        handed_over=counts["handed_over"] if counts else 0,
        handed_since=moment(counts["handed_since"]) if counts and counts["handed_since"] else None,
        **stored,
    )


def _stored(tracking: Tracking, name: str, dataset: str, known: Mapping[str, Any] | None, now: int) -> dict[str, Any]:
    refused = tracking.rejections.refused_counts()
    held = [row for row in tracking.messages.held() if row["subscription"] == name]
    known = known or {}
    at, due = known.get("last_outcome_at"), known.get("due_at", 0)
    return {
        "subscription": name,
        "dataset": dataset,
        "state": _state(known, len(held), now),
        "reason": known.get("reason"),
        "held": len(held),
        "rejected": {cause: count for (of, cause), count in refused.items() if of == name},
        "last_outcome": known.get("last_outcome"),
        "last_outcome_at": moment(at) if at else None,
        "waits_until": moment(due) if due > now else None,
    }


def _state(known: Mapping[str, Any], held: int, now: int) -> str:
    if not known:
        return "not begun"
    if known["status"] == PAUSED:
        return "paused"
    if known["due_at"] > now:
        return "waiting"
    return "held" if held else "active"


def _now(tracking: Tracking) -> int:
    with tracking.database.read() as db:
        return tracking.database.now(db)
