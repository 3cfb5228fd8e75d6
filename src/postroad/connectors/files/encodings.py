"""The encoding of a text file, declared or told by the file itself; what is read on is UTF-8 whatever the file is in.

Bytes that are no text go through as they are, so that the row that holds them is refused and not the file.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from postroad.connectors.files.settings import SNIFF
from postroad.errors import RemoteError

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
WIDE = ("utf-16", "utf-32")
SHOWN = 20


def encoding_of(head: bytes, declared: str, name: str) -> tuple[str, int]:
    """The encoding of a file that begins so, and the length of its mark; RemoteError if only a person can tell."""
    for mark, found in MARKS:
        if head.startswith(mark):
            return found, len(mark)
    if declared != SNIFF:
        found = codecs.lookup(declared).name
        return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(found, found), 0
    if head[1:2] == b"\0" and head[:1] != b"\0":
        return "utf-16-le", 0
    if head[:1] == b"\0" and head[1:2] not in (b"\0", b""):
        return "utf-16-be", 0
    at = _first_odd(head)
    if at is None:
        return "utf-8", 0
    line = head.count(b"\n", 0, at) + 1
    text = head[max(0, at - SHOWN) : at + SHOWN].decode("cp1252", "replace").splitlines()
    shown = next((each for each in text if not each.isascii()), "")
    raise RemoteError(f"{name} line {line} is not in utf-8: set encoding; in cp1252 it would read '{shown.strip()}'")


def _first_odd(head: bytes) -> int | None:
    """Where the head stops being UTF-8, a character that is cut at its end aside."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        return error.start
    return None


def as_utf8(pieces: Iterator[bytes], encoding: str, mark: int, name: str) -> Iterator[bytes]:
    """The same text in UTF-8, without its mark. Of one that is in UTF-8 the bytes are left as they are."""
    first = next(pieces, b"")[mark:]
    if encoding in ("utf-8", "ascii"):
        yield first
        yield from pieces
        return
    wide = encoding.startswith(WIDE)
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if wide else "surrogateescape")
    try:
        yield _packed(decoder.decode(first), wide=wide)
        for piece in pieces:
            yield _packed(decoder.decode(piece), wide=wide)
        yield _packed(decoder.decode(b"", final=True), wide=wide)
    except UnicodeDecodeError:
        raise RemoteError(f"{name} is not in {encoding}, or was cut short: set encoding, or export it again") from None


def _packed(text: str, *, wide: bool) -> bytes:
    return text.encode("utf-8", "surrogatepass" if wide else "surrogateescape")
