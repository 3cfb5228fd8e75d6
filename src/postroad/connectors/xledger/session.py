"""One opened connection, as everything that fetches sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroad.connectors.xledger.answers import Reply
from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.declaration import Declaration
from postroad.connectors.xledger.documents import Document, Reach
from postroad.connectors.xledger.lacks import Lacks
from postroad.connectors.xledger.scope import Identity

Build = Callable[[Callable[[Declaration], Declaration]], Document]


@dataclass(frozen=True)
class Session:
    """Calls, whose records they are about, and what the server lacks."""

    api: Api
    identity: Identity
    lacks: Lacks
    ids_per_query: int
    zone: str
    clock: Callable[[], float]

    @property
    def reach(self) -> Reach:
        """Which records every document asks for."""
        return self.api.reach

    def ask(self, declarations: Sequence[Declaration], build: Build) -> Reply:
        """See `Lacks.ask`."""
        return self.lacks.ask(declarations, build)

    def meta(self, kind: str, reply: Reply, names: Mapping[str, Declaration], **more: Any) -> dict[str, Any]:
        """The facts of a payload that `parse` needs: what was asked of each entity stands beside the answer."""
        fields = {
            name: " ".join(each.name for each in self.lacks.applied(declaration).fields)
            for name, declaration in names.items()
        }
        return {"kind": kind, "date": reply.date.isoformat(), "fields": fields, **more}
