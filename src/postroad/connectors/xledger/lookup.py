"""Rows by id, for a schema whose changes lack `_current` (sequence 13): batched, and landed with their changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from postroad.connectors.xledger.answers import Page, Reply, delta_of
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import rows_document
from postroad.connectors.xledger.faults import QueryTimeoutError, UnusableError
from postroad.connectors.xledger.session import Session
from postroad.connectors.xledger.walk import advanced
from postroad.errors import RemoteError

DELETED = "DELETED"
UPSERTS = ("ADDED", "UPDATED")

Batch = dict[Declaration, tuple[Sequence[str], str | None]]


@dataclass
class Found:
    """The raw answers, and the entities whose rows could not be had."""

    bodies: list[bytes] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)


def wanted_ids(page: Page) -> list[str]:
    """The ids to ask for: each once, unless its last change in the page is its deletion."""
    last: dict[str, str | None] = {}
    for edge in page.rows:
        delta = delta_of(edge.node)
        if delta.db_id is not None and str(delta.db_id).removeprefix("-").isdecimal():
            last[str(delta.db_id)] = delta.mutation_type
    return [key for key, kind in last.items() if kind in UPSERTS]


def envelope(deltas: bytes, rows: Sequence[bytes]) -> bytes:
    """One payload of raw answers, joined and never encoded anew."""
    return b'{"deltas":' + deltas + b',"rows":[' + b",".join(rows) + b"]}"


def look_up(session: Session, ids: Mapping[Declaration, Sequence[str]]) -> Found:
    """The rows of these ids, several entities in a document; one that fails does not take the others with it."""
    found = Found()
    pending: list[Batch] = list(_batches(ids, session.ids_per_query))
    while pending:
        batch = {each: part for each, part in pending.pop(0).items() if each.name not in found.failed}
        if not batch:
            continue
        try:
            reply = _rows(session, batch)
            rest = {each: _rest(reply.page(each.name), part, each.name) for each, part in batch.items()}
        except (UnusableError, QueryTimeoutError) as error:
            if len(batch) == 1:
                found.failed[next(iter(batch)).name] = error
            else:
                pending[:0] = [{each: part} for each, part in batch.items()]
            continue
        found.bodies.append(reply.body)
        if more := {each: part for each, part in rest.items() if part is not None}:
            pending.insert(0, more)
    return found


def _rows(session: Session, batch: Batch) -> Reply:
    return session.ask(
        list(batch),
        lambda left: rows_document({left(each): part for each, part in batch.items()}, session.reach),
    )


def _batches(ids: Mapping[Declaration, Sequence[str]], size: int) -> Iterator[Batch]:
    longest = max((len(each) for each in ids.values()), default=0)
    for start in range(0, longest, size):
        yield {each: (keys[start : start + size], None) for each, keys in ids.items() if keys[start : start + size]}


def _rest(page: Page, part: tuple[Sequence[str], str | None], name: str) -> tuple[Sequence[str], str | None] | None:
    """What is left to ask of a batch that did not fit a page."""
    try:
        after = advanced(page, part[1], name)
    except RemoteError as error:
        raise UnusableError(str(error)) from None
    return (part[0], after) if page.more else None
