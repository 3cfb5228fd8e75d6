"""OData: pages of a set and the links between them, and the walk of a small entity without any package (fact sheet 5).

Pages of a set that changes meanwhile may repeat or miss rows. So the server counts its rows with each page, and a walk
whose count does not stay what it was, or is not that of its rows in the end, begins again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.declaration import COMPANY, Declaration
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import CursorExpiredError, RemoteError, TransientError
from postroad.records import Payload, Want

MARK = b"\xef\xbb\xbf"
KIND = "odata"


@dataclass(frozen=True)
class Page:
    """A page as received: how many rows it has, how many the set has (None: not told), the path of the next one."""

    body: bytes
    rows: int
    count: int | None
    following: str | None


def read(api: Api, settings: FinopsSettings, declaration: Declaration, want: Want) -> Iterator[Payload]:
    """All rows of an entity, in one company, as the pages after the cursor; their order is that of the key."""
    cursor: dict[str, Any] = dict(want.cursor or {})
    if cursor and cursor["scope"] != settings.scope:
        raise CursorExpiredError(f"the pages of {declaration.name} are those of other settings", [declaration.name])
    company = want.scope.equals
    path = cursor.get("next") or address(
        declaration, declaration.entity.schema.names, of_company(company), **{"$orderby": ",".join(declaration.key)}
    )
    number, rows, count = int(cursor.get("page", 0)), int(cursor.get("rows", 0)), cursor.get("count")
    for page in pages(api, settings.base, declaration.name, path):
        number, rows, closes = number + 1, rows + page.rows, page.following is None
        count = page.count if count is None else count
        if count is not None and (page.count not in (None, count) or (closes and rows != count)):
            told = f"{declaration.name} had {count:,} rows when its walk began, and changed between two pages"
            raise CursorExpiredError(told, [declaration.name])
        yield Payload(
            page.body,
            {"scope": settings.scope, "next": page.following, "page": number, "rows": rows, "count": count},
            f"{KIND},{declaration.name},{company or ''},{number}",
            (declaration.name,),
            {"kind": KIND},
            want.scope.name,
            closes=closes,
        )


def pages(api: Api, base: str, name: str, path: str) -> Iterator[Page]:
    """A page and those that it leads to; RemoteError where they go round in circles."""
    seen: set[str] = set()
    following: str | None = path
    while following is not None:
        seen.add(following)
        page = _page(api.read(following), base)
        following = page.following
        if following in seen:
            raise RemoteError(f"the pages of {name} go round in circles: a link was repeated; try again")
        yield page


def counted(api: Api, base: str, declaration: Declaration, company: object) -> int | None:
    """How many rows a set has, in one company or in all; None if the server does not say."""
    path = address(declaration, declaration.key, of_company(company), **{"$top": "1"})
    return next(pages(api, base, declaration.name, path)).count


def address(declaration: Declaration, columns: Sequence[str], chosen: str = "", **more: str) -> str:
    """The path of a set's rows, of all companies; `chosen` is a filter, `more` are further options."""
    options = {"cross-company": "true", "$select": ",".join(columns), "$count": "true"}
    options |= ({"$filter": chosen} if chosen else {}) | more
    return f"/data/{declaration.name}?{urlencode(options, quote_via=quote, safe='$,')}"


def of_company(company: object) -> str:
    """The filter of one legal entity's rows; none of all."""
    return f"{COMPANY} eq {literal(company)}" if company else ""


def literal(value: object) -> str:
    """A value as a filter writes it."""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


class _Shape(msgspec.Struct):
    """What a page says of itself; its rows stay raw, which costs no memory."""

    value: list[msgspec.Raw]
    count: int | None = msgspec.field(default=None, name="@odata.count")
    link: str | None = msgspec.field(default=None, name="@odata.nextLink")


def _page(body: bytes, base: str) -> Page:
    try:
        found = _shape(body.removeprefix(MARK))
    except (msgspec.ValidationError, TypeError, KeyError):
        raise RemoteError("Finance & Operations answered without a page of OData") from None
    except ValueError:
        raise TransientError("a page of OData cannot be read: it broke off") from None
    return Page(body, len(found.value), found.count, _path(found.link, base) if found.link else None)


def _shape(body: bytes) -> _Shape:
    try:
        return msgspec.json.decode(body, type=_Shape)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # It may hold what is no text in one of its rows, which costs that row alone.
        whole = json.loads(body.decode("utf-8", "surrogateescape"), strict=False)
        return _Shape([msgspec.Raw()] * len(whole["value"]), whole.get("@odata.count"), whole.get("@odata.nextLink"))


def _path(link: str, base: str) -> str:
    """The path of a link to the next page; its scheme and host are often the server's inner ones (fact sheet 5)."""
    parts = urlsplit(link)
    prefix = urlsplit(base).path
    path = parts.path.removeprefix(prefix) if prefix else parts.path
    if not path.startswith("/data/"):
        raise RemoteError("the link to the next page leads elsewhere than to /data")
    return f"{path}?{parts.query}"
