"""What Xledger's errors mean (fact sheet 1.2): its codes and messages as our exceptions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from postroad.connectors.xledger.halves import decoded
from postroad.errors import AuthError, RemoteError, ThrottledError, TransientError
from postroad.sdk.http import http_date

BURST_PAUSE = 5.0
CREDITS_PAUSE = 20 * 60.0
CREDITS_LONGEST = 32 * 24 * 3600.0
CONCURRENCY_PAUSE = 1.0
MAX_MESSAGE = 200

_CURSOR = re.compile(r"cursor|syncversion", re.IGNORECASE)
_EXPIRED = re.compile(
    r"expire|too old|no longer|older than|unknown|invalid|not found|not valid|retention", re.IGNORECASE
)
# The official text quotes with back-ticks, GraphQL libraries with either kind of quote (fact sheet 1.2).
_UNKNOWN = re.compile(
    r"(?:Cannot query field|Unknown argument) [`'\"](\w+)[`'\"]"
    r"|Field [`'\"](\w+)[`'\"] .*?must (?:not )?have a selection"
)
_TOKEN = re.compile(
    r"api.?token|authori[sz]ation|unauthenticated|not authenticated|invalid token|unknown token", re.IGNORECASE
)


class UnusableError(RemoteError):
    """An answer to this document that cannot be used; a smaller document may do better."""


class QueryError(UnusableError):
    """Xledger refused a document. `aliases` are the root fields that it names, `expired` says a cursor is too old."""

    def __init__(self, message: str, *, aliases: frozenset[str] = frozenset(), expired: bool = False) -> None:
        self.aliases = aliases
        self.expired = expired
        super().__init__(message)


class UnknownFieldError(QueryError):
    """The schema has no such fields or arguments, or not in this shape; `names` are those that the error names."""

    def __init__(self, message: str, names: frozenset[str], aliases: frozenset[str] = frozenset()) -> None:
        self.names = names
        super().__init__(message, aliases=aliases)


class NoCurrentError(QueryError):
    """This schema has no `_current` on its changes; rows must be looked up by id."""


class LostError(QueryError):
    """The schema lacks what some entities cannot do without; `aliases` are their names."""


class QueryTimeoutError(TransientError):
    """Xledger's own time limit for a query; a smaller document may do better."""


class GarbledError(TransientError):
    """The answer is no JSON: a maintenance page, a proxy or a broken transfer."""


class Fault(msgspec.Struct):
    """One entry of `errors`. `code` stands beside `message`, or in `extensions` (fact sheet 1.2)."""

    message: str = ""
    code: Any = None
    extensions: Any = None
    path: Any = None

    @property
    def codes(self) -> str:
        """Both codes as one text."""
        return f"{self.code or ''} {self.extension('code') or ''}"

    def extension(self, name: str) -> Any:
        """A value of `extensions`, if there is such a thing."""
        return self.extensions.get(name) if isinstance(self.extensions, dict) else None


class Outline(Protocol):
    """What tells a good answer from a bad one."""

    errors: list[Fault] | None

    @property
    def empty(self) -> bool:
        """Whether `data` is null or absent."""
        ...


class _Errors(msgspec.Struct):
    errors: list[Fault] | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def empty(self) -> bool:
        return bytes(self.data) == b"null"


_DECODER = msgspec.json.Decoder(_Errors)


def outline(body: bytes) -> Outline:
    """The outline of an answer whose data may have any shape."""
    return decoded(_DECODER, body)


def classifier(
    zone: str, clock: Callable[[], float], look: Callable[[bytes], Outline] = outline, token: str = ""
) -> Callable[[int, Mapping[str, str], bytes], Exception | None]:
    """The hook for the SDK's client. `errors` beside `data` are a total failure, as all known clients take them.

    `token` says where the API token is looked up, never what it is.
    """

    def classify(status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
        try:
            answer = look(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return GarbledError("the answer is no GraphQL: maintenance, or a wrong url") if status < 300 else None
        if answer.errors:
            date = http_date(headers.get("date", "")) or datetime.fromtimestamp(clock(), UTC)
            return _error(answer.errors, zone, date, token)
        if status < 300 and answer.empty:
            return QueryError("the answer holds neither data nor errors")
        return None

    return classify


def _error(faults: list[Fault], zone: str, now: datetime, token: str) -> Exception:
    """The gravest meaning of a list of faults: a limit or a refused token explains all the others."""
    for fault in faults:
        if limited := _limit(fault, zone, now):
            return limited
    text = f"Xledger refused the query: {shortened('; '.join(each.message or each.codes.strip() for each in faults))}"
    unknown = frozenset(found[1] or found[2] for each in faults for found in _UNKNOWN.finditer(each.message))
    if unknown:
        return NoCurrentError(text) if "_current" in unknown else UnknownFieldError(text, unknown, _aliases(faults))
    for fault in faults:
        if refused := _refusal(fault, token):
            return refused
    expired = any(_CURSOR.search(said) and _EXPIRED.search(said) for said in map(_said, faults))
    return QueryError(text, aliases=_aliases(faults), expired=expired)


def _limit(fault: Fault, zone: str, now: datetime) -> ThrottledError | None:
    said = _said(fault)
    if "BURST_RATE_LIMIT" in said or "Too many requests in the last" in said:
        return ThrottledError("Xledger allows 20 calls in 5 seconds and those are used up", BURST_PAUSE)
    if "INSUFFICIENT_CREDITS" in said or "Insufficient credits" in said:
        return ThrottledError(
            "the credits of this Xledger token are used up", _until(fault.extension("resetAt"), zone, now)
        )
    if "CONCURRENCY_LIMIT" in said:
        return ThrottledError("too many calls to Xledger at the same time", CONCURRENCY_PAUSE)
    return None


def _refusal(fault: Fault, token: str) -> RemoteError | None:
    said = _said(fault)
    if "query timed out" in said:
        return QueryTimeoutError("Xledger says that the query timed out: set a smaller page_size if this stays")
    if _TOKEN.search(said) and not _CURSOR.search(said):
        return AuthError(
            "Xledger refuses the API token: it has expired, or a refresh of the demo deleted it. Make a new one "
            f"(Administration > System Access > GraphQL > API tokens) and put it {_place(token)}; then run again"
        )
    return None


def _place(token: str) -> str:
    return f"where {token} is looked up" if token else "into the setting 'token' of the connection"


def _said(fault: Fault) -> str:
    return f"{fault.codes} {fault.message}"


def _aliases(faults: list[Fault]) -> frozenset[str]:
    """The root fields at fault; empty unless every fault names its own."""
    paths = [fault.path for fault in faults]
    if all(isinstance(path, list) and path and isinstance(path[0], str) for path in paths):
        return frozenset(path[0] for path in paths)
    return frozenset()


def _until(reset: Any, zone: str, now: datetime) -> float:
    """Seconds until `resetAt`; its form is not known, so anything that makes no sense means twenty minutes."""
    moment = _moment(reset, zone)
    wait = (moment - now).total_seconds() if moment else 0.0
    return math.ceil(wait) + 1.0 if 0 < wait < CREDITS_LONGEST else CREDITS_PAUSE


def _moment(value: Any, zone: str) -> datetime | None:
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))


def shortened(text: str) -> str:
    """A message without control characters, cut to a length that a table can show."""
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_MESSAGE else plain[: MAX_MESSAGE - 1] + "…"
