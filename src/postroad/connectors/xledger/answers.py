"""A quick look at an answer: cursors and page ends, without decoding the rows (4 ms for a page of 10,000)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from postroad.connectors.xledger.documents import TENANT, anchor_alias, newest_alias
from postroad.connectors.xledger.faults import Fault, Outline, UnusableError, outline
from postroad.connectors.xledger.halves import decoded

NOTHING = msgspec.Raw(b"null")


class Edge(msgspec.Struct, gc=False):
    """One edge; its node stays undecoded. The tenant is asked without a cursor.

    `gc=False`: ten thousand of them a page, and none can be part of a cycle.
    """

    cursor: str | None = None
    node: msgspec.Raw = NOTHING


class PageInfo(msgspec.Struct, rename="camel"):
    """What follows a page."""

    has_next_page: bool = False


class Page(msgspec.Struct, rename="camel"):
    """One connection of an answer. `edges` is null, not empty, when nothing matches (fact sheet 1.4)."""

    edges: list[Edge] | None = None
    page_info: PageInfo | None = None

    @property
    def rows(self) -> Sequence[Edge]:
        """The edges; none when they are null."""
        return self.edges or ()

    @property
    def more(self) -> bool:
        """Whether another page follows."""
        return self.page_info is not None and self.page_info.has_next_page


class DeltaNode(msgspec.Struct, rename="camel", frozen=True):
    """What is told of a change beside its record."""

    db_id: str | int | None = None
    mutation_type: str | None = None
    mutated_at: str | None = None


class KeyNode(msgspec.Struct, rename="camel"):
    """The id of a node."""

    db_id: str | int | None = None


class _Body(msgspec.Struct):
    errors: list[Fault] | None = None
    data: dict[str, Page | None] | None = None

    @property
    def empty(self) -> bool:
        return self.data is None


_BODY = msgspec.json.Decoder(_Body)
_DELTA = msgspec.json.Decoder(DeltaNode | None)
_KEY = msgspec.json.Decoder(KeyNode | None)


@dataclass(frozen=True)
class Reply:
    """An answer without errors: its bytes, its pages by alias, the server's time, a digest of the token it was for."""

    body: bytes
    pages: Mapping[str, Page | None]
    date: datetime
    token: str = ""

    def page(self, alias: str) -> Page:
        """The page of that alias; an answer without it is unusable."""
        page = self.pages.get(alias)
        if page is None:
            raise UnusableError(f"the answer holds nothing for '{alias}': check the rights of the token")
        return page

    def newest(self, name: str) -> Sequence[Edge]:
        """The entity's newest change, and perhaps the one before it; none when there are none."""
        return self.page(newest_alias(name)).rows

    def anchor(self, name: str) -> Sequence[Edge] | None:
        """What stands where our last change stood; None if that was not asked."""
        return self.page(anchor_alias(name)).rows if anchor_alias(name) in self.pages else None

    def tenant(self) -> str:
        """The id of the company that the token belongs to."""
        found = [key_of(edge.node) for edge in self.page(TENANT).rows]
        if not found or found[0] is None:
            raise UnusableError("the token cannot read its own company: give it that right, or set tenant_check: false")
        return found[0]


class Looks:
    """Looks at each answer once, although two ask: the HTTP client's classifier, then whoever wanted the answer.

    Where several threads ask at a time, one may find that another's look has replaced its own, and looks again.
    """

    def __init__(self) -> None:
        self._seen: tuple[bytes, _Body] | None = None

    def outline(self, body: bytes) -> Outline:
        """For the classifier. Data of an unknown shape is not its concern."""
        try:
            found = decoded(_BODY, body)
        except msgspec.ValidationError:
            return outline(body)
        self._seen = body, found
        return found

    def reply(self, body: bytes, date: datetime | None, now: float, token: str = "") -> Reply:
        """For whoever wanted it. A server without a `Date` is measured by our clock."""
        seen, self._seen = self._seen, None
        try:
            found = seen[1] if seen is not None and seen[0] is body else decoded(_BODY, body)
        except msgspec.MsgspecError as error:
            raise UnusableError(f"the answer has an unknown shape: {error}") from None
        return Reply(body, found.data or {}, date or datetime.fromtimestamp(now, UTC), token)


def key_of(node: bytes) -> str | None:
    """The `dbId` of an undecoded node as text."""
    key = _look(_KEY, node)
    return None if key is None or key.db_id is None else str(key.db_id)


def delta_of(node: bytes) -> DeltaNode:
    """Id and kind of an undecoded change; both None where they cannot be read."""
    return _look(_DELTA, node) or DeltaNode()


def _look(decoder: msgspec.json.Decoder[Any], node: bytes) -> Any:
    try:
        return decoder.decode(node)
    except msgspec.MsgspecError:
        return None  # Parsing will refuse this row with its raw text; here it only has no id to look up.
