"""The changes of all entities in one document, under a map of positions {entity: position}.

Sequences 2, 4, 5 and 13 of the project's reference are the rules; what Xledger keeps and for how long is in the fact
sheet, 2.1. Changes are forgotten after three days, and what an expired position does is unknown: an error, the oldest
change that is left, or silence. So a position is trusted only as long as its age and the newest change agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from postroad.connectors.xledger.answers import Reply
from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import TENANT, Ask, changes_document
from postroad.connectors.xledger.faults import NoCurrentError, QueryError, QueryTimeoutError, UnusableError
from postroad.connectors.xledger.lookup import envelope, look_up, wanted_ids
from postroad.connectors.xledger.scope import Identity
from postroad.connectors.xledger.walk import advanced
from postroad.errors import CursorExpiredError, EntitiesFailedError, RemoteError
from postroad.records import Payload

KIND = "changes"
LONGEST_TRUST = timedelta(hours=60)


@dataclass(frozen=True)
class Position:
    """How far an entity was read. `polled_at` is the server's time when it was last read to its head."""

    after: str | None
    polled_at: datetime
    scope: str

    def value(self, *, current: bool) -> dict[str, Any]:
        """As it is stored. That the schema lacks `_current` is kept, since finding out costs a call."""
        told = {"after": self.after, "polled_at": self.polled_at.isoformat(), "scope": self.scope}
        return told if current else {**told, "current": False}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Position:
        """From its stored form."""
        return cls(value["after"], datetime.fromisoformat(value["polled_at"]), value["scope"])


@dataclass
class Step:
    """What one answer moved: new positions, entities with rows, and entities to ask again."""

    positions: dict[str, Position] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def forget(self, name: str) -> None:
        """An entity that failed after all: nothing of it is adopted."""
        self.positions.pop(name, None)
        self.rows = [each for each in self.rows if each != name]
        self.again = [each for each in self.again if each != name]


