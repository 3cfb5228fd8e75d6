"""The reading half of the connector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.changes import Poll
from postroad.connectors.xledger.check import checks, forecast
from postroad.connectors.xledger.declaration import Declaration, find
from postroad.connectors.xledger.lacks import Lacks
from postroad.connectors.xledger.parse import parse
from postroad.connectors.xledger.scope import Identity
from postroad.connectors.xledger.session import Session
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.walk import rows_of_keys, walk
from postroad.records import Check, Feed, Payload, Rows, Scope, Want
from postroad.sdk.connector import Tools

SINCE = "since"


class XledgerSource:
    """One connection to Xledger: a walk for each entity, and one feed with the changes of all."""

    def __init__(
        self,
        settings: XledgerSettings,
        tools: Tools,
        *,
        entities: Sequence[Declaration] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._entities = tuple(entities) if entities is not None else settings.declarations
        self._api = Api(settings, tools, transport)
        self._session = Session(
            self._api,
            Identity(settings),
            Lacks(self._api, tools.clock),
            settings.ids_per_query,
            settings.time_zone,
            tools.clock,
        )

    def discover(self) -> Iterator[Feed]:
        """The changes of all entities together, because calls are money; a walk each, and one of its window."""
        told = tuple(each.entity for each in self._entities if each.deltas is not None)
        if told:
            yield Feed("changes", told, "changes")
        for each in self._entities:
            yield Feed(each.name, (each.entity,), "walk", every=each.every if each.deltas is None else None)
            if each.window_field is not None:
                part = Scope(SINCE, each.window_field.column, moves=True)
                yield Feed(f"{each.name}.{SINCE}", (each.entity,), "walk", part)

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`."""
        names = want.entities or tuple(entity.name for entity in feed.entities)
        declarations = [find(self._entities, name) for name in names]
        if feed.kind == "changes":
            return Poll(self._session, declarations, want.cursor).payloads()
        if want.keys is not None:
            return rows_of_keys(self._session, declarations[0], want)
        return walk(self._session, declarations[0], want)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """See `Source.parse`."""
        declarations = [each for each in self._entities if each.name in {entity.name for entity in feed.entities}]
        return parse(payload, declarations, self._settings.time_zone)

    def check(self) -> Iterator[Check]:
        """See `Source.check`."""
        return checks(self._session, self._settings, self._entities)

    def forecast(self, feed: Feed) -> str | None:
        """See `Source.forecast`; the changes need none, as they are one call, and of a window nobody can tell."""
        if feed.kind != "walk" or feed.scope.column is not None:
            return None
        return forecast(self._session, find(self._entities, feed.name))

    def close(self) -> None:
        """Give back the connections."""
        self._api.close()
