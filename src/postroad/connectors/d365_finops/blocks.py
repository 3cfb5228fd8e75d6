"""A file of a package cut into blocks of whole rows, each small enough to be one payload.

A block is the text of its rows in UTF-8, whatever the file was in; what a reader must know (captions, delimiter) goes
into the payload's meta, so that each block can be parsed alone. The same file gives the same blocks again.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from postroad.connectors.d365_finops.faults import FileError
from postroad.errors import RemoteError
from postroad.sdk.blocks import Cutter

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
MOST_HEADER = 1 << 20


@dataclass(frozen=True)
class Block:
    """The captions of a file, and some of its rows."""

    captions: tuple[str, ...]
    text: bytes


def blocks(pieces: Iterator[bytes], encoding: str, delimiter: str, qualifier: str, size: int) -> Iterator[Block]:
    """The blocks of a file, none for one without rows; FileError for one that cannot be cut."""
    texts = map(_packed, _decoded(pieces, encoding))
    rest, captions = _header(texts, delimiter, qualifier)
    cutter = Cutter(quote=qualifier.encode())
    try:
        for block in cutter.blocks(chain([rest], texts), size, "a file of the package"):
            if block.body.strip(b"\r\n"):
                yield Block(captions, block.body)
    except FileError:
        raise
    except RemoteError as error:
        raise FileError(f"{error} Check the source format's row delimiter") from None


def rows_in(pieces: Iterator[bytes], encoding: str, qualifier: str) -> int | None:
    """How many rows a file has behind its header, where qualifiers come in pairs; None for one that is no such text.

    A stray qualifier hides rows, and a blank line counts as one.
    """
    count, odd, last = -1, 0, "\n"
    try:
        for text in _decoded(pieces, encoding):
            outside = text.split(qualifier)
            count += sum(part.count("\n") for part in outside[odd::2])
            odd = (odd + len(outside) - 1) % 2
            last = text[-1:] or last
    except FileError:
        for _ in pieces:  # whoever counts also proves that the file can be read to its end
            pass
        return None
    return max(0, count + (last != "\n"))


def _decoded(pieces: Iterator[bytes], encoding: str) -> Iterator[str]:
    first = next(pieces, b"")
    mark, found = next(((mark, name) for mark, name in MARKS if first.startswith(mark)), (b"", encoding))
    # Bytes that are no text go through as they are: the row that holds them is refused, not the file.
    errors = "surrogatepass" if "utf-16" in found or "utf-32" in found else "surrogateescape"
    decoder = codecs.getincrementaldecoder(found)(errors)
    try:
        yield decoder.decode(first[len(mark) :])
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise FileError(
            f"a file of the package is not in {found}: set encoding to what the source format has"
        ) from None


def _packed(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _header(texts: Iterator[bytes], delimiter: str, qualifier: str) -> tuple[bytes, tuple[str, ...]]:
    """The text behind the first line, and that line's captions."""
    waiting = b""
    for text in texts:
        waiting += text
        if b"\n" in waiting:
            break
        if len(waiting) > MOST_HEADER:
            raise FileError("a file of the package has no header line: set the source format's option for it")
    line, _, rest = waiting.partition(b"\n")
    header = line.decode("utf-8", "surrogateescape").rstrip("\r")
    read = next(csv.reader(io.StringIO(header), delimiter=delimiter, quotechar=qualifier), [])
    captions = tuple(caption.strip().upper() for caption in read)
    if len(set(captions)) != len(captions):
        raise FileError("a file of the package names a column twice: check the mapping of its project")
    return rest, captions
