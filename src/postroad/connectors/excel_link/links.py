"""Where a file comes from: one GET of a link, or one read of a path. The link is a secret: no error ever shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

import httpx

from postroad.connectors.excel_link.files import MB
from postroad.connectors.excel_link.periods import PLACEHOLDER, filled, misplaced
from postroad.connectors.excel_link.safety import is_local, objection
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.tables import Member
from postroad.errors import AuthError, ConfigError, RemoteError, TransientError
from postroad.records import Json
from postroad.sdk.connector import Tools
from postroad.sdk.http import Answer, Credentials, HttpClient, Limits
from postroad.sdk.secrets import Secret

BURST_SECONDS = 5.0
MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
TOKEN = re.compile(r"[A-Za-z0-9_+/=.~-]{24,}")
RENEW = "make a new export link where it was made, and put it where the old one is kept"


class MovedError(RemoteError):
    """The server names another address for the file; `location` is not for anybody's eyes."""

    def __init__(self, status: int, location: str) -> None:
        self.location = location
        super().__init__(f"the server answered {status}: it redirects elsewhere")


@dataclass(frozen=True)
class Place:
    """Where one member is read now, secrets revealed. `path` ends as the file's name does."""

    address: str = field(repr=False)
    is_file: bool

    @property
    def path(self) -> str:
        """The part of the address that a file's ending stands at."""
        return self.address if self.is_file else urlsplit(self.address).path


@dataclass(frozen=True)
class Received:
    """A file as it came."""

    body: bytes = field(repr=False)
    content_type: str = ""
    etag: str | None = None
    last_modified: str | None = None


def place_of(member: Member) -> Place:
    """The link of a member, filled for its period; ConfigError if it cannot be one."""
    settings = member.table.settings
    given = member.place
    text = given.reveal().strip() if isinstance(given, Secret) else given
    wants = [text, *settings.parameters.values()]
    if wrong := misplaced(wants, periods=bool(settings.periods)):
        raise ConfigError(f"the link of table {member.table.name}: {wrong}")
    if settings.periods and not any(PLACEHOLDER.search(each) for each in wants):
        raise ConfigError(
            f"table {member.table.name} has periods, but its link has no place for one: "
            "write {month}, {year}, {period} or {xledger_period} into the link or a parameter"
        )
    text = filled(text, member.period)
    if isinstance(given, str):
        return Place(text, is_file=True)
    if wrong := objection(text, allow_http=True):
        raise ConfigError(f"the link {given} {wrong}")
    for name, value in settings.parameters.items():
        sign = "&" if urlsplit(text).query else "?"
        text = f"{text.partition('#')[0]}{sign}{quote(name, safe='')}={quote(filled(value, member.period), safe=',')}"
    return Place(text, is_file=False)


def read_file(place: Place, most_bytes: int) -> Received:
    """A local file whole; RemoteError if there is none or it is over the limit."""
    try:
        with Path(place.address).open("rb") as file:
            return Received(file.read(most_bytes + 1))  # one more, so that the limit is seen to be passed
    except FileNotFoundError:
        raise RemoteError(f"there is no file {place.address}: check the path") from None
    except OSError as error:
        raise TransientError(f"the file {place.address} cannot be read: {error.strerror}") from None


class Web:
    """The links of one connection over HTTP(S)."""

    def __init__(self, settings: ExcelLinkSettings, tools: Tools, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._tools = tools
        self._transport = transport

    def get(self, place: Place, known: Mapping[str, Json] | None) -> Received | None:
        """The file behind a link, or None where the server says that it is the one with the tags of `known`."""
        headers = _conditions(known)
        address = place.address
        for _ in range(MOST_REDIRECTS + 1):
            self.require_safe(address)
            try:
                answer = self._answer(address, place.address, headers)
            except MovedError as moved:
                address = self._followed(address, moved.location)
            else:
                return None if answer.status == 304 else _received(answer)
        raise RemoteError(
            f"the server redirects more than {MOST_REDIRECTS} times: open the link in a browser to see why"
        )

    def require_safe(self, address: str) -> None:
        """ConfigError for a link that would show itself to everybody on its way."""
        if wrong := objection(address, allow_http=self._settings.allow_http):
            raise ConfigError(f"the link {wrong}")

    def _answer(self, address: str, link: str, headers: Mapping[str, str]) -> Answer:
        settings = self._settings
        limits = Limits(
            budget=f"excel_link {urlsplit(address).hostname}",
            calls=settings.burst,
            per=BURST_SECONDS,
            calls_per_month=settings.calls_per_month,
            timeout=settings.timeout,
            most_bytes=settings.most_megabytes * MB,
            too_large="raise most_megabytes if that is right",
        )
        seen = secrets_of(link) | secrets_of(address)
        client = HttpClient(
            address,
            lambda: Credentials({"accept": "*/*"}, tuple(sorted(seen, key=len, reverse=True))),
            limits,
            classify=_classified,
            tools=self._tools,
            transport=self._transport,
        )
        with closing(client):
            return client.get(headers)

    def _followed(self, address: str, location: str) -> str:
        """Where a redirect leads; RemoteError for another host, which would be told the secret."""
        try:
            target = urljoin(address, location)
            old, new = urlsplit(address), urlsplit(target)
            port_changed = old.port != new.port and (old.scheme, new.scheme) != ("http", "https")
        except ValueError:
            raise RemoteError("the server redirects to something that is no address: check the link") from None
        if (old.scheme, new.scheme) == ("https", "http") and not is_local(new.hostname or ""):
            raise RemoteError(
                "the server redirects from https to http, where everybody could read the link: it is refused"
            )
        if new.hostname in self._settings.redirect_hosts:
            return target
        if new.hostname != old.hostname or port_changed:
            host = (new.hostname or "")[:100]
            raise RemoteError(
                f"the server redirects to another host, {host}: if it may know the link, add it to redirect_hosts; "
                "a sign-in page means that the link has expired"
            )
        return target


def secrets_of(address: str) -> set[str]:
    """The texts of a link that no answer, error or log may show; nothing that data could hold by chance."""
    query = urlsplit(address).query
    tokens = [value for _, value in parse_qsl(query) if TOKEN.fullmatch(value)]
    return {address, unquote(address), *([query] if TOKEN.search(query) else []), *tokens, *map(quote, tokens)}


def _conditions(known: Mapping[str, Json] | None) -> dict[str, str]:
    found = {"if-none-match": "etag", "if-modified-since": "last_modified"}
    return {header: known[name] for header, name in found.items() if known and known.get(name)}


def _received(answer: Answer) -> Received:
    headers = answer.headers
    return Received(
        answer.body, headers.get("content-type", "").casefold(), headers.get("etag"), headers.get("last-modified")
    )


def _classified(status: int, headers: Mapping[str, str], _body: bytes) -> Exception | None:
    if status in REDIRECTS and headers.get("location"):
        return MovedError(status, headers["location"])
    if status in (401, 403):
        return AuthError(f"the server answered {status}: it refuses the link; {RENEW}")
    if status in (404, 410):
        return RemoteError(f"the server answered {status}: the link has expired or was deleted; {RENEW}")
    if 400 <= status < 500 and status not in (408, 425, 429):
        return RemoteError(f"the server answered {status}: check the link and its parameters")
    return None
