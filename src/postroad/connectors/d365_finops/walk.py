"""The walk of an entity in one company: a full export of it by a project of its own, its file as pages.

That project exports everything each time, so the walk leaves the positions of change tracking alone: a walk that is
parked or abandoned costs no change. The cursor holds the execution, and how many blocks of its file have landed.

The walk begins where its export does: a row that landed before and was deleted before the export read is in no page,
and nobody tells of it (sequence 21). So an execution is started only right after its id was made durable together with
that beginning. One that nobody knows later may have begun at any time since: another one is started in its place.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from typing import Any

from postroad.connectors.d365_finops.api import Execution
from postroad.connectors.d365_finops.declaration import Declaration
from postroad.connectors.d365_finops.exports import LostError, Pause
from postroad.connectors.d365_finops.faults import FileError
from postroad.connectors.d365_finops.session import Piece, Session
from postroad.errors import CursorExpiredError, RemoteError
from postroad.records import Payload, Want

NO_ROWS = b""


def walk(session: Session, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """The pages after the cursor; RemoteError for an export that did not fully succeed, of which nothing is kept."""
    settings = session.settings
    cursor: dict[str, Any] = dict(want.cursor or {"scope": settings.scope, "blocks": 0, "size": session.block_size})
    if cursor["scope"] != settings.scope:
        raise CursorExpiredError(f"the export of {declaration.name} began under other settings", [declaration.name])
    try:
        execution = yield from _exported(session, declaration, want, cursor)
        with session.exports.package(execution) as package:
            pieces = session.pieces(package, execution, declaration, cursor["size"])
            yield from _pages(islice(pieces, cursor["blocks"], None), cursor, declaration, want.scope.name)
    except (LostError, FileError) as error:
        if cursor["blocks"]:  # pages of two exports would keep what was deleted between them
            raise CursorExpiredError(f"{error}, half-way", [declaration.name]) from None
        # A full export can be asked for again: nothing is lost but its time.
        yield Payload(None, {**cursor, "execution": None, "began": None}, scope=want.scope.name)
        raise RemoteError(f"{error}; the next run asks for another one") from None


def _exported(
    session: Session, declaration: Declaration, want: Want, cursor: dict[str, Any]
) -> Generator[Payload, None, Execution]:
    """The execution of the cursor once it has fully succeeded, or that of a new one; ThrottledError until then."""
    exports, scope = session.exports, want.scope.name
    execution = _execution(session, declaration, want, cursor)
    status = exports.found(execution, seen=cursor["seen"]) if execution is not None else None
    if execution is None or status is None:
        since = cursor.get("began")  # the patience of one beginning, however often it is tried
        cursor |= exports.minted() | ({"began": since} if since is not None else {})
        yield Payload(None, dict(cursor), scope=scope, begins=True)
        execution = _execution(session, declaration, want, cursor)
        assert execution is not None
        ended = exports.started(execution)
    else:
        ended = exports.awaited(execution, status)
    if isinstance(ended, Pause):
        if ended.seen and not cursor["seen"]:
            yield Payload(None, {**cursor, "seen": True}, scope=scope)
        raise ended.error
    cursor["seen"] = True
    _require_whole(exports.failed(execution, {declaration.name: declaration.label}, ended))
    return execution


def _execution(session: Session, declaration: Declaration, want: Want, cursor: Mapping[str, Any]) -> Execution | None:
    if not cursor.get("execution"):
        return None
    settings = session.settings
    company = want.scope.equals or settings.companies[0]
    return Execution(cursor["execution"], f"{settings.project} {declaration.name}", company, cursor["began"])


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
