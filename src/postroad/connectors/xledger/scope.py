"""Whose records a cursor counts: endpoint, tenant, reach and token (design section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postroad.connectors.xledger.answers import Reply
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.errors import CursorExpiredError


@dataclass(frozen=True)
class Identity:
    """What a connection is, as far as its settings tell; the tenant must be asked, as tokens rotate."""

    settings: XledgerSettings

    @property
    def asked(self) -> bool:
        """Whether the tenant is part of it. That `entities(ownerSet: CURRENT)` names it is inferred: hence a switch."""
        return self.settings.tenant_check

    def fingerprint(self, reply: Reply) -> str:
        """The fingerprint, by the tenant in the first answer of a fetch."""
        return self.fingerprint_of(reply.tenant() if self.asked else "")

    def fingerprint_of(self, tenant: str) -> str:
        """The fingerprint for a tenant that is known."""
        facts = (self.settings.url, tenant, self.settings.owner_set, self.settings.object_status)
        return hashlib.sha256("|".join(facts).encode()).hexdigest()[:16]

    def refuse_foreign(self, cursors: Mapping[str, Mapping[str, Any]], scope: str, token: str) -> None:
        """CursorExpiredError for the entities whose cursor was taken elsewhere, or under a token that is replaced.

        A new token often means new data: a demo that is refreshed loses both (fact sheet 1.1). Cursors of a version
        that noted no token are taken as they are.
        """
        foreign = [name for name, cursor in cursors.items() if cursor.get("scope") != scope]
        if foreign:
            raise CursorExpiredError(
                f"the positions of {', '.join(foreign)} were taken at another endpoint, in another tenant or scope",
                foreign,
                foreign=True,
            )
        if self.settings.new_token == "keep":  # noqa: S105  what a token means, not one
            return
        stale = [name for name, cursor in cursors.items() if cursor.get("token", token) != token]
        if stale:
            raise CursorExpiredError(
                "the API token is another one, and there may be other data behind it; where a new token changes "
                "nothing else, say new_token: keep in the connection",
                stale,
                foreign=True,
            )
