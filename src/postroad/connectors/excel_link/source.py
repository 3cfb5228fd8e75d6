"""The reading half of the connector: one walk for each link, which yields a file only when it differs from the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx

from postroad.connectors.excel_link.check import checks
from postroad.connectors.excel_link.files import Sizes, content_digest, format_of, read, usable
from postroad.connectors.excel_link.links import Place, Received, Web, place_of, read_file
from postroad.connectors.excel_link.rows import rows_of
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.tables import Table, Tables
from postroad.records import Check, Feed, Json, Payload, Rows, Want
from postroad.sdk.connector import Tools
from postroad.sdk.sheets.grid import Grid


class ExcelLinkSource:
    """The tables of one connection."""

    def __init__(
        self, settings: ExcelLinkSettings, tools: Tools, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._tools = tools
        self._tables = Tables(settings)
        self._sizes = Sizes.of(settings)
        self._web = Web(settings, tools, transport)
        # By feed what `fetch` had to read to know that the file is good, so that `parse` need not read it again.
        self._ready: dict[str, tuple[bytes, Grid]] = {}

    def discover(self) -> Iterator[Feed]:
        """One walk for each link in each period that there is today."""
        return (member.feed for member in self._tables.members(self._tools.clock()))

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """The file behind a link, if it is another one than `want.cursor` knows; of the same only another tag.

        A file that cannot be used raises before anything is yielded, so that the last version stays.
        """
        member = self._tables.member(feed, self._tools.clock())
        place = place_of(member)
        kind = format_of(member.table, place.path)
        fingerprint = member.fingerprint(place.address)
        known = want.cursor if want.cursor and want.cursor.get("fingerprint") == fingerprint else None
        received = self._received(place, known)
        if received is None:
            return
        digest = content_digest(received.body, kind, received.content_type, self._sizes)
        tags = {"etag": received.etag, "last_modified": received.last_modified}
        cursor = {**tags, "digest": digest, "fingerprint": fingerprint}
        if known is not None and known["digest"] == digest:
            if cursor != known:
                yield Payload(None, cursor, scope=feed.scope.name)
            return
        grid, _ = usable(received.body, kind, member.table, self._sizes)
        self._ready[feed.name] = received.body, grid
        yield Payload(
            body=received.body,
            cursor=cursor,
            identifier=member.name or member.table.name,
            entities=(member.table.name,),
            meta={"format": kind, "values": member.values, "content_type": received.content_type},
            scope=feed.scope.name,
            closes=True,
        )

    def _received(self, place: Place, known: Mapping[str, Json] | None) -> Received | None:
        return read_file(place, self._sizes.most_bytes) if place.is_file else self._web.get(place, known)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """The rows of a landed file, in batches; see `Source.parse`."""
        for name in payload.entities:
            table = self._tables[name]
            yield from rows_of(self._grid(feed, payload, table), table, payload.meta["values"])

    def _grid(self, feed: Feed, payload: Payload, table: Table) -> Grid:
        body, grid = self._ready.pop(feed.name, (None, None))
        if grid is not None and body is payload.body:
            return grid
        return read(payload.body or b"", payload.meta["format"], table, self._sizes, whole=False)

    def check(self) -> Iterator[Check]:
        """See `Source.check`."""
        return checks(self._settings, self._tables, self._web, self._tools.clock())

    def forecast(self, feed: Feed) -> str | None:
        """None: a link is one call, whatever it holds."""
        return None

    def close(self) -> None:
        """Nothing to give back: a connection lasts for one file."""
