"""The walk: all rows of one entity, page by page, oldest first, under its own cursor (fact sheet 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from postroad.connectors.xledger.answers import Page, Reply
from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import walk_document
from postroad.connectors.xledger.faults import QueryError
from postroad.connectors.xledger.scope import Identity
from postroad.errors import CursorExpiredError, RemoteError
from postroad.records import Payload

KIND = "walk"


def walk(api: Api, identity: Identity, declaration: Declaration, cursor: Mapping[str, Any] | None) -> Iterator[Payload]:
    """The pages after `cursor`. A cursor of another tenant or scope is refused before any row is handed out."""
    after: str | None = (cursor or {}).get("after")
    seen = {after}
    scope = ""
    more = True
    while more:
        reply = _page(api, declaration, after, tenant=identity.asked and not scope)
        if not scope:
            scope = identity.fingerprint(reply)
            refuse_foreign(cursor, scope, declaration.name)
        page = reply.page(declaration.name)
        more = page.more
        asked, after = after, advanced(page, after, declaration.name)
        if page.rows and after in seen:
            raise RemoteError(
                f"the walk of {declaration.name} goes round in circles: Xledger repeated a cursor; try again"
            )
        seen.add(after)
        yield Payload(
            body=reply.body,
            cursor={"after": after, "scope": scope},
            identifier=f"after={asked or ''}",
            entities=(declaration.name,),
            meta={"kind": KIND, "date": reply.date.isoformat()},
            closes=not more,
        )


def _page(api: Api, declaration: Declaration, after: str | None, *, tenant: bool) -> Reply:
    try:
        return api.ask(walk_document(declaration, api.scope, after, tenant=tenant))
    except QueryError as error:
        if error.expired and after is not None:
            raise CursorExpiredError(
                f"the position in {declaration.name} is refused: {error}", [declaration.name]
            ) from None
        raise


def refuse_foreign(cursor: Mapping[str, Any] | None, scope: str, name: str) -> None:
    """A cursor is worth nothing at another endpoint, in another tenant or for another scope."""
    if cursor and cursor.get("scope") != scope:
        raise CursorExpiredError(
            f"the position of {name} was taken at another endpoint, in another tenant or scope",
            [name],
            foreign=True,
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
