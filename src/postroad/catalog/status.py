"""The state of every dataset, computed from lake and tracking and therefore true after any crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from postroad.catalog.agreement import BOOKS_LOST, books_lost
from postroad.lake import Dataset, Lake
from postroad.records import ALL, Feed
from postroad.tracking import Tracking
from postroad.tracking.runs import moment


@dataclass(frozen=True)
class DatasetStatus:
    """One dataset: what it holds, what waits for it, and what a person should know.

    `dropped` says that a person discarded the close that was due, so that no run begins another unasked. `active` says
    of each feed that somebody works on or that waits what it does, since and until when. `failed` says of each feed
    whose last run failed since when, and why. `last_poll` is when the changes were last read to their head or, without
    a feed of changes, when the feed that was looked at longest ago was. `absent` are the columns that the remote system
    no longer sends.
    """

    dataset: str
    rows: int
    just_in: int
    state: str
    due: str | None
    dropped: bool
    open_walk_pages: int | None
    parked: str | None
    rejected: dict[str, int] = field(default_factory=dict)
    active: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    last_poll: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "last_poll": self.last_poll.isoformat() if self.last_poll else None}


def dataset_status(
    tracking: Tracking, lake: Lake, connection: str, feeds: Sequence[Feed], entity: str
) -> DatasetStatus:
    """The status of one entity's dataset."""
    mine = [feed for feed in feeds if any(each.name == entity for each in feed.entities)]
    dataset = lake.dataset(connection, mine[0].entity(entity))
    entry = tracking.feeds.entity(connection, entity)
    due = _due(tracking, lake, dataset, mine) or entry["due_reason"]
    scopes = [feed.scope.name for feed in mine if feed.kind == "walk"]
    open_walks = list(filter(None, (tracking.walks.open(connection, entity, scope) for scope in scopes)))
    parked = tracking.walks.parked(connection, entity)
    counts = tracking.rejections.counts()
    active = _active(tracking, connection, mine)
    failed = _failed(tracking, connection, mine, entity, pending=due is not None or bool(open_walks))
    return DatasetStatus(
        dataset=dataset.name,
        rows=dataset.rows(),
        just_in=sum(_just_in(tracking, dataset, feed) for feed in mine if feed.kind == "changes"),
        state=_state(due, bool(open_walks), bool(parked), active, bool(failed)),
        due=due,
        dropped=due is not None and _dropped(tracking, connection, entity, entry["due_landing"]),
        open_walk_pages=_pages(tracking, connection, open_walks),
        parked="; ".join(_named(walk) for walk in parked) or None,
        rejected={cause: count for (of, name, cause), count in counts.items() if (of, name) == (connection, entity)},
        active=active,
        failed=failed,
        absent=list(entry["absent"] or ()),
        last_poll=moment(entry["head_at"]) if entry["head_at"] else _looked(tracking, connection, mine),
    )


def _due(tracking: Tracking, lake: Lake, dataset: Dataset, feeds: Sequence[Feed]) -> str | None:
    if any(books_lost(tracking, lake, dataset.connection, feed) for feed in feeds):
        return BOOKS_LOST
    return "first load" if dataset.first_load([feed.name for feed in feeds]) else None


def _dropped(tracking: Tracking, connection: str, entity: str, due_landing: int | None) -> bool:
    decided = tracking.walks.decided(connection, entity)
    if decided is None or decided["status"] != "discarded":
        return False
    return bool(decided["begun_landing"] >= (due_landing or 0))


def _active(tracking: Tracking, connection: str, feeds: Sequence[Feed]) -> dict[str, str]:
    found = {feed.name: tracking.runs.active(connection, feed.name) for feed in feeds}
    return {f"{connection}.{name}": _doing(run) for name, run in found.items() if run is not None}


def _doing(run: Mapping[str, Any]) -> str:
    if run["status"] != "waiting":
        return str(run["status"])
    begun = run["wait_begun_at"] or run["started_at"]
    since, until = (f"{moment(each):%Y-%m-%d %H:%M:%S}" for each in (begun, run["wait_until"]))
    return f"waiting since {since} until {until} UTC: {run['reason']}"


def _failed(
    tracking: Tracking, connection: str, feeds: Sequence[Feed], entity: str, *, pending: bool
) -> dict[str, str]:
    """A walk beside a feed of changes, or of a part, does not count unless one is pending: no run tries it again."""
    polled = any(feed.kind == "changes" for feed in feeds)
    names = [feed.name for feed in feeds if feed.kind == "changes" or pending or not (polled or feed.scope.moves)]
    found = tracking.runs.failures(connection, names)
    for feed in feeds:
        alone = tracking.runs.errors(connection, feed.name).get(entity) if feed.kind == "changes" else None
        if alone is not None:
            found.setdefault(feed.name, alone)
    return {
        f"{connection}.{name}": f"failed since {failure.since:%Y-%m-%d %H:%M:%S} UTC: {failure.reason}"
        for name, failure in found.items()
    }


def _looked(tracking: Tracking, connection: str, feeds: Sequence[Feed]) -> datetime | None:
    """When all feeds of an entity without changes had been looked at; None while one never was."""
    if any(feed.kind == "changes" for feed in feeds):
        return None
    names = [feed.name for feed in feeds if not feed.scope.moves]
    found = tracking.runs.looked(connection, names)
    return min(found.values()) if len(found) == len(names) else None


def _just_in(tracking: Tracking, dataset: Dataset, feed: Feed) -> int:
    """Payloads that landed and that the dataset does not hold yet."""
    position = dataset.position(feed.name) or 0
    rows = tracking.feeds.payloads(dataset.connection, feed.name, after=position)
    return sum(dataset.entity.name in row["entities"] for row in rows)


def _state(due: str | None, walking: bool, parked: bool, active: dict[str, str], failed: bool) -> str:
    if parked:
        return "parked"
    if any(doing.startswith("waiting") for doing in active.values()):
        return "waiting"
    if failed:
        return "failed"
    if walking:
        return "walk open"
    return "full refresh due" if due else "in step"


def _named(walk: Mapping[str, Any]) -> str:
    return str(walk["reason"]) if walk["scope"] == ALL.name else f"{walk['scope']}: {walk['reason']}"


def _pages(tracking: Tracking, connection: str, walks: Sequence[Mapping[str, Any]]) -> int | None:
    pages = [len(tracking.feeds.payloads(connection, walk["feed"], walk=walk["id"])) for walk in walks]
    return sum(pages) if pages else None
