"""What an error of the driver or the server means to whoever sends.

A server's own sentences may quote the command, and so a record: of errors of the server only codes and names are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from postroad.errors import AuthError, BatchRefusedError, ConfigError, PostroadError, TransientError

MOST_TEXT = 300
DUPLICATE = 11000
NAME_SERVER = re.compile("nameservers|lifetime expired|timed out")  # of a mongodb+srv url, which is asked for first
# The codes of MongoDB's `error_codes.yml`. What is in none of these sets is tried again, and its code is told.
SIGN_IN = {11, 13, 18, 33, 391, 8000}
SETTINGS = {20, 26, 48, 59, 61, 67, 72, 73, 79, 85, 86, 93, 100, 115, 166, 13297}
# A server that stops, starts, moves or is full; what it says of one record holds for all.
OUTAGE = {
    *(6, 7, 24, 46, 50, 63, 64, 89, 91, 112, 133, 134, 150, 175, 189, 202, 225, 234, 244, 249, 262, 290, 317, 358, 365),
    *(384, 402, 9001, 10107, 11600, 11602, 13388, 13435, 13436, 14031),
}
# Of one record. Its sentence says what is wrong with it and nothing of what it holds.
REFUSALS = {
    2: "a value is not allowed there",
    9: "the server cannot read it",
    14: "a value is of the wrong type",
    15: "its fields are nested too deep",
    52: "the name of a field begins with a dollar sign",
    56: "the name of a field is empty",
    57: "the name of a field has a dot",
    66: "it would change a field that cannot be changed, such as one of the shard key",
    121: "the collection's validator refuses it",
    171: "an index cannot hold one of its fields",
    10334: "its document is larger than the 16 MiB that MongoDB takes",
    16755: "an index of places cannot hold one of its fields",
    17280: "an index cannot hold one of its fields: it is too long",
    17419: "its document is larger than the 16 MiB that MongoDB takes",
    17420: "its document is larger than the 16 MiB that MongoDB takes",
}


@contextmanager
def named_errors(where: str) -> Iterator[None]:
    """Errors of the driver become ours; `where` names the target or the database, without a password."""
    try:
        yield
    except DocumentTooLarge:
        raise BatchRefusedError(f"{where}: {REFUSALS[10334]}") from None
    except ConnectionFailure as error:  # no server, no primary, no answer in time
        raise TransientError(f"{where} did not answer: {_said(error)}") from None
    except OperationFailure as error:
        raise meant(where, error.code or 0, error.details or {}) from None
    except InvalidName:
        raise ConfigError(f"{where}: not a name that MongoDB takes") from None
    except (InvalidURI, ConfigurationError) as error:
        if NAME_SERVER.search(str(error)):
            raise TransientError(f"{where} cannot be found now: the name server does not answer") from None
        raise ConfigError(f"the url of a mongodb connection is not understood: {type(error).__name__}") from None
    except PyMongoError as error:
        raise TransientError(f"{where} did not take it: {type(error).__name__}") from None


def meant(where: str, code: int, details: Mapping[str, Any]) -> PostroadError:
    """What an answer of the server that is about no record means."""
    told = f"{details.get('codeName', 'error')} ({code})"
    if code in SIGN_IN:
        return AuthError(f"{where} refuses us: {told}; it takes the role readWrite on the database")
    if code in SETTINGS:
        return ConfigError(f"{where} cannot do that: {told}")
    return TransientError(f"{where} did not take it: {told}")


def not_durable(where: str, details: Mapping[str, Any]) -> PostroadError:
    """Written, and yet not by as many members as the write concern asks for: the same again does no harm."""
    found = meant(where, details.get("code", 0), details)
    if isinstance(found, TransientError):
        return TransientError(
            f"{where} has it, but not yet on enough members: write concern error {details.get('code')}"
        )
    return found


def of_all(error: Mapping[str, Any]) -> bool:
    """Whether what the server says of one record is none of its fault."""
    return error["code"] in SIGN_IN | SETTINGS | OUTAGE


def sentence(error: Mapping[str, Any]) -> str | None:
    """Why the server refuses one record; None if nobody can tell."""
    code = error["code"]
    if code == DUPLICATE:
        fields = ", ".join(error.get("keyPattern", ())) or "some fields"
        return f"another row has the same values in a unique index ({fields})"
    told = REFUSALS.get(code)
    if told is None:
        return None
    names = sorted(set(_failing(error.get("errInfo", {}).get("details", {}))))
    return f"{told} ({', '.join(names)})" if names else told


def _failing(details: Any) -> Iterator[str]:
    """The names of fields in a validator's explanation, which holds their values too."""
    if isinstance(details, Mapping):
        if isinstance(name := details.get("propertyName"), str):
            yield name
        yield from details.get("missingProperties", ())
        for key, value in details.items():
            if key not in {"consideredValue", "specifiedAs", "missingProperties"}:
                yield from _failing(value)
    elif isinstance(details, list):
        for each in details:
            yield from _failing(each)


def _said(error: ConnectionFailure) -> str:
    told = str(error).partition(", Timeout:")[0].partition(", full error")[0]
    return f"{type(error).__name__}: {told.partition(' (configured timeouts')[0]}"[:MOST_TEXT]
