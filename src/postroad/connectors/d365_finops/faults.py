"""What an answer of Finance & Operations means: errors in several envelopes, some of them no clean JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from postroad.errors import AuthError, RemoteError, ThrottledError, TransientError

MOST = 200
CODE = re.compile(r"\bDMF\d{3,5}\b")
RECORD = re.compile(r'"ErrorMessage"\s*:')
NOT_FOUND = "were not found for execution id"
NO_PROJECT = "does not exist"
DEFAULT_PAUSE = 30.0  # fact sheet 5, where Retry-After is missing


class RefusedError(RemoteError):
    """The action threw an exception; `sentence` is what it says."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__(f"Finance & Operations refuses: {sentence[:MOST]}")


class BuildingError(ThrottledError):
    """The export has not come to its end."""


class MissingError(ThrottledError):
    """The execution is not known, or not yet."""


class FileError(RemoteError):
    """The file of one entity cannot be used; the others of its package can."""


class ExpiredLinkError(RemoteError):
    """The link to a package ended; a new one is asked for."""


class GoneError(RemoteError):
    """The package is not there any more."""


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Exception | None:
    """The exception that an answer means; None lets the HTTP status decide."""
    if 300 <= status < 400:
        return AuthError(
            "Finance & Operations redirects to its sign-in page: register the client id under System administration, "
            "Setup, Microsoft Entra ID applications"
        )
    if status == 429 and "retry-after" not in headers:
        return ThrottledError("Finance & Operations answered 429: too many requests", DEFAULT_PAUSE)
    if status in (400, 404):
        return RefusedError(sentence_of(body))
    if status == 200 and body[:64].lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<"):
        return TransientError("a web page came instead of an answer")
    return None


def sentence_of(body: bytes) -> str:
    """The sentence of an error, in whichever envelope it came (fact sheet 1)."""
    try:
        whole = json.loads(body)
    except ValueError:
        return "an answer that cannot be read"
    if not isinstance(whole, dict):
        return "an answer that cannot be read"
    error = whole.get("error")
    if isinstance(error, dict):
        inner = error.get("innererror")
        found = (inner.get("message") if isinstance(inner, dict) else None) or error.get("message")
    else:
        found = whole.get("Message") or whole.get("message")
    return found if isinstance(found, str) and found else "an error without a message"


def value_of(body: bytes) -> Any:
    """The value of an action's answer, plain or nested (fact sheet 2.1); None where there is none."""
    try:
        whole = json.loads(body)
    except ValueError:
        raise TransientError("Finance & Operations answered with JSON that cannot be read") from None
    value = whole.get("value") if isinstance(whole, dict) else None
    return value.get("value") if isinstance(value, dict) else value


def summary_of(errors: object) -> str:
    """How many errors a text of GetExecutionErrors tells, and their codes; their words may quote records."""
    text = errors if isinstance(errors, str) else json.dumps(errors)
    codes = sorted(set(CODE.findall(text)))
    count = len(RECORD.findall(text))
    told = (
        f"{count} errors" if count else "no errors that can be read" if text.strip() not in ("", "[]") else "no errors"
    )
    return f"{told}{': ' + ', '.join(codes[:8]) if codes else ''}"
