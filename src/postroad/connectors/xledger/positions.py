"""Positions in the changes of an entity, and the marks by which we recognise the data that they were taken in.

Data can be replaced under the same endpoint, tenant and token: a demo is overwritten from live, and a live token works
on. What a foreign cursor does then is unknown: an error, the oldest change that is left, or silence (fact sheet 2.1).
So a position remembers its change itself and the cursor of the one before it. Where that change still stands in its
place, the data is ours. Where it should and does not, the data may be other data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from postroad.connectors.xledger.answers import DeltaNode, Edge, delta_of

LONGEST_TRUST = timedelta(hours=60)
RETENTION = timedelta(hours=72)
BEGINNING = ""  # as the cursor before the first change of all
SLACK = timedelta(hours=3)  # of times whose zone nobody tells, and of changes that became visible late


@dataclass(frozen=True)
class Mark:
    """The change at a position: whose, of which kind, when. `at`: it had not happened before, so it is not older.

    `prior` is the cursor of the change before it, BEGINNING if it was the first, and `prior_at` says as much of that
    one: from then on nothing that Xledger may have forgotten lies between the two.
    """

    change: DeltaNode
    at: datetime
    prior: str | None = None
    prior_at: datetime | None = None

    def value(self) -> dict[str, Any]:
        """As it is stored."""
        told = {"change": [self.change.db_id, self.change.mutation_type, self.change.mutated_at]}
        if self.prior is None or self.prior_at is None:
            return {**told, "at": self.at.isoformat()}
        return {**told, "at": self.at.isoformat(), "prior": self.prior, "prior_at": self.prior_at.isoformat()}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Mark:
        """From its stored form."""
        prior_at = value.get("prior_at")
        return cls(
            DeltaNode(*value["change"]),
            datetime.fromisoformat(value["at"]),
            value.get("prior"),
            datetime.fromisoformat(prior_at) if prior_at else None,
        )

    def anchor(self, now: datetime) -> str | None:
        """The cursor behind which our change must stand; None once Xledger may have forgotten that one."""
        return self.prior if self.prior_at is not None and now - self.prior_at < LONGEST_TRUST else None

    def is_old(self, now: datetime) -> bool:
        """Whether Xledger may have forgotten our change."""
        return now - self.at >= LONGEST_TRUST


@dataclass(frozen=True)
class Position:
    """How far an entity was read. `polled_at` is the server's time when it was last read to its head."""

    after: str | None
    polled_at: datetime
    scope: str
    token: str = ""
    mark: Mark | None = None

    def value(self) -> dict[str, Any]:
        """As it is stored."""
        told = {"after": self.after, "polled_at": self.polled_at.isoformat(), "scope": self.scope, "token": self.token}
        return told if self.mark is None else {**told, "mark": self.mark.value()}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Position:
        """From its stored form; that of an older version has no token and no mark."""
        mark = Mark.read(value["mark"]) if "mark" in value else None
        return cls(
            value["after"], datetime.fromisoformat(value["polled_at"]), value["scope"], value.get("token", ""), mark
        )

    def is_stale(self, now: datetime) -> bool:
        """Whether changes may have been forgotten since it was last read to its head."""
        return now - self.polled_at > LONGEST_TRUST

    def rested(self, now: datetime, newest: Edge | None, token: str) -> Position:
        """The same after a quiet poll; `newest` is our change, or there is none any more and all is read."""
        mark = self.mark
        if newest is None:
            return replace(self, after=None, polled_at=now, token=token, mark=None)
        if mark is None:
            mark = Mark(delta_of(newest.node), now - RETENTION)
        return replace(self, polled_at=now, token=token, mark=mark)

    def moved(self, rows: Sequence[Edge], now: datetime, token: str, *, head: bool, since: datetime | None) -> Position:
        """The same after a page with rows, none of which happened before `since`, if that is known.

        The age is renewed only at the head: a backlog read half-way stays old.
        """
        if len(rows) > 1:
            prior, prior_at = rows[-2].cursor, since
        elif self.after is None:
            prior, prior_at = BEGINNING, since
        else:
            prior, prior_at = self.after, self.mark.at if self.mark else None
        mark = Mark(delta_of(rows[-1].node), self.polled_at, prior, prior_at)
        return Position(rows[-1].cursor, now if head else self.polled_at, self.scope, token, mark)


def taken(rows: Sequence[Edge], now: datetime, scope: str, token: str, zone: str) -> Position:
    """A position at the newest change, from the newest two or fewer.

    Nobody tells in which order `last: 2` comes (fact sheet 1.4), so their times decide. Without them the last one
    counts: if it is the older one, the newer one is read again, and does no harm.
    """
    if not rows:
        return Position(None, now, scope, token)
    changes = [delta_of(edge.node) for edge in rows]
    times = [instant(change, zone) for change in changes]
    newest, before = len(rows) - 1, None
    if len(rows) == 2 and times[0] and times[1] and times[0] != times[1]:
        newest = 0 if times[0] > times[1] else 1
        before = 1 - newest
    at = (times[newest] or now - RETENTION) - SLACK
    mark = Mark(changes[newest], at)
    if len(rows) == 1:
        mark = replace(mark, prior=BEGINNING, prior_at=at)
    if before is not None:
        mark = replace(mark, prior=rows[before].cursor, prior_at=(times[before] or at) - SLACK)
    return Position(rows[newest].cursor, now, scope, token, mark)


def instant(change: DeltaNode, zone: str) -> datetime | None:
    """When a change happened, as far as that is told; the zone of the time is that of all times (fact sheet 1.6)."""
    try:
        moment = datetime.fromisoformat(change.mutated_at or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def same(one: DeltaNode, other: DeltaNode) -> bool:
    """Whether two may be the same change; what one of them does not tell does not count."""
    mine = (str(one.db_id or ""), one.mutation_type, one.mutated_at)
    theirs = (str(other.db_id or ""), other.mutation_type, other.mutated_at)
    return all(left == right or not left or not right for left, right in zip(mine, theirs, strict=True))


def found(rows: Sequence[Edge], cursor: str | None) -> DeltaNode | None:
    """The change at a cursor, if it is among these."""
    return next((delta_of(edge.node) for edge in rows if edge.cursor == cursor and cursor is not None), None)


def from_before(position: Position, rows: Sequence[Edge], zone: str) -> bool:
    """Whether the first of these changes happened before we last saw that there were none."""
    moment = instant(delta_of(rows[0].node), zone)
    return moment is not None and moment < position.polled_at - SLACK


@dataclass
class Evidence:
    """Whether the data is the data that we know: entities that confirm it, and reasons to doubt it.

    The data of a tenant is replaced as a whole. So one entity whose change stands in its place speaks for all, and
    then a doubt is about nothing but the position of its own entity.
    """

    confirmed: set[str] = field(default_factory=set)
    doubts: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # whose change was not in its place: it may have moved on

    @property
    def foreign(self) -> bool:
        """Whether there is reason to think that it is other data."""
        return bool(self.doubts) and not self.confirmed

    def compare(self, name: str, position: Position, rows: Sequence[Edge]) -> bool:
        """Look for our change among changes in whose place it belongs; whether it is there."""
        seen = found(rows, position.after)
        if seen is None or position.mark is None:
            return False
        if same(seen, position.mark.change):
            self.confirmed.add(name)
            return True
        self.doubts[name] = "the change at our position is another one than we read there"
        return False
