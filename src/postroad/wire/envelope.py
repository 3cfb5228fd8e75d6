"""The envelope of a message on a wire: a CloudEvents 1.0 event, whole in one JSON text.

That is the structured content mode of the CNCF documents "CloudEvents 1.0.2" and "JSON Event Format". They bind AMQP
1.0 only; over the AMQP 0-9-1 of our brokers there is no binding of theirs, and the structured mode needs none: no
header has a meaning, so nothing is lost on the way through a bridge.

What is read is hostile input: its size and its depth are looked at before its words are, and whatever is wrong is one
MessageError that quotes none of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from postroad.errors import MessageError

MEDIA_TYPE = "application/cloudevents+json"
MOST_BYTES = 1 << 20  # that are read; a claim check of 5,000 scattered rows has half of it
MOST_DEPTH = 16
LONGEST = 1_000  # characters of an attribute
SPECVERSION = "1.0"
NAME = re.compile(r"[a-z0-9]{1,20}")
INTEGERS = range(-(1 << 31), 1 << 31)  # of an attribute: greater ones travel as text
_REQUIRED = ("id", "source", "type")
_OPTIONAL = ("subject", "dataschema", "time", "datacontenttype")
_OWN = {"specversion", "data", "data_base64", *_REQUIRED, *_OPTIONAL}
# A text that never ends is passed over at once: looked for anew at each quotation mark it would take hours.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)

Attribute = str | int | bool
ABSENT = msgspec.UNSET


@dataclass(frozen=True)
class Event:
    """One message. `source` and `id` name it; `extensions` are attributes of ours, `data` any JSON.

    `subject` says what in the source it is about, `dataschema` is the URI of what `data` looks like. ABSENT data are
    somewhere else, as an extension says.
    """

    id: str
    source: str
    type: str
    data: Any
    subject: str | None = None
    time: datetime | None = None
    dataschema: str | None = None
    extensions: Mapping[str, Attribute] = field(default_factory=dict)


def encode(event: Event) -> bytes:
    """The event as it is sent, under the content type `MEDIA_TYPE`.

    ValueError for an extension that CloudEvents does not allow, which is a bug of the caller.
    """
    for name, value in event.extensions.items():
        if not NAME.fullmatch(name) or name in _OWN or not _is_attribute(value):
            raise ValueError(f"'{name}' is no extension attribute of CloudEvents")
    given = {name: getattr(event, name) for name in (*_REQUIRED, "subject", "dataschema")}
    if event.time is not None:
        given["time"] = event.time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    attributes = {name: value for name, value in given.items() if value is not None}
    whole = {"specversion": SPECVERSION, **attributes, **event.extensions, "datacontenttype": "application/json"}
    return msgspec.json.encode(whole if event.data is ABSENT else {**whole, "data": event.data})


def decode(body: bytes) -> Event:
    """The event that came; MessageError if it is none that we read."""
    found = _json(body)
    if not isinstance(found, dict):
        raise MessageError("it is no JSON object, so no event")
    if found.get("specversion") != SPECVERSION:
        raise MessageError(f"it is no event of CloudEvents {SPECVERSION}")
    if "data_base64" in found or found.get("datacontenttype", "application/json") != "application/json":
        raise MessageError("its data are not JSON")
    texts = {name: _text(found, name) for name in (*_REQUIRED, "subject", "dataschema", "time")}
    missing = [name for name in _REQUIRED if not texts[name]]
    if missing:
        raise MessageError(f"it lacks {' and '.join(missing)}")
    extensions = {name: value for name, value in found.items() if name not in _OWN}
    if not all(NAME.fullmatch(name) and _is_attribute(value) for name, value in extensions.items()):
        raise MessageError("one of its attributes has a name or a value that CloudEvents does not allow")
    time = _time(texts.pop("time"))
    named: dict[str, Any] = texts
    return Event(**named, time=time, data=found.get("data"), extensions=extensions)


def _json(body: bytes) -> Any:
    if len(body) > MOST_BYTES:
        raise MessageError(f"it has {len(body):,} bytes; the most is {MOST_BYTES:,}")
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(body):
        depth += (bracket[1] is not None) - (bracket[2] is not None)
        deepest = max(deepest, depth)
    if deepest > MOST_DEPTH:
        raise MessageError(f"its JSON is nested {deepest:,} deep; the most is {MOST_DEPTH}")
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise MessageError("it is no JSON in UTF-8") from None


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= LONGEST):
        raise MessageError(f"its {name} is no text of at most {LONGEST:,} characters")
    return value


def _time(text: str | None) -> datetime | None:
    try:
        time = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise MessageError("its time is no timestamp") from None
    if time is not None and time.tzinfo is None:
        raise MessageError("its time has no time zone")
    return time


def _is_attribute(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST
    return isinstance(value, bool) or (isinstance(value, int) and value in INTEGERS)
