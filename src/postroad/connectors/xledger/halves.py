"""Half characters: an escaped UTF-16 surrogate without its other half, as a system leaves it that cuts a text short.

It is valid JSON text and no valid character. The decoder refuses the whole answer for it; one row is enough.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

MARK = b"\xff\xff"
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)")
_MARKED = re.compile(MARK + rb"(?=[dD][89a-fA-F][0-9a-fA-F]{2})")
LONE_LENGTH = len(rb"\ud83d")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode an answer, half characters or not; the second look costs time only where the first failed."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decoder.decode(marked(body))


def marked(body: bytes) -> bytes:
    """The same text with each half character as bytes that are no UTF-8, so that only its own row is refused."""
    return _ESCAPE.sub(_mark, body)


def unmarked(text: bytes) -> bytes:
    """As it was received, to show it."""
    return _MARKED.sub(rb"\\u", text)


def _mark(escape: re.Match[bytes]) -> bytes:
    found = escape.group()
    return MARK + found[2:] if len(found) == LONE_LENGTH else found
