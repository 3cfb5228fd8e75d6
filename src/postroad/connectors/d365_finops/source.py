"""The reading half of the connector."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.changes import Poll
from postroad.connectors.d365_finops.check import checks
from postroad.connectors.d365_finops.declaration import COMPANY, Declaration, known
from postroad.connectors.d365_finops.exports import Exports
from postroad.connectors.d365_finops.jsonrows import parse_page
from postroad.connectors.d365_finops.odata import KIND as ODATA
from postroad.connectors.d365_finops.odata import counted, read
from postroad.connectors.d365_finops.parse import parse
from postroad.connectors.d365_finops.session import Session
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.sweep import KIND as KEYS
from postroad.connectors.d365_finops.sweep import parse_keys, rows_of_keys, sweep
from postroad.connectors.d365_finops.walk import walk
from postroad.records import ALL, Check, Feed, Payload, Rows, Scope, Want
from postroad.sdk.connector import Tools

SWEEP = "sweep"


class FinopsSource:
    """One environment: the changes of its project; of each entity, in each company, a walk and a sweep."""

    def __init__(self, settings: FinopsSettings, tools: Tools, *, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._entities = {name: known()[name] for name in settings.entities}
        self._api = Api(settings, tools, transport)
        self._session = Session(settings, Exports(self._api, settings, tools, transport))

    def discover(self) -> Iterator[Feed]:
        """The export project, and a full export of each entity in each company that has rows of its own."""
        packed = tuple(each.entity for each in self._entities.values() if each.name not in self._settings.odata)
        if packed:
            yield Feed("changes", packed, "changes")
        for each in self._entities.values():
            yield from self._reads(each) if each.name in self._settings.odata else self._walks(each)

    def _reads(self, declaration: Declaration) -> Iterator[Feed]:
        """An entity that is read over OData has no changes: it is read whole, and compared."""
        name, entities, every = declaration.name, (declaration.entity,), self._settings.odata_hours * 3600
        if declaration.shared:
            yield Feed(name, entities, "walk", ALL, every)
            return
        for company in self._settings.companies:
            yield Feed(f"{name}.{company}", entities, "walk", Scope(company, COMPANY, equals=company), every)

    def _walks(self, declaration: Declaration) -> Iterator[Feed]:
        name, entities = declaration.name, (declaration.entity,)
        if declaration.shared:
            yield Feed(name, entities, "walk", ALL)
            yield Feed(f"{name}.{SWEEP}", entities, "walk", Scope(SWEEP, moves=True, sweeps=True))
            return
        for company in self._settings.companies:
            yield Feed(f"{name}.{company}", entities, "walk", Scope(company, COMPANY, equals=company))
            swept = Scope(f"{company}.{SWEEP}", COMPANY, equals=company, moves=True, sweeps=True)
            yield Feed(f"{name}.{company}.{SWEEP}", entities, "walk", swept)

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`."""
        names = want.entities or tuple(entity.name for entity in feed.entities)
        if feed.kind == "changes":
            return Poll(self._session, [self._entities[name] for name in names], want).payloads()
        if want.keys is not None:
            return rows_of_keys(self._api, self._settings.base, self._entities[names[0]], want)
        if names[0] in self._settings.odata:
            return read(self._api, self._settings, self._entities[names[0]], want)
        if feed.scope.sweeps:
            return sweep(self._api, self._settings, self._entities[names[0]], want)
        return walk(self._session, self._entities[names[0]], want)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """See `Source.parse`."""
        for name in payload.entities:
            kind = payload.meta.get("kind")
            if kind == KEYS:
                yield from parse_keys(payload, self._entities[name])
            elif kind == ODATA:
                yield from parse_page(payload, self._entities[name], self._settings)
            else:
                yield from parse(payload, self._entities[name], self._settings)

    def check(self) -> Iterator[Check]:
        """See `Source.check`."""
        return checks(self._api, self._settings)

    def count(self, feed: Feed) -> int | None:
        """See `Countable.count`: what OData counts, of the same companies."""
        declaration = self._entities[feed.entities[0].name]
        return counted(self._api, self._settings.base, declaration, feed.scope.equals)

    def forecast(self, feed: Feed) -> str | None:
        """None: an export is a few calls, whatever it holds."""
        return None

    def close(self) -> None:
        """Give back the connections."""
        self._api.close()
