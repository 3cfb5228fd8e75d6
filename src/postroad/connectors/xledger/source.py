"""The reading half of the connector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.entities import ENTITIES, Declaration, find
from postroad.connectors.xledger.parse import walked
from postroad.connectors.xledger.scope import Identity
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.walk import walk
from postroad.records import Feed, Payload, Rows, Want
from postroad.sdk.connector import Tools


class XledgerSource:
    """One connection to Xledger: a walk for each entity, and one feed with the changes of all."""

    def __init__(
        self,
        settings: XledgerSettings,
        tools: Tools,
        *,
        entities: Sequence[Declaration] = ENTITIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._entities = tuple(entities)
        self._api = Api(settings, tools, transport)
        self._identity = Identity(settings)

    def discover(self) -> Iterator[Feed]:
        """The changes of all entities together, because calls are money, and one walk each."""
        yield Feed("changes", tuple(each.entity for each in self._entities), "changes")
        for each in self._entities:
            yield Feed(each.name, (each.entity,), "walk")

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`."""
        return walk(self._api, self._identity, find(self._entities, feed.name), want.cursor)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """See `Source.parse`."""
        for name in payload.entities:
            yield walked(payload.body or b"", find(self._entities, name), self._settings.time_zone)

    def close(self) -> None:
        """Give back the connections."""
        self._api.close()
