"""The reading half of the connector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.changes import Poll
from postroad.connectors.xledger.check import checks, forecast
from postroad.connectors.xledger.declaration import Declaration, find
from postroad.connectors.xledger.entities import EIGHT
from postroad.connectors.xledger.parse import parse
from postroad.connectors.xledger.scope import Identity
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.walk import walk
from postroad.records import Check, Feed, Payload, Rows, Want
from postroad.sdk.connector import Tools


class XledgerSource:
    """One connection to Xledger: a walk for each entity, and one feed with the changes of all."""

    def __init__(
        self,
        settings: XledgerSettings,
        tools: Tools,
        *,
        entities: Sequence[Declaration] = EIGHT,
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
        names = want.entities or tuple(entity.name for entity in feed.entities)
        declarations = [find(self._entities, name) for name in names]
        if feed.kind == "walk":
            return walk(self._api, self._identity, declarations[0], want.cursor)
        poll = Poll(self._api, self._identity, declarations, want.cursor, self._settings.ids_per_query)
        return poll.payloads()

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """See `Source.parse`."""
        declarations = [each for each in self._entities if each.name in {entity.name for entity in feed.entities}]
        return parse(payload, declarations, self._settings.time_zone)

    def check(self) -> Iterator[Check]:
        """See `Source.check`."""
        return checks(self._api, self._settings, self._entities[0])

    def forecast(self, feed: Feed) -> str | None:
        """See `Source.forecast`; the changes need none, as they are one call."""
        if feed.kind != "walk":
            return None
        return forecast(self._api, find(self._entities, feed.name), self._settings.page_size)

    def close(self) -> None:
        """Give back the connections."""
        self._api.close()
