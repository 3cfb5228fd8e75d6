"""The writing half of the connector: each package is one request, and its answer is read record by record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from urllib.parse import quote, urlsplit

import pyarrow as pa

from postroad.connectors.http.answers import decoded, has_results, one_line, outcomes, sentence
from postroad.connectors.http.packages import Batch, packages
from postroad.connectors.http.paths import at_path, steps
from postroad.connectors.http.settings import TARGET, Answers, CloudEvents, HttpSettings, Probe
from postroad.connectors.http.signing import credentials, signed, signing_key
from postroad.errors import (
    AuthError,
    BatchRefusedError,
    ConfigError,
    OutcomeUnknownError,
    PostroadError,
    RemoteError,
    TransientError,
)
from postroad.records import Check, Entity, Facts, Outcome, Package
from postroad.sdk.connector import Tools
from postroad.sdk.http import Answer, Credentials, HttpClient, Limits, retry_after
from postroad.sdk.reach import address_of, connect, resolve

MB = 1024 * 1024
PATIENCE = 10.0  # seconds that a worker sleeps over a request; for longer ones its subscription waits
TRIES = 3
SAFE = "!#$&'()*+,/:;<=>?@[\\]^`{|}~"  # of a CloudEvent's attribute in a header; what is not is percent-encoded
LEFT = (401, 403, 408, 425, 429)  # what these say is the same everywhere
TAKEN = frozenset(range(400, 500)).difference(LEFT)


class HttpDestination:
    """One API."""

    def __init__(self, settings: HttpSettings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        self.ordered = settings.versions == "ignored"
        self.once = not settings.idempotent

    def check(self) -> Iterator[Check]:
        """See `Destination.check`."""
        host, port = address_of(self._settings.url)
        steps_of: list[tuple[str, Callable[[], str]]] = [
            ("resolve the host", partial(resolve, host)),
            ("connect", partial(connect, host, port)),
        ]
        if self._settings.sign:
            steps_of.append(("read the signing secrets", self._secrets))
        if self._settings.probe is not None:
            steps_of.append((f"ask {self._settings.probe.path}", partial(self._asked, self._settings.probe)))
        for step, action in steps_of:
            try:
                yield Check(step, ok=True, sentence=action())
            except (PostroadError, OSError) as error:
                yield Check(step, ok=False, sentence=str(error))
                return

    def discover(self) -> Iterator[Entity]:
        """The targets that the probe lists, by name only; none where it lists none."""
        probe = self._settings.probe
        if probe is None or probe.targets is None:
            return
        found = at_path(decoded(self._client.get(path=probe.path).body), steps(probe.targets))
        if not isinstance(found, list):
            raise RemoteError(f"the answer of {probe.path} has no list at {probe.targets}")
        for name in found:
            yield Entity(str(name), (), pa.schema([]))

    def render(self, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """See `Destination.render`."""
        return packages(self._settings, target, records)

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """Send one package and read what its answer says of each record."""
        batch: Batch = package.body
        return self._read(self._sent(target.name, batch, package.facts), batch, package.records)

    def close(self) -> None:
        """See `Destination.close`; what is used after it connects anew."""
        for name in ("_client", "_directory"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.close()

    def _sent(self, target: str, batch: Batch, facts: Facts | None) -> Answer:
        settings = self._settings
        place, identity = settings.place(target), batch.identity(target, facts.identifier if facts is not None else "")
        path = (place.path or "").replace(TARGET, quote(target, safe=""))
        return self._client.send(
            place.method or settings.method,
            path,
            batch.body,
            self._headers(batch.content_type, target, identity, facts),
            fresh=lambda: signed(settings, identity, batch.body, self._tools.clock()),
            takes=TAKEN,
            once=not settings.idempotent,
        )

    def _headers(self, content_type: str, target: str, identity: str, facts: Facts | None) -> Mapping[str, str]:
        settings = self._settings
        headers = {"content-type": content_type, "accept": "application/json"}
        if not settings.idempotent:
            # A server may close an idle connection just when we use it again: that would look like a lost answer.
            headers["connection"] = "close"
        if settings.idempotency_key is not None:
            headers[settings.idempotency_key] = f'"{identity}"' if settings.quoted_key else identity
        if settings.cloudevents is not None:
            event = _context(settings.cloudevents, target, identity, facts)
            headers |= {f"ce-{name}": quote(value, safe=SAFE) for name, value in event.items()}
        return headers

    def _read(self, answer: Answer, batch: Batch, records: int) -> Sequence[Outcome]:
        """The outcomes, or the exception that the status means."""
        wanted = self._settings.answer
        if answer.status < 300 and answer.headers.get("content-type", "").startswith("text/html"):
            raise self._unusable("the answer is a web page, as of a portal or a login: check the url and the way there")
        if answer.status < 300:
            return [Outcome(range(records))] if wanted is None else self._outcomes(wanted, answer, batch)
        try:
            value = decoded(answer.body)
        except RemoteError:
            value = None
        if wanted is not None and answer.status in (400, 409, 422) and has_results(wanted, value):
            return self._outcomes(wanted, answer, batch)
        raise self._refusal(answer, sentence(value))

    def _outcomes(self, wanted: Answers, answer: Answer, batch: Batch) -> Sequence[Outcome]:
        """What follows from results that cannot be used depends on whether the same may be sent again."""
        try:
            return outcomes(wanted, decoded(answer.body), batch.keys, idempotent=self._settings.idempotent)
        except (ConfigError, RemoteError) as error:
            if self._settings.idempotent:
                raise
            raise OutcomeUnknownError(str(error)) from None

    def _unusable(self, sentence: str) -> PostroadError:
        return ConfigError(sentence) if self._settings.idempotent else OutcomeUnknownError(sentence)

    def _refusal(self, answer: Answer, said: str) -> PostroadError:
        status = answer.status
        told = f"the receiver answered {status}{': ' + said if said else ''}"
        if status == 409 and self._settings.conflict == "retry" and self._settings.idempotency_key is not None:
            return TransientError(f"{told}; the same is still being worked on")
        if status in (400, 409, 413, 422):
            return BatchRefusedError(told)
        return ConfigError(f"{told}; check url, path, method and body of the connection")

    def _secrets(self) -> str:
        for each in self._settings.sign:
            signing_key(each.reveal())
        return f"{len(self._settings.sign)} of them can sign"

    def _asked(self, probe: Probe) -> str:
        answer = self._client.get(path=probe.path)
        return f"it answers {answer.status} with {len(answer.body):,} bytes"

    @cached_property
    def _client(self) -> HttpClient:
        return HttpClient(
            self._settings.url.rstrip("/"),
            lambda: credentials(self._settings, self._directory),
            self._limits(self._settings.url),
            classify=self._classified,
            tools=self._tools,
        )

    @cached_property
    def _directory(self) -> HttpClient | None:
        oauth = self._settings.oauth
        if oauth is None:
            return None
        limits = self._limits(oauth.url)
        return HttpClient(oauth.url, lambda: Credentials({}, ()), limits, classify=_sign_in_error, tools=self._tools)

    def _limits(self, url: str) -> Limits:
        return Limits(
            budget=f"http {address_of(url)[0]}",
            calls=self._settings.burst,
            per=5.0,
            timeout=self._settings.timeout,
            tries=TRIES,
            longest_sleep=PATIENCE,
            longest_backoff=PATIENCE,
            longest_answer=self._settings.timeout,
            most_bytes=16 * MB,
            too_large="an answer to a batch is small: ask who keeps the receiver",
        )

    def _classified(self, status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
        """What may have been applied before the answer broke off is held where the same twice does harm."""
        said = Answer(status, headers, body)
        if status == 501:
            return ConfigError("the receiver answered 501: it does not know this method; see path and method")
        if status >= 500 and not self._settings.idempotent and not (status == 503 and retry_after(said) is not None):
            return OutcomeUnknownError(f"the receiver answered {status}: nobody knows what it took")
        if 300 <= status < 400 and status != 304:
            host = one_line(urlsplit(headers.get("location", "")).hostname or "another path of the same host")
            return ConfigError(f"the receiver redirects to {host}, and nothing was sent there: set the right url")
        return None


def _context(wanted: CloudEvents, target: str, identity: str, facts: Facts | None) -> Mapping[str, str]:
    """The attributes of a CloudEvent, as texts; those of its message where there is one."""
    source = wanted.source or f"postroad://{facts.origin if facts is not None else ''}"
    event = {"specversion": "1.0", "id": identity, "type": wanted.type, "source": source, "target": target}
    if facts is not None:
        last = str(facts.batch == facts.batches).lower()
        event |= {"subject": facts.dataset, "time": facts.dispatched_at.isoformat()}
        event |= {"batch": str(facts.batch), "batches": str(facts.batches), "lastbatch": last}
    return event


def _sign_in_error(status: int, _headers: Mapping[str, str], _body: bytes) -> Exception | None:
    if 300 <= status < 500 and status != 429:
        return AuthError(f"the token endpoint answered {status}: check url, client_id and client_secret of oauth")
    return None
