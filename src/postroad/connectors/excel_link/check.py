"""Is every link of this connection in order?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from postroad.connectors.excel_link.files import Sizes, content_digest, format_of, usable
from postroad.connectors.excel_link.links import Web, place_of, read_file
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.tables import Member, Tables
from postroad.errors import PostroadError
from postroad.records import Check
from postroad.sdk.reach import address_of, connect


def checks(settings: ExcelLinkSettings, tables: Tables, web: Web, now: float) -> Iterator[Check]:
    """Each host, then each link down to its last row; stops at the first step that fails."""
    members = list(tables.members(now))
    for step, action in _steps(settings, members, web):
        try:
            yield Check(step, ok=True, sentence=action())
        except (PostroadError, OSError, UnicodeError, ValueError) as error:
            yield Check(step, ok=False, sentence=str(error))
            return


def _steps(settings: ExcelLinkSettings, members: list[Member], web: Web) -> Iterator[tuple[str, Callable[[], str]]]:
    seen: set[tuple[str, int]] = set()
    for member in members:
        name = member.feed.name
        try:
            address = _address(member)
        except (PostroadError, ValueError):
            address = None  # The link's own step tells what is wrong with it.
        if address is not None and address not in seen:
            seen.add(address)
            yield f"reach the host of {name}", partial(connect, *address)
        yield f"read {name}", partial(_read, settings, member, web)


def _address(member: Member) -> tuple[str, int] | None:
    place = place_of(member)
    if place.is_file:
        return None
    return address_of(place.address)


def _read(settings: ExcelLinkSettings, member: Member, web: Web) -> str:
    sizes = Sizes.of(settings)
    place = place_of(member)
    kind = format_of(member.table, place.path)
    received = read_file(place, sizes.most_bytes) if place.is_file else web.get(place, None)
    assert received is not None  # Nothing is unchanged to one who knows nothing.
    content_digest(received.body, kind, received.content_type, sizes)
    _, rows = usable(received.body, kind, member.table, sizes)
    again = "" if place.is_file else ", an unchanged one costs a short answer" * (received.etag is not None)
    return f"{rows:,} rows of {len(member.table.columns)} columns in {len(received.body):,} bytes{again}"
