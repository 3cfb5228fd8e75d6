"""The changes of all entities in one document, under a map of positions {entity: position}.

Sequences 2, 4, 5 and 13 of the project's reference are the rules; what Xledger keeps and for how long is in the fact
sheet, 2.1. Changes are forgotten after three days, and what an expired position does is unknown: an error, the oldest
change that is left, or silence. So a position is trusted only as long as its age, the newest change and its own change
agree with it (`positions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from postroad.connectors.xledger.answers import Reply, delta_of
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import TENANT, Ask, changes_document, names_in
from postroad.connectors.xledger.faults import LostError, NoCurrentError, QueryError, QueryTimeoutError, UnusableError
from postroad.connectors.xledger.lookup import envelope, look_up, wanted_ids
from postroad.connectors.xledger.positions import Evidence, Position, found, from_before, taken
from postroad.connectors.xledger.session import Session
from postroad.connectors.xledger.walk import advanced
from postroad.errors import CursorExpiredError, EntitiesFailedError, RemoteError
from postroad.records import Payload

KIND = "changes"


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

    def __init__(self, session: Session, declarations: Sequence[Declaration], cursor: Mapping[str, Any] | None) -> None:
        self._session = session
        self._declarations = {each.name: each for each in declarations}
        self._stored = dict(cursor or {})
        self._positions = {
            name: Position.read(value) for name, value in self._stored.items() if name in self._declarations
        }
        for name in self._positions:
            session.lacks.recall(self._declarations[name], self._stored[name])
        self._current = all(value.get("current", True) for value in self._stored.values())
        self._scope = ""
        self._asks: dict[str, Ask] = {}
        self._seen = {(name, position.after) for name, position in self._positions.items()}
        self._twice: set[str] = set()  # asked again, because silence and the newest change contradict each other
        self._look: set[str] = set()  # to be asked for the newest change alone, because a position was refused
        self._looked: set[str] = set()
        self._unanchored: set[str] = set()  # whose change before ours may be the one that is refused
        self._from: dict[str, str | None] = {}  # to be read from before their position
        self._held: list[str] = []
        self._evidence = Evidence()
        self._known_again: dict[str, str] = {}
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
            names = again or self._released()
        if self._remembers_lacks():
            yield Payload(body=None, cursor=dict(self._stored))
        self._settle()

    def _released(self) -> list[str]:
        """Entities whose rows were held back, once another one confirmed that it is the same data."""
        held, self._held = self._held, []
        return [] if self._evidence.foreign else held

    def _settle(self) -> None:
        """Raise for what could not be read."""
        doubts = self._evidence.doubts
        reasons = "; ".join(f"{name}: {reason}" for name, reason in doubts.items())
        if self._evidence.foreign:
            raise CursorExpiredError(
                f"it may be other data than before, as after a refresh of a demo ({reasons})",
                list(self._declarations),
                foreign=True,
            )
        if expired := {**doubts, **self._known_again}:
            told = "; ".join(f"{name}: {reason}" for name, reason in expired.items())
            raise CursorExpiredError(told, list(expired))
        if self._failed:
            raise EntitiesFailedError(self._failed)

    def _remembers_lacks(self) -> bool:
        """Keep that an entity cannot be asked for, beside its old position; whether that is new."""
        before = dict(self._stored)
        for name in self._failed.keys() & self._stored.keys():
            told = {key: value for key, value in self._stored[name].items() if key != "lacks"}
            self._stored[name] = {**told, **self._session.lacks.kept(name)}
        return self._stored != before

    # Asking

    def _answers(self, names: list[str]) -> Iterator[tuple[Reply, list[str]]]:
        """Ask for all at once; a document that is refused is asked in parts, until who fails stands alone."""
        pending = [names]
        while pending:
            group = pending.pop(0)
            try:
                reply = self._answer(group)
            except NoCurrentError as error:
                if not self._current:
                    raise RemoteError(str(error)) from None
                self._current = False
                pending.insert(0, group)
            except (UnusableError, QueryTimeoutError) as error:
                pending[:0] = self._parts(group, error)
            else:
                yield reply, group

    def _answer(self, group: list[str]) -> Reply:
        now = datetime.fromtimestamp(self._session.clock(), UTC)
        self._asks |= {name: self._ask(name, now) for name in group}
        tenant = self._session.identity.asked and not self._scope
        return self._session.ask(
            [self._declarations[name] for name in group],
            lambda left: changes_document(
                [replace(self._asks[name], declaration=left(self._declarations[name])) for name in group],
                self._session.reach,
                tenant=tenant,
            ),
        )

    def _ask(self, name: str, now: datetime) -> Ask:
        """What to ask of an entity. A change so old that Xledger may forget it is not asked for what follows it."""
        declaration, position = self._declarations[name], self._positions.get(name)
        if position is None:
            return Ask(declaration, two=True)
        if name in self._look:
            return Ask(declaration)
        if name in self._from:
            return Ask(declaration, self._from[name], page=True, current=self._current)
        mark = position.mark
        if mark is not None and mark.is_old(now) and name not in self._looked:
            return Ask(declaration)
        prior = mark.anchor(now) if mark is not None and name not in self._unanchored else None
        return Ask(declaration, position.after, page=True, prior=prior, current=self._current)

    def _parts(self, group: list[str], error: Exception) -> list[list[str]]:
        """Who is to be asked again. An error that names its root fields saves the calls of halving."""
        named = error.aliases if isinstance(error, QueryError) else frozenset[str]()
        if TENANT in named:
            raise RemoteError(f"{error}; the token may not read its own company: set tenant_check: false") from None
        guilty = names_in(named, group) or (group if len(group) == 1 else [])
        if isinstance(error, QueryError) and error.expired and self._ask_otherwise(guilty, group):
            return [group]
        if guilty and (len(guilty) < len(group) or len(group) == 1 or isinstance(error, LostError)):
            for name in guilty:
                self._blame(name, error)
            return [rest] if (rest := [name for name in group if name not in guilty]) else []
        return [group[: len(group) // 2], group[len(group) // 2 :]]

    def _ask_otherwise(self, guilty: list[str], group: list[str]) -> bool:
        """A position was refused: first see who is at the newest change anyhow, later leave out our last change."""
        fresh = [name for name in guilty or group if self._asks[name].page and name not in self._looked]
        anchored = [name for name in guilty if self._asks[name].prior is not None]
        self._look |= {*fresh}
        self._looked |= {*fresh}
        if not fresh:
            self._unanchored |= {*anchored}
        return bool(fresh or anchored)

    def _blame(self, name: str, error: Exception) -> None:
        if isinstance(error, QueryError) and error.expired and name in self._positions:
            self._evidence.doubts[name] = str(error)
        else:
            lost = isinstance(error, LostError)
            self._failed[name] = LostError(self._session.lacks.of(name).whole) if lost else error

    # Reading

    def _read(self, reply: Reply, names: list[str]) -> Step:
        """What an answer says of each entity. Nothing of it counts before it is known to be of the same data."""
        self._refuse_foreign(reply)
        step = Step()
        for name in names:
            try:
                self._read_entity(reply, name, step)
            except RemoteError as error:
                step.forget(name)
                self._failed[name] = error
        for name in self._evidence.doubts:
            step.forget(name)
        if self._evidence.foreign:  # Unless somebody else confirms the data, nothing of this answer is adopted.
            for name in [*step.positions]:
                self._held.append(name)
                step.forget(name)
        return step

    def _refuse_foreign(self, reply: Reply) -> None:
        if not self._scope:
            self._scope = self._session.identity.fingerprint(reply)
        taken_in = {
            name: {"scope": each.scope, **({"token": each.token} if each.token else {})}
            for name, each in self._positions.items()
        }
        self._session.identity.refuse_foreign(taken_in, self._scope, reply.token)

    def _read_entity(self, reply: Reply, name: str, step: Step) -> None:
        position, newest = self._positions.get(name), reply.newest(name)
        if position is None:
            step.positions[name] = taken(newest, reply.date, self._scope, reply.token, self._session.zone)
            return
        self._evidence.compare(name, position, newest)
        if back := self._session.lacks.known_again(self._declarations[name], self._stored[name]):
            # Nothing of it is adopted, so a kill learns it again: a full refresh has to fill what was not sent.
            self._known_again[name] = f"Xledger knows {', '.join(back)} again"
            return
        if position.is_stale(reply.date):
            self._evidence.doubts[name] = (
                f"last read {position.polled_at:%Y-%m-%d %H:%M} UTC, and Xledger forgets after 3 days"
            )
        elif not self._asks[name].page:
            self._look_at(reply, name, position, step)
        elif self._is_in_place(reply, name, position, step):
            if reply.page(name).rows:
                self._move(reply, name, position, step)
            else:
                self._rest(reply, name, position, step)

    def _is_in_place(self, reply: Reply, name: str, position: Position, step: Step) -> bool:
        """Whether to go on reading: our change stands where it stood, or that was not asked."""
        anchor = reply.anchor(name)
        if anchor is None:
            return True
        if not self._evidence.compare(name, position, anchor):
            assert position.mark is not None
            self._evidence.missing[name] = str(position.mark.change.db_id)
        elif anchor[0].cursor != position.after:
            # A change became visible late, before our position: it is read now, and what follows once more.
            self._read_from(name, self._asks[name].prior, step)
            return False
        return True

    def _read_from(self, name: str, prior: str | None, step: Step) -> None:
        cursor = self._from[name] = prior or None
        self._seen -= {(name, cursor), (name, self._positions[name].after)}
        step.again.append(name)

    def _look_at(self, reply: Reply, name: str, position: Position, step: Step) -> None:
        """Only the newest change was asked for: it is ours, or there is none any more, or there is more to read."""
        newest = reply.newest(name)
        if self._is_quiet(reply, name, position):
            self._stay(reply, name, position, step)
        elif not newest:
            self._evidence.doubts[name] = "all changes are gone, and ours was not old enough to be forgotten"
        elif name in self._look:
            self._look.discard(name)  # There is more to read, and the refusal may have meant somebody else.
            step.again.append(name)
        else:
            # Ours may be forgotten any moment. All that followed is young enough to be still there, from the first on.
            self._read_from(name, None, step)

    def _is_quiet(self, reply: Reply, name: str, position: Position) -> bool:
        """Whether the newest change is ours, or there is none and ours may be forgotten."""
        newest = reply.newest(name)
        if newest:
            return found(newest, position.after) is not None
        return position.after is None or position.mark is None or position.mark.is_old(reply.date)

    def _stay(self, reply: Reply, name: str, position: Position, step: Step) -> None:
        newest = next((edge for edge in reply.newest(name) if edge.cursor == position.after), None)
        step.positions[name] = position.rested(reply.date, newest, reply.token)

    def _move(self, reply: Reply, name: str, position: Position, step: Step) -> None:
        """A page with rows. Changes from before our last look, or without ours among them, are doubtful."""
        page = reply.page(name)
        base = replace(position, after=self._asks[name].after)
        after = advanced(page, base.after, name)
        if (name, after) in self._seen:
            raise RemoteError(f"the changes of {name} go round in circles: Xledger repeated a cursor; try again")
        evidence = self._evidence
        if name in self._from:
            del self._from[name]
            evidence.compare(name, position, page.rows)
        elif name not in evidence.confirmed and from_before(position, page.rows, self._session.zone):
            evidence.doubts[name] = "the changes after our position are older than our last look at them"
            return
        self._search(name, [str(delta_of(edge.node).db_id) for edge in page.rows], more=page.more)
        since = position.polled_at if base.after == position.after else None  # else it was read from further back
        step.positions[name] = base.moved(page.rows, reply.date, reply.token, head=not page.more, since=since)
        step.rows.append(name)
        self._twice.discard(name)
        if page.more:
            step.again.append(name)

    def _search(self, name: str, ids: Sequence[str], *, more: bool) -> None:
        """Our change is not in its place. Should a feed keep only the last change of a record, it is further on."""
        missing = self._evidence.missing.get(name)
        if missing in ids:
            del self._evidence.missing[name]
        elif missing is not None and not more:
            self._evidence.doubts[name] = "the change at our position is gone"

    def _rest(self, reply: Reply, name: str, position: Position, step: Step) -> None:
        """A page without rows is a quiet day only while the newest change is ours, or there is none."""
        advanced(reply.page(name), self._asks[name].after, name)
        if self._is_quiet(reply, name, position):
            self._stay(reply, name, position, step)
        elif name in self._twice:
            self._evidence.doubts[name] = "Xledger shows no changes after our position, and yet a newer one"
        else:
            self._twice.add(name)  # A change may have come between the two fields of one answer: look again.
            step.again.append(name)

    def _payload(self, reply: Reply, step: Step) -> Payload | None:
        """The answer with the positions after it. Without `_current` it lands only together with its rows."""
        body = reply.body
        if step.rows and not self._current:
            ids = {self._declarations[name]: wanted_ids(reply.page(name)) for name in step.rows}
            looked_up = look_up(self._session, ids)
            for name, error in looked_up.failed.items():
                step.forget(name)
                self._failed[name] = error
            body = envelope(reply.body, looked_up.bodies)
        if not step.positions:
            return None
        asked = ",".join(f"{name}={self._asks[name].after or ''}" for name in step.rows)
        self._adopt(step.positions)
        if not step.rows:
            return Payload(body=None, cursor=dict(self._stored))
        names = {name: self._declarations[name] for name in step.rows}
        meta = self._session.meta(KIND, reply, names, current=self._current)
        return Payload(body, dict(self._stored), f"after:{asked}", tuple(step.rows), meta)

    def _adopt(self, positions: Mapping[str, Position]) -> None:
        for name, position in positions.items():
            self._positions[name] = position
            self._seen.add((name, position.after))
            # That the schema lacks something is kept, since finding out costs calls.
            current = {} if self._current else {"current": False}
            self._stored[name] = {**position.value(), **current, **self._session.lacks.kept(name)}