class Poll:
    """One poll of the changes of some entities, from their positions to their heads."""

    def __init__(
        self,
        api: Api,
        identity: Identity,
        declarations: Sequence[Declaration],
        cursor: Mapping[str, Any] | None,
        ids_per_query: int,
    ) -> None:
        self._api = api
        self._identity = identity
        self._declarations = {each.name: each for each in declarations}
        self._stored = dict(cursor or {})
        self._positions = {
            name: Position.read(value) for name, value in self._stored.items() if name in self._declarations
        }
        self._current = all(value.get("current", True) for value in self._stored.values())
        self._ids_per_query = ids_per_query
        self._scope = ""
        self._seen = {(name, position.after) for name, position in self._positions.items()}
        self._doubted: set[str] = set()
        self._expired: dict[str, str] = {}
        self._failed: dict[str, Exception] = {}

    def payloads(self) -> Iterator[Payload]:
        """Every good page first; then one error for those that expired, or else for those that failed."""
        names = list(self._declarations)
        while names:
            again: list[str] = []
            for reply, answered in self._answers(names):
                step = self._read(reply, answered)
                payload = self._payload(reply, step)
                again += step.again
                if payload is not None:
                    yield payload
            names = again
        if self._expired:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._expired.items())
            raise CursorExpiredError(reasons, list(self._expired))
        if self._failed:
            raise EntitiesFailedError(self._failed)

    def _answers(self, names: list[str]) -> Iterator[tuple[Reply, list[str]]]:
        """Ask for all at once; a document that is refused is asked in parts, until who fails stands alone."""
        pending = [names]
        while pending:
            group = pending.pop(0)
            document = changes_document([self._ask(name) for name in group], self._api.scope, tenant=self._asks_tenant)
            try:
                reply = self._api.ask(document)
            except NoCurrentError as error:
                if not self._current:
                    raise RemoteError(str(error)) from None
                self._current = False
                pending.insert(0, group)
            except (UnusableError, QueryTimeoutError) as error:
                pending[:0] = self._parts(group, error)
            else:
                yield reply, group

    @property
    def _asks_tenant(self) -> bool:
        return self._identity.asked and not self._scope

    def _ask(self, name: str) -> Ask:
        position = self._positions.get(name)
        after = position.after if position else None
        return Ask(self._declarations[name], after, position is not None, self._current)

    def _parts(self, group: list[str], error: Exception) -> list[list[str]]:
        """Who is to be asked again. An error that names its root fields saves the calls of halving."""
        named = error.aliases if isinstance(error, QueryError) else frozenset[str]()
        if TENANT in named:
            raise RemoteError(f"{error}; the token may not read its own company: set tenant_check: false") from None
        guilty = [name for name in group if named & {name, f"{name}_newest"}]
        if len(group) == 1 or (guilty and len(guilty) < len(group)):
            for name in guilty or group:
                self._blame(name, error)
            return [rest] if (rest := [name for name in group if name not in (guilty or group)]) else []
        return [group[: len(group) // 2], group[len(group) // 2 :]]

    def _blame(self, name: str, error: Exception) -> None:
        position = self._positions.get(name)
        if isinstance(error, QueryError) and error.expired and position and position.after is not None:
            self._expired[name] = str(error)
        else:
            self._failed[name] = error

    def _read(self, reply: Reply, names: list[str]) -> Step:
        """What an answer says of each entity. Nothing of it counts before the tenant is the right one."""
        if not self._scope:
            self._scope = self._identity.fingerprint(reply)
            self._refuse_foreign()
        step = Step()
        for name in names:
            try:
                self._read_entity(reply, name, step)
            except RemoteError as error:
                step.forget(name)
                self._failed[name] = error
        return step

    def _refuse_foreign(self) -> None:
        foreign = [name for name, position in self._positions.items() if position.scope != self._scope]
        if foreign:
            raise CursorExpiredError(
                f"the positions of {', '.join(foreign)} were taken at another endpoint, in another tenant or scope",
                foreign,
                foreign=True,
            )

    def _read_entity(self, reply: Reply, name: str, step: Step) -> None:
        position = self._positions.get(name)
        if position is None:
            step.positions[name] = Position(reply.newest(name), reply.date, self._scope)
        elif reply.date - position.polled_at > LONGEST_TRUST:
            self._expired[name] = f"last read {position.polled_at:%Y-%m-%d %H:%M} UTC, and Xledger forgets after 3 days"
        elif reply.page(name).rows:
            self._move(reply, name, position, step)
        else:
            self._rest(reply, name, position, step)

    def _move(self, reply: Reply, name: str, position: Position, step: Step) -> None:
        """A page with rows. The age is renewed only at the head: a backlog that is read half-way stays old."""
        page = reply.page(name)
        after = advanced(page, position.after, name)
        if (name, after) in self._seen:
            raise RemoteError(f"the changes of {name} go round in circles: Xledger repeated a cursor; try again")
        self._seen.add((name, after))
        polled_at = position.polled_at if page.more else reply.date
        step.positions[name] = replace(position, after=after, polled_at=polled_at)
        step.rows.append(name)
        self._doubted.discard(name)
        if page.more:
            step.again.append(name)

    def _rest(self, reply: Reply, name: str, position: Position, step: Step) -> None:
        """A page without rows is a quiet day only while the newest change is ours, or there is none."""
        advanced(reply.page(name), position.after, name)
        newest = reply.newest(name)
        if newest is None or newest == position.after:
            step.positions[name] = replace(position, polled_at=reply.date)
        elif name in self._doubted:
            self._expired[name] = "Xledger shows no changes after our position, and yet a newer one: it has expired"
        else:
            self._doubted.add(name)  # A change may have come between the two fields of one answer: look again.
            step.again.append(name)

    def _payload(self, reply: Reply, step: Step) -> Payload | None:
        """The answer with the positions after it. Without `_current` it lands only together with its rows."""
        body = reply.body
        if step.rows and not self._current:
            ids = {self._declarations[name]: wanted_ids(reply.page(name)) for name in step.rows}
            found = look_up(self._api, ids, self._ids_per_query)
            for name, error in found.failed.items():
                step.forget(name)
                self._failed[name] = error
            body = envelope(reply.body, found.bodies)
        asked = ",".join(f"{name}={self._positions[name].after or ''}" for name in step.rows)
        if not step.positions:
            return None
        self._positions |= step.positions
        self._stored |= {name: each.value(current=self._current) for name, each in step.positions.items()}
        if not step.rows:
            return Payload(body=None, cursor=dict(self._stored))
        meta = {"kind": KIND, "current": self._current, "date": reply.date.isoformat()}
        return Payload(body, dict(self._stored), f"after:{asked}", tuple(step.rows), meta)
