"""The walk: all rows of an entity, or a window of it, oldest first, under its own cursor (fact sheet 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from postroad.connectors.xledger.answers import Page, Reply
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import rows_document, walk_document
from postroad.connectors.xledger.faults import QueryError
from postroad.connectors.xledger.session import Session
from postroad.errors import ConfigError, CursorExpiredError, RemoteError
from postroad.records import Payload, Scope, Want

KIND = "walk"


def walk(session: Session, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """The pages after the cursor. One of another tenant, token or window is refused before any row is handed out."""
    name = declaration.name
    cursor = want.cursor or {}
    session.lacks.recall(declaration, cursor)
    since = beginning(declaration, want.scope, session.zone)
    after: str | None = cursor.get("after")
    seen = {after}
    watch = _Watch(session, name, cursor, since)
    more = True
    while more:
        reply = _page(session, declaration, after, since, tenant=watch.asks_tenant)
        watch.check(reply)
        page = reply.page(name)
        more = page.more
        asked, after = after, advanced(page, after, name)
        if page.rows and after in seen:
            raise RemoteError(f"the walk of {name} goes round in circles: Xledger repeated a cursor; try again")
        seen.add(after)
        yield Payload(
            body=reply.body,
            cursor={"after": after, **watch.facts, **session.lacks.kept(name)},
            identifier=f"{f'since={since},' if since else ''}after={asked or ''}",
            entities=(name,),
            meta=session.meta(KIND, reply, {name: declaration}),
            scope=want.scope.name,
            closes=not more,
        )


def rows_of_keys(session: Session, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """The rows of some keys that still exist, as pages of a walk that close nothing and leave its cursor alone."""
    assert want.keys is not None
    name = declaration.name
    session.lacks.recall(declaration, want.cursor)
    ids = [str(key) for key in want.keys.column(0).to_pylist()]
    watch = _Watch(session, name, want.cursor or {}, (want.cursor or {}).get("since"))
    for start in range(0, len(ids), session.ids_per_query):
        part = ids[start : start + session.ids_per_query]
        after: str | None = None
        more = True
        while more:
            reply = _rows(session, declaration, part, after, tenant=watch.asks_tenant)
            watch.check(reply)
            page = reply.page(name)
            more = page.more
            asked, after = after, advanced(page, after, name)
            yield Payload(
                body=reply.body,
                cursor=want.cursor,
                identifier=f"keys={part[0]}+{len(part)},after={asked or ''}",
                entities=(name,),
                meta=session.meta(KIND, reply, {name: declaration}),
                scope=want.scope.name,
            )


def beginning(declaration: Declaration, scope: Scope, zone: str) -> str | None:
    """Where a window begins, as Xledger writes it: a day, or the local time of an instant; None for all rows.

    A day means its first moment in UTC where the window is a time, as in the lake. The times that a clock shows twice
    are read as the earlier instant there, so comparing local texts leaves out nothing that the lake counts in.
    """
    if scope.column is None:
        return None
    field = declaration.window_field
    if field is None or field.column != scope.column or not isinstance(scope.at_least, str):
        raise ConfigError(f"{declaration.name} has no window {scope.column} that begins at {scope.at_least!r}")
    try:
        if field.kind == "date":
            return date.fromisoformat(scope.at_least).isoformat()
        moment = datetime.fromisoformat(scope.at_least)
    except ValueError:
        raise ConfigError(f"'{scope.at_least}' is no day to begin a window of {declaration.name} at") from None
    instant = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(timespec="seconds")


class _Watch:
    """Sees to it that all answers of one fetch are about the same records as the cursor that it goes on from."""

    def __init__(self, session: Session, name: str, cursor: Mapping[str, Any], since: str | None) -> None:
        self._identity = session.identity
        self._name = name
        self._cursor = cursor
        self._since = since
        self.facts: dict[str, Any] = {}

    @property
    def asks_tenant(self) -> bool:
        """Whether the next document asks whose token it is: the first of a fetch does."""
        return self._identity.asked and not self.facts

    def check(self, reply: Reply) -> None:
        """Refuse an answer from elsewhere, or under another token than the one before it."""
        before = self.facts or self._cursor
        scope = self.facts["scope"] if self.facts else self._identity.fingerprint(reply)
        if before:
            self._identity.refuse_foreign({self._name: before}, scope, reply.token)
        if before.get("since") != self._since and before:
            raise CursorExpiredError(f"the position in {self._name} is that of another window", [self._name])
        self.facts = {"scope": scope, "token": reply.token, **({"since": self._since} if self._since else {})}


def _page(session: Session, declaration: Declaration, after: str | None, since: str | None, *, tenant: bool) -> Reply:
    try:
        return session.ask(
            [declaration],
            lambda left: walk_document(left(declaration), session.reach, after, tenant=tenant, since=since),
        )
    except QueryError as error:
        if error.expired and after is not None:
            raise CursorExpiredError(
                f"the position in {declaration.name} is refused: {error}", [declaration.name]
            ) from None
        raise


def _rows(session: Session, declaration: Declaration, ids: Sequence[str], after: str | None, *, tenant: bool) -> Reply:
    return session.ask(
        [declaration], lambda left: rows_document({left(declaration): (ids, after)}, session.reach, tenant=tenant)
    )


def advanced(page: Page, after: str | None, name: str) -> str | None:
    """The cursor after a page: its last edge's. RemoteError where the server claims more but does not move on."""
    if not page.rows:
        if page.more:
            raise RemoteError(
                f"Xledger announced more {name} and sent an empty page: nothing of it was kept; try again"
            )
        return after
    last = page.rows[-1].cursor
    if last is None:
        raise RemoteError(f"Xledger sent {name} without cursors: nothing of it was kept; report this as a bug")
    if last == after:
        raise RemoteError(f"Xledger sent the same page of {name} again: nothing of it was kept; try again")
    return last
