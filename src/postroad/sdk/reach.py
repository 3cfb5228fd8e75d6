"""The first steps of every connection check: is there such a host, and does anybody listen?"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

CONNECT_SECONDS = 10.0


def address_of(url: str) -> tuple[str, int]:
    """Host and port of an address; ValueError if it names no host."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("the url names no host")
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def resolve(host: str) -> str:
    """A sentence with the host's first address; OSError, with what to look at, if it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        raise OSError(f"no address is known for {host}: check the url, or the network's name server") from None
    return f"{host} is {found[0][4][0]}"


def connect(host: str, port: int) -> str:
    """A sentence that somebody listens there; OSError, with what to look at, if nobody does."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return f"{host} answers on port {port}"
    except socket.gaierror:
        raise OSError(f"no address is known for {host}: check the url, or the network's name server") from None
    except OSError as error:
        raise OSError(f"{host}:{port} does not answer ({error}): is it running, is a firewall in between?") from None
