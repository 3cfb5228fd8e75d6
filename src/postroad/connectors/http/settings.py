"""The settings of a connection to an in-house HTTP API."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from postroad.connectors.http.paths import steps
from postroad.sdk.secrets import Secret

TARGET = "{target}"
HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"  # a token of RFC 9110
MB = 1024 * 1024


def _path(value: str) -> str:
    """A path of ours stays on the host: no scheme, no other authority, no way up."""
    if not re.fullmatch(r"/(?!/)[^\s#\\]*", value) or ".." in value.partition("?")[0].split("/"):
        raise ValueError("a path begins with one / and has no .., space, # or backslash")
    return value


def _json_path(value: str) -> str:
    steps(value)
    return value


def _word(value: object) -> object:
    """YAML reads `true` and `201` as what they are; in an answer they are compared as texts."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


Path = Annotated[str, AfterValidator(_path)]
JsonPath = Annotated[str, AfterValidator(_json_path)]
Word = Annotated[str, BeforeValidator(_word)]
Words = tuple[Word, ...]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ApiKey(_Model):
    """A key that is sent in a header of its own."""

    header: str = Field(default="X-Api-Key", pattern=HEADER, description="The header's name.")
    key: Secret = Field(description="The key, such as secret://CRM_KEY.")


class OAuth(_Model):
    """Sign-in by OAuth 2 client credentials."""

    url: str = Field(pattern=r"^https?://[^/]+", description="The token endpoint.")
    client_id: str = Field(min_length=1, description="Who signs in.")
    client_secret: Secret = Field(description="Its secret, such as secret://CRM_SECRET.")
    scope: str = Field(default="", description="The scope that is asked for, if any.")


class CloudEvents(_Model):
    """Each request is a CloudEvent in binary mode: its context stands in headers, its data is the body."""

    source: str | None = Field(
        default=None, min_length=1, description="Who sends, as a URI reference; postroad://PROJECT unless said."
    )
    type: str = Field(default="org.postroad.records.v1", min_length=1, description="What the event is.")


class Answers(_Model):
    """Where the answer says what became of each record."""

    results: JsonPath = Field(default="$", description="The list of results: data.items; $ is the whole answer.")
    id: JsonPath | tuple[JsonPath, ...] | None = Field(
        default=None,
        description="Where a result names its record: one path for each field of the key, in its order. Without it the "
        "results stand in the order of the records.",
    )
    status: JsonPath | None = Field(
        default=None, description="Where a result says how it went. Without it the results name what is refused."
    )
    accepted: Words = Field(default=(), description="Words of the status: the receiver holds the record.")
    unchanged: Words = Field(default=(), description="It held this version, or a newer one, already.")
    rejected: Words = Field(default=(), description="It refuses the record.")
    retry: Words = Field(default=(), description="It wants the record again, later.")
    message: JsonPath | None = Field(default=None, description="Where a result says why.")
    unmentioned: Literal["retry", "applied"] = Field(
        default="retry", description="What is true of a record that the answer does not name."
    )

    @property
    def ids(self) -> tuple[str, ...]:
        """The paths of the key's fields."""
        return () if self.id is None else (self.id,) if isinstance(self.id, str) else self.id

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        words = [*self.accepted, *self.unchanged, *self.rejected, *self.retry]
        if len(set(words)) != len(words):
            raise ValueError("one word of the status stands twice among accepted, unchanged, rejected and retry")
        if self.status is not None and not (self.accepted or self.unchanged):
            raise ValueError("with a status, `accepted` names the words that say yes")
        if self.status is None and (words or not self.ids or self.unmentioned != "applied"):
            raise ValueError(
                "without a status the results name what is refused: give their `id`, `unmentioned: applied`, no words"
            )
        return self


class Target(_Model):
    """Where the batches of one target go."""

    path: Path | None = Field(default=None, description="Behind the url; that of the connection unless said.")
    method: Literal["POST", "PUT", "PATCH"] | None = Field(default=None, description="That of the connection.")


