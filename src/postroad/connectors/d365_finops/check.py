"""Is this connection in order?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import urlsplit

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import PostroadError
from postroad.records import Check

CONNECT_SECONDS = 10.0


def checks(api: Api, settings: FinopsSettings) -> Iterator[Check]:
    """From resolving the host to finding every export project; stops at the first that fails before those."""
    steps: list[tuple[str, Callable[[], str]]] = [
        ("resolve the host", partial(_resolve, settings.base)),
        ("connect", partial(_connect, settings.base)),
        ("sign in", partial(_sign_in, api, settings)),
        (f"find project {settings.project}", partial(_find, api, settings.project)),
    ]
    for step, action in steps:
        found = _tried(step, action)
        yield found
        if not found.ok:
            return
    for entity in settings.entities:
        name = f"{settings.project} {entity}"
        yield _tried(f"find project {name}", partial(_find, api, name), entity)


def _tried(step: str, action: Callable[[], str], entity: str = "") -> Check:
    try:
        return Check(step, ok=True, sentence=action(), entity=entity)
    except (PostroadError, OSError, UnicodeError, ValueError) as error:
        return Check(step, ok=False, sentence=str(error), entity=entity)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _resolve(url: str) -> str:
    host, port = _address(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        raise OSError(f"no address is known for {host}: check the url, or the network's name server") from None
    return f"{host} is {found[0][4][0]}"


def _connect(url: str) -> str:
    host, port = _address(url)
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return f"{host} answers on port {port}"
    except OSError as error:
        raise OSError(f"{host}:{port} does not answer ({error}): is it running, is a firewall in between?") from None


def _sign_in(api: Api, settings: FinopsSettings) -> str:
    api.sign_in()
    return f"the directory gives {settings.client_id} a token"


def _find(api: Api, name: str) -> str:
    api.project(name)
    return "it is there"
