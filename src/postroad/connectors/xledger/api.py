"""Calls to Xledger: one document out, one checked answer back."""

from __future__ import annotations

import hashlib

import httpx

from postroad.connectors.xledger.answers import Looks, Reply
from postroad.connectors.xledger.documents import PROBE, SCHEMA, Document, Reach
from postroad.connectors.xledger.faults import GarbledError, classifier
from postroad.connectors.xledger.schema import Schema
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.errors import RemoteError
from postroad.sdk.connector import Tools
from postroad.sdk.http import Answer, Credentials, HttpClient, Limits

BURST_SECONDS = 5.0


class Api:
    """The GraphQL endpoint of one connection."""

    def __init__(self, settings: XledgerSettings, tools: Tools, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._clock = tools.clock
        self._looks = Looks()
        self.reach = Reach(settings.owner_set, settings.object_status, settings.page_size)
        limits = Limits(
            # Tokens rotate, so the budget hangs on the endpoint: two tenants there share it, to be safe.
            budget=f"xledger {settings.url}",
            calls=settings.burst,
            per=BURST_SECONDS,
            calls_per_month=settings.calls_per_month,
            timeout=settings.timeout,
        )
        classify = classifier(settings.time_zone, tools.clock, self._looks.outline, settings.token.reference)
        self._client = HttpClient(
            settings.url, self._sign_in, limits, classify=classify, tools=tools, transport=transport
        )

    def ask(self, document: Document) -> Reply:
        """The answer to a document; UnusableError, ThrottledError, TransientError or AuthError instead of a bad one."""
        answer = self._post(document.body())
        return self._looks.reply(answer.body, answer.date, self._clock(), answer.mark)

    def probe(self) -> None:
        """The cheapest query there is: whether the endpoint speaks GraphQL and takes the token."""
        self._post(Document(PROBE, {}).body())

    def schema(self) -> Schema:
        """The server's schema: one call, and some megabytes."""
        return Schema(self._post(Document(SCHEMA, {}).body()).body)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _post(self, body: bytes) -> Answer:
        try:
            return self._client.post(body)
        except GarbledError as error:
            raise RemoteError(f"{error}; it stayed so after several tries") from None

    def _sign_in(self) -> Credentials:
        """Header form: fact sheet 1.1; the word is `token`, not `Bearer`."""
        token = self._settings.token.reveal()
        mark = hashlib.sha256(f"postroad {token}".encode()).hexdigest()[:12]
        return Credentials({"authorization": f"token {token}"}, (token,), mark)
