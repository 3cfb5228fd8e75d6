"""Is this connection in order, and what would a full refresh cost?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from postroad.connectors.xledger.answers import Reply, key_of
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import edge_rows_document, tenant_document, trial_document
from postroad.connectors.xledger.faults import QueryTimeoutError, UnusableError
from postroad.connectors.xledger.session import Session
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.errors import PostroadError
from postroad.records import Check
from postroad.sdk.reach import address_of, connect, resolve

SECONDS_A_CALL = 3.0
BELIEVABLE_CALLS = 5_000


def checks(session: Session, settings: XledgerSettings, entities: Sequence[Declaration]) -> Iterator[Check]:
    """From resolving the host to reading one row of each entity; stops at the first that fails before those."""
    steps: list[tuple[str, Callable[[], str]]] = [
        ("resolve the host", lambda: resolve(address_of(settings.url)[0])),
        ("connect", lambda: connect(*address_of(settings.url))),
        ("sign in", lambda: _sign_in(session)),
        ("read the tenant", lambda: _tenant(session, settings)),
    ]
    for step, action in steps:
        try:
            yield Check(step, ok=True, sentence=action())
        except (PostroadError, OSError, UnicodeError, ValueError) as error:
            yield Check(step, ok=False, sentence=str(error))
            return
    yield from _readable(session, entities)


def _readable(session: Session, entities: Sequence[Declaration]) -> Iterator[Check]:
    """Each entity with its changes: one call for all, and one for each only if that failed."""
    together: Reply | None = None
    try:
        together = _tried(session, entities)
    except (UnusableError, QueryTimeoutError):
        pass
    except PostroadError as error:
        yield Check("read the entities", ok=False, sentence=str(error))
        return
    for each in entities:
        try:
            ok, sentence = True, _told(session, each, together or _tried(session, [each]))
        except PostroadError as error:
            ok, sentence = False, f"{error}; may the API token read {_queries(each)}?"
        yield Check(f"read the {each.name}", ok=ok, sentence=sentence, entity=each.name)


def _tried(session: Session, entities: Sequence[Declaration]) -> Reply:
    return session.ask(entities, lambda left: trial_document([left(each) for each in entities], session.reach))


def _told(session: Session, declaration: Declaration, reply: Reply) -> str:
    rows = reply.page(declaration.name).rows
    if declaration.deltas is not None:
        reply.newest(declaration.name)
    told = f"the newest is {key_of(rows[-1].node)}" if rows else "allowed; there are none"
    unknown = session.lacks.of(declaration.name).fields
    return f"{told}; Xledger knows no {', '.join(unknown)}" if unknown else told


def _queries(declaration: Declaration) -> str:
    return declaration.root if declaration.deltas is None else f"{declaration.root} and {declaration.deltas}"


def forecast(session: Session, declaration: Declaration) -> str:
    """What a full refresh costs, from the lowest and the highest id: Xledger does not say how many rows there are."""
    page_size = session.reach.page_size
    reply = session.ask([declaration], lambda left: edge_rows_document(left(declaration), session.reach))
    ends = [key_of(edge.node) for alias in ("oldest", "newest") for edge in reply.page(alias).rows]
    if not ends:
        return f"{declaration.name}: there are none, so a full refresh is one call."
    if not all(end is not None and end.isdecimal() for end in ends):
        return _unknown(declaration, page_size)
    rows = abs(int(ends[-1] or 0) - int(ends[0] or 0)) + 1
    calls = -(-rows // page_size)
    if calls > BELIEVABLE_CALLS:
        return _unknown(declaration, page_size)
    minutes = calls * SECONDS_A_CALL / 60
    return (
        f"{declaration.name}: at most {rows:,} rows by the range of their ids, so at most {calls:,} "
        f"call{'s' if calls > 1 else ''} and about {max(1, round(minutes)):,} min at {SECONDS_A_CALL:g} s a call. "
        "An estimate: ids have gaps."
    )


def _unknown(declaration: Declaration, page_size: int) -> str:
    return f"{declaration.name}: their ids do not tell how many; a full refresh takes a call per {page_size:,} rows."


def _sign_in(session: Session) -> str:
    session.api.probe()
    return "the token is accepted"


def _tenant(session: Session, settings: XledgerSettings) -> str:
    if not settings.tenant_check:
        return "not asked, because tenant_check is off"
    return f"the token belongs to company {session.api.ask(tenant_document()).tenant()}"