class Probe(_Model):
    """A GET that changes nothing: the check of a connection asks it."""

    path: Path = Field(description="Behind the url, such as /health.")
    targets: JsonPath | None = Field(default=None, description="Where its answer lists the names of its targets.")


class HttpSettings(_Model):
    """Where the API is, how we sign in and sign, what a batch looks like, and how its answer is read."""

    url: str = Field(
        pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$", description="The API, such as https://crm.acme.example/v1."
    )
    path: Path = Field(default=f"/{TARGET}", description="Where batches go, behind the url; {target} is the target.")
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="How they are sent.")
    targets: dict[str, Target] = Field(default_factory=dict, description="Targets with another path or method.")
    probe: Probe | None = Field(default=None, description="What `postroad check --connect` asks.")

    token: Secret | None = Field(default=None, description="A bearer token, such as secret://CRM_TOKEN.")
    api_key: ApiKey | None = Field(default=None, description="A key in a header.")
    oauth: OAuth | None = Field(default=None, description="Client credentials.")
    sign: tuple[Secret, ...] = Field(
        default=(),
        max_length=2,
        description="Secrets that sign each request (Standard Webhooks), whsec_…; two while one replaces the other.",
    )
    cloudevents: CloudEvents | None = Field(default=None, description="Send the context of a CloudEvent as headers.")
    idempotency_key: str | None = Field(
        default="Idempotency-Key", pattern=HEADER, description="The header of the idempotency key; null sends none."
    )
    quoted_key: bool = Field(default=True, description="The key in quotes, as the IETF's draft has it.")
    conflict: Literal["retry", "refused"] = Field(
        default="retry", description="What 409 says: the same is still being worked on, or a record is in the way."
    )

    versions: Literal["compared", "ignored"] = Field(
        description="compared: the receiver leaves what has a newer _version alone, deleted records too. ignored: it "
        "takes what comes, so batches are sent in order, one at a time."
    )
    idempotent: bool = Field(
        default=True, description="The same batch twice does no harm. false: one whose answer was lost is held."
    )

    body: Literal["object", "list", "lines"] = Field(
        default="object", description="The records in an object, as a list, or one a line."
    )
    records: str = Field(default="records", min_length=1, description="Their name in the object.")
    decimals: Literal["texts", "numbers"] = Field(default="texts", description="How decimals are written.")
    integers: Literal["numbers", "texts"] = Field(
        default="numbers", description="How integers of 64 bits are written; many readers know 53."
    )
    most_records: int = Field(default=1000, ge=1, le=5000, description="Of one batch.")
    most_bytes: int = Field(default=MB, ge=1000, le=64 * MB, description="Of one batch of several records.")

    answer: Answers | None = Field(
        default=None, description="Where the answer has results. Without it, 2xx says that all records were taken."
    )

    timeout: float = Field(default=60.0, gt=0, description="Seconds to wait for an answer.")
    burst: int = Field(default=500, ge=1, description="Calls that we allow ourselves in 5 seconds.")
    allow_http: bool = Field(default=False, description="Speak http to another machine, secrets and records included.")

    def place(self, target: str) -> Target:
        """Method and path of a target, both set."""
        own = self.targets.get(target, Target())
        return Target(path=own.path or self.path, method=own.method or self.method)

    @model_validator(mode="after")
    def _one_sign_in(self) -> Self:
        if sum(each is not None for each in (self.token, self.api_key, self.oauth)) > 1:
            raise ValueError("one way to sign in: token, api_key or oauth")
        if not self.allow_http and not _private_way(self.url, self.oauth):
            raise ValueError("http carries records and secrets in the open: use https, or say allow_http: true")
        return self


def _private_way(url: str, oauth: OAuth | None) -> bool:
    places = [url] if oauth is None else [url, oauth.url]
    return all(re.match(r"https://|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)", each) for each in places)
