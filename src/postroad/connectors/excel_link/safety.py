"""Which links may be asked for at all: one that goes over http shows itself to everybody on its way."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def objection(link: str, *, allow_http: bool) -> str | None:
    """Why a link is not asked for; None if it may be. The sentence never shows the link."""
    if not link.casefold().startswith(("https://", "http://")):
        return "does not begin with https:// or http://; for a file set `file` instead"
    try:
        host = urlsplit(link).hostname or ""
    except ValueError:
        host = ""
    if not host:
        return "names no host: copy it again"
    if link.casefold().startswith("https://") or allow_http or is_local(host):
        return None
    return "begins with http://, so that everybody on the way could read it: use https://, or set allow_http"


def is_local(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host.casefold() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
