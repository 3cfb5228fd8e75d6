"""The package of an execution into a temporary file: streamed, resumed by range, its length checked.

The link is a secret that is good for minutes (fact sheet 2.4): it is asked for right before each request and shown to
nobody. The file has no name on disk; a kill costs the download.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from typing import IO
from urllib.parse import urlsplit

import httpx

from postroad.connectors.d365_finops.faults import ExpiredLinkError, GoneError
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import AuthError, PostroadError, RemoteError, TransientError
from postroad.sdk.connector import Tools
from postroad.sdk.http import mapped

TRIES = 6
PIECE = 1 << 16  # larger ones are kept by malloc, three times over
MB = 1024 * 1024
SPOOL = 4 * MB
RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
Ask = Callable[[], str]


class Download:
    """One package on its way: what is here already, and which version of the blob it is of."""

    def __init__(
        self, settings: FinopsSettings, tools: Tools, link: Ask, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._sleep = tools.sleep
        self._link = link
        self._transport = transport
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=SPOOL)  # noqa: SIM115  the caller closes it
        self._tag: str | None = None
        self._total: int | None = None

    def fetched(self) -> IO[bytes]:
        """The whole package. GoneError if it is not there any more; RemoteError where it cannot be had."""
        try:
            with httpx.Client(
                timeout=self._settings.timeout, follow_redirects=False, transport=self._transport
            ) as client:
                self._fetch(client)
        except BaseException:
            self._file.close()
            raise
        self._file.seek(0)
        return self._file

    def _fetch(self, client: httpx.Client) -> None:
        for attempt in range(TRIES):
            if attempt > 0:
                self._sleep(min(30.0, 2.0**attempt / 2))
            error = self._attempt(client)
            if error is None:
                return
            if isinstance(error, AuthError | GoneError) or attempt == TRIES - 1:
                raise error
            if not isinstance(error, TransientError | ExpiredLinkError):
                raise error

    def _attempt(self, client: httpx.Client) -> PostroadError | None:
        """Fetch what is missing; what went wrong, if anything. httpx's own error holds the link: it goes no further."""
        address = require_safe(self._link(), self._settings)
        at = self._file.seek(0, 2)
        headers = {"range": f"bytes={at}-"} if at else {}
        if at and self._tag:
            headers["if-match"] = self._tag
        try:
            with client.stream("GET", address, headers=headers) as response:
                return self._refusal(response.status_code, response.headers) or self._keep(response, at)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            kind, advice = mapped(error)
            return kind(f"the package: {advice} ({type(error).__name__})")

    def _refusal(self, status: int, headers: Mapping[str, str]) -> PostroadError | None:
        if status in (200, 206):
            return None
        if status == 403:
            return ExpiredLinkError("the link to the package is refused (403), as one that has expired")
        if status in (404, 410):
            return GoneError(f"the package is not there any more ({status}): its blob was deleted")
        if status in (412, 416):
            self._start_again()
            return TransientError("the package is another one than before")
        if status >= 500 or status in (408, 429):
            return TransientError(f"the storage account answered {status}")
        return RemoteError(f"the storage account answered {status} for the package")

    def _keep(self, response: httpx.Response, at: int) -> PostroadError | None:
        if at and response.status_code == 200:
            self._start_again()  # it does not know ranges
        found = RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code == 206 and (found is None or int(found[1]) != at):
            self._start_again()
            return TransientError("the storage account sent another range than was asked for")
        length = response.headers.get("content-length", "")
        self._total = int(found[2]) if found else int(length) if length.isdigit() else None
        self._tag = response.headers.get("etag")
        size = self._file.seek(0, 2)
        for piece in response.iter_raw(PIECE):
            size += len(piece)
            if size > self._settings.most_package_megabytes * MB:
                raise RemoteError(
                    f"the package is larger than {self._settings.most_package_megabytes} MB: "
                    "raise most_package_megabytes if that is right"
                )
            self._file.write(piece)
        if self._total is not None and size != self._total:
            return TransientError(f"the package broke off after {size:,} of {self._total:,} bytes")
        return None

    def _start_again(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._tag = self._total = None


def require_safe(link: str, settings: FinopsSettings) -> str:
    """The link, if its scheme and host are allowed; RemoteError, which does not show it, if not."""
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").lower()
        _ = parts.port
    except ValueError:
        raise RemoteError("the link to the package cannot be read") from None
    if parts.scheme != "https" and not (settings.allow_http and parts.scheme == "http"):
        raise RemoteError(
            f"the link to the package begins with {parts.scheme[:20] or 'nothing'}: only https is followed"
        )
    if parts.username is not None or parts.password is not None or not _allowed(host, settings.package_hosts):
        raise RemoteError(
            f"the link to the package leads to {host[:80] or 'no host'}, which is none of package_hosts: "
            "it is not followed"
        )
    return link


def _allowed(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host == each or (each.startswith(".") and host.endswith(each)) for each in map(str.lower, hosts))
