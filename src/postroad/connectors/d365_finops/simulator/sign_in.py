"""The token endpoints of the directory, versions 1 and 2, and the tokens they gave out (fact sheet 1)."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.sdk.simulator import Answer, Request, json_answer

PATH = re.compile(r"/([^/]+)/oauth2/(v2\.0/)?token")


class SignInError(Exception):
    """A sign-in is refused with this code of the directory."""

    def __init__(self, number: int, error: str, message: str, status: int = 400) -> None:
        self.number, self.error, self.status = number, error, status
        super().__init__(f"AADSTS{number}: {message}")

    def answer(self, now: float) -> Answer:
        """The answer: OAuth's error, with what the directory adds."""
        at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        description = f"{self} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
        body = {"error": self.error, "error_description": description, "error_codes": [self.number], "timestamp": at}
        return json_answer(body | {"trace_id": trace, "correlation_id": correlation}, self.status)


@dataclass(frozen=True)
class Grant:
    """What a token is good for, and until when."""

    audience: str
    client: str
    until: float


class Directory:
    """The tenant's clients and the tokens in force; thread safe."""

    def __init__(self, tenant: str, clients: dict[str, str]) -> None:
        self.tenant = tenant
        self._clients = {client.lower(): secret for client, secret in clients.items()}
        self._lock = threading.Lock()
        self._grants: dict[str, Grant] = {}

    def set_client(self, client_id: str, secret: str | None) -> None:
        """Add a client or give it another secret; without a secret it is removed."""
        with self._lock:
            if secret is None:
                self._clients.pop(client_id.lower(), None)
            else:
                self._clients[client_id.lower()] = secret

    def revoke(self) -> int:
        """Let no token be good any more; how many were."""
        with self._lock:
            count = len(self._grants)
            self._grants.clear()
            return count

    def answer(self, request: Request, audiences: Collection[str], now: float, switches: Switches) -> Answer:
        """The answer to a sign-in. `audiences` are the environment's own addresses."""
        found = PATH.fullmatch(request.path)
        assert found is not None
        form = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        try:
            audience = self._checked(found[1], form, second=bool(found[2]), audiences=audiences, switches=switches)
        except SignInError as refused:
            return refused.answer(now)
        token = self._token(audience, form["client_id"], now, now + switches.token_seconds)
        return json_answer(_reply(token, audience, now, switches.token_seconds, second=bool(found[2])))

    def authorise(self, header: str | None, audiences: Collection[str], now: float, switches: Switches) -> None:
        """Check the `Authorization` header of a call; RefusedError with 401 for what is not good."""
        kind, _, token = (header or "").partition(" ")
        with self._lock:
            self._grants = {text: grant for text, grant in self._grants.items() if grant.until > now}
            grant = self._grants.get(token) if kind.lower() == "bearer" else None
            known = grant is not None and grant.client.lower() in self._clients
        if grant is None or not known or grant.audience not in audiences or not switches.registered:
            raise RefusedError("Unauthorized", 401, None, {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    def _checked(
        self, tenant: str, form: dict[str, str], second: bool, audiences: Collection[str], switches: Switches
    ) -> str:
        """The audience of the token that is asked for."""
        if tenant.lower() != self.tenant.lower():
            raise SignInError(90002, "invalid_request", f"Tenant '{tenant}' not found.")
        wanted = "scope" if second else "resource"
        for name in ("grant_type", "client_id", "client_secret", wanted):
            if not form.get(name):
                reason = f"The request body must contain the following parameter: '{name}'."
                raise SignInError(900144, "invalid_request", reason)
        if form["grant_type"] != "client_credentials":
            raise SignInError(70003, "unsupported_grant_type", "The app requested an unsupported grant type.")
        with self._lock:
            secret = self._clients.get(form["client_id"].lower())
        if secret is None:
            reason = f"Application with identifier '{form['client_id']}' was not found in the directory '{tenant}'."
            raise SignInError(700016, "unauthorized_client", reason)
        if not secrets.compare_digest(form["client_secret"].encode(), secret.encode()):
            raise SignInError(7000215, "invalid_client", "Invalid client secret provided.", 401)
        return _audience(form[wanted], second, audiences, switches)

    def _token(self, audience: str, client: str, now: float, until: float) -> str:
        """A token in the form of a JWT, so that clients which look inside find what they expect; nobody signed it."""
        claims: dict[str, Any] = {
            "aud": audience,
            "tid": self.tenant,
            "oid": str(uuid.uuid5(uuid.NAMESPACE_DNS, client)),
        }
        claims |= {"appid": client, "iat": int(now), "nbf": int(now), "exp": int(until), "jti": secrets.token_hex(8)}
        token = ".".join([_packed({"alg": "none", "typ": "JWT"}), _packed(claims), secrets.token_urlsafe(32)])
        with self._lock:
            self._grants[token] = Grant(audience, client, until)
        return token


def _audience(asked: str, second: bool, audiences: Collection[str], switches: Switches) -> str:
    if second and not asked.endswith("/.default"):
        raise SignInError(1002012, "invalid_scope", f"The provided value for scope {asked} is not valid.")
    audience = asked.removesuffix("/.default") if second else asked
    if audience in audiences:
        return audience
    near = audience.rstrip("/").lower() in audiences
    if near and switches.bad_audience == "call":
        return audience
    if near:
        raise SignInError(65001, "invalid_grant", "The user or administrator has not consented to use the application.")
    raise SignInError(500011, "invalid_resource", f"The resource principal named {audience} was not found.")


def _reply(token: str, audience: str, now: float, seconds: float, second: bool) -> dict[str, Any]:
    if second:
        whole = int(seconds)
        return {"token_type": "Bearer", "expires_in": whole, "ext_expires_in": whole, "access_token": token}
    texts = {"expires_in": str(int(seconds)), "ext_expires_in": str(int(seconds)), "resource": audience}
    times = {"expires_on": str(int(now + seconds)), "not_before": str(int(now))}
    return {"token_type": "Bearer", **texts, **times, "access_token": token}


def _packed(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
