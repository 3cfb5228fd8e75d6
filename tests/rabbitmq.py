"""RabbitMQ as tests see it: a virtual host of their own, made and looked at through the management API."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx


@dataclass
class Broker:
    """One virtual host."""

    server: str
    api: str
    vhost: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, verify=False, timeout=30))

    @property
    def url(self) -> str:
        """As postroad.yaml names it."""
        return f"{self.server}/{self.vhost}"

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """One call of the management API; what is refused fails the test."""
        answer = self.client.request(method, f"{self.api}/api/{path}", json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def queues(self) -> list[str]:
        """The names of all queues."""
        return sorted(each["name"] for each in self.call("GET", f"queues/{self.vhost}").json())


def answers(api: str) -> bool:
    """Whether somebody answers there."""
    try:
        httpx.get(api, timeout=5)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def vhost(server: str, api: str) -> Iterator[Broker]:
    """A new virtual host, deleted afterwards with its queues and connections."""
    made = Broker(server, api, f"test-{secrets.token_hex(6)}")
    made.call("PUT", f"vhosts/{made.vhost}")
    try:
        yield made
    finally:
        made.call("DELETE", f"vhosts/{made.vhost}")
        made.client.close()
