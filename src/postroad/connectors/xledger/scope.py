"""Whose records a cursor counts: endpoint, tenant and scope as one short fingerprint (design section 3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from postroad.connectors.xledger.answers import Reply
from postroad.connectors.xledger.settings import XledgerSettings


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
