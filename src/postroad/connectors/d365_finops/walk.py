"""The walk of an entity in one company: a full export of it by a project of its own, its file as pages.

That project exports everything each time, so the walk leaves the positions of change tracking alone: a walk that is
parked or abandoned costs no change. The cursor holds the execution, and how many blocks of its file have landed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from postroad.connectors.d365_finops.api import Execution
from postroad.connectors.d365_finops.declaration import Declaration
from postroad.connectors.d365_finops.exports import LostError, Pause
from postroad.connectors.d365_finops.session import Piece, Session
from postroad.errors import CursorExpiredError, RemoteError
from postroad.records import Payload, Want

NO_ROWS = b""


def walk(session: Session, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """The pages after the cursor; RemoteError for an export that did not fully succeed, of which nothing is kept."""
    settings = session.settings
    cursor: dict[str, Any] = dict(want.cursor or {})
    if cursor and cursor["scope"] != settings.scope:
        raise CursorExpiredError(f"the export of {declaration.name} began under other settings", [declaration.name])
    if not cursor.get("execution"):
        cursor = {"scope": settings.scope, "blocks": 0, "size": session.block_size, **session.exports.minted()}
        yield Payload(None, dict(cursor), scope=want.scope.name)
    company = want.scope.equals or settings.companies[0]
    execution = Execution(cursor["execution"], f"{settings.project} {declaration.name}", company, cursor["began"])
    try:
        status = session.exports.ended(execution, seen=cursor["seen"])
        if isinstance(status, Pause):
            if status.seen and not cursor["seen"]:
                yield Payload(None, {**cursor, "seen": True}, scope=want.scope.name)
            raise status.error
        _require_whole(session.exports.failed(execution, {declaration.name: declaration.label}, status))
        with session.exports.package(execution) as package:
            pieces = session.pieces(package, execution, declaration, cursor["size"])
            yield from _pages(islice(pieces, cursor["blocks"], None), cursor, declaration, want.scope.name)
    except LostError as error:
        if cursor["blocks"]:  # pages of two exports would keep what was deleted between them
            raise CursorExpiredError(f"{error}, half-way", [declaration.name]) from None
        # A full export can be asked for again: nothing is lost but its time.
        yield Payload(None, {**cursor, "execution": None}, scope=want.scope.name)
        raise RemoteError(f"{error}; the next run asks for another one") from None


def _require_whole(failed: Mapping[str, str]) -> None:
    """A file of an entity that did not fully succeed is no page of a walk: it would close its scope (sequence 18)."""
    if failed:
        raise LostError("; ".join(f"{name}: {why}" for name, why in failed.items()))


def _pages(pieces: Iterator[Piece], cursor: dict[str, Any], declaration: Declaration, scope: str) -> Iterator[Payload]:
    """The blocks that have not landed yet; an entity without rows has one page that says so."""
    number = cursor["blocks"]
    piece = next(pieces, None)
    if piece is None:
        yield Payload(
            NO_ROWS, {**cursor, "blocks": number + 1}, f"{cursor['execution']},{declaration.name},none",
            (declaration.name,), {}, scope, closes=True,
        )  # fmt: skip
    while piece is not None:
        number += 1
        following = next(pieces, None)
        yield Payload(
            piece.block.text,
            {**cursor, "seen": True, "blocks": number},
            piece.identifier,
            (declaration.name,),
            piece.meta,
            scope,
            closes=following is None,
        )
        piece = following
