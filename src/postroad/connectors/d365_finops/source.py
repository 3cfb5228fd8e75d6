"""The reading half of the connector."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.changes import Poll
from postroad.connectors.d365_finops.check import checks
from postroad.connectors.d365_finops.declaration import COMPANY, known
from postroad.connectors.d365_finops.exports import Exports
from postroad.connectors.d365_finops.parse import parse
from postroad.connectors.d365_finops.session import Session
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.walk import walk
from postroad.records import ALL, Check, Feed, Payload, Rows, Scope, Want
from postroad.sdk.connector import Tools


class FinopsSource:
    """One environment: the changes of all entities of its project, and a walk of each entity in each company."""

    def __init__(self, settings: FinopsSettings, tools: Tools, *, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._entities = {name: known()[name] for name in settings.entities}
        self._api = Api(settings, tools, transport)
        self._session = Session(settings, Exports(self._api, settings, tools, transport))

    def discover(self) -> Iterator[Feed]:
        """The export project, and a full export of each entity in each company that has rows of its own."""
        yield Feed("changes", tuple(each.entity for each in self._entities.values()), "changes")
        for each in self._entities.values():
            if each.shared:
                yield Feed(each.name, (each.entity,), "walk", ALL)
            else:
                for company in self._settings.companies:
                    scope = Scope(company, COMPANY, equals=company)
                    yield Feed(f"{each.name}.{company}", (each.entity,), "walk", scope)

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`."""
        names = want.entities or tuple(entity.name for entity in feed.entities)
        if feed.kind == "changes":
            return Poll(self._session, [self._entities[name] for name in names], want.cursor).payloads()
        return walk(self._session, self._entities[names[0]], want)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """See `Source.parse`."""
        for name in payload.entities:
            yield from parse(payload, self._entities[name], self._settings)

    def check(self) -> Iterator[Check]:
        """See `Source.check`."""
        return checks(self._api, self._settings)

    def forecast(self, feed: Feed) -> str | None:
        """None: an export is a few calls, whatever it holds."""
        return None

    def close(self) -> None:
        """Give back the connections."""
        self._api.close()
