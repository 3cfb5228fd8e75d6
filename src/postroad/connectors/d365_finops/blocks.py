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

from postroad.connectors.d365_finops.faults import FileError

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
MOST_HEADER = 1 << 20
BACK = 10_000  # line ends that are looked at for one that is outside quotes
PATIENCE = 1 << 20  # characters of one row


@dataclass(frozen=True)
class Block:
    """The captions of a file, and some of its rows."""

    captions: tuple[str, ...]
    text: bytes


def blocks(pieces: Iterator[bytes], encoding: str, delimiter: str, qualifier: str, size: int) -> Iterator[Block]:
    """The blocks of a file, none for one without rows; FileError for one that cannot be cut."""
    texts = _decoded(pieces, encoding)
    waiting, captions = _header(texts, delimiter, qualifier)
    for text in texts:
        waiting += text
        while len(waiting) >= size and (end := _boundary(waiting, size, qualifier)):
            yield Block(captions, _packed(waiting[:end]))
            waiting = waiting[end:]
    if waiting.strip("\r\n"):
        yield Block(captions, _packed(waiting))


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


def _header(texts: Iterator[str], delimiter: str, qualifier: str) -> tuple[str, tuple[str, ...]]:
    """The text behind the first line, and that line's captions."""
    waiting = ""
    for text in texts:
        waiting += text
        if "\n" in waiting:
            break
        if len(waiting) > MOST_HEADER:
            raise FileError("a file of the package has no header line: set the source format's option for it")
    line, _, rest = waiting.partition("\n")
    read = next(csv.reader(io.StringIO(line.rstrip("\r")), delimiter=delimiter, quotechar=qualifier), [])
    captions = tuple(caption.strip().upper() for caption in read)
    if len(set(captions)) != len(captions):
        raise FileError("a file of the package names a column twice: check the mapping of its project")
    return rest, captions


def _boundary(text: str, size: int, qualifier: str) -> int:
    """Where the last row ends that fits, else the first one that does not; 0 if more text is needed to tell.

    A row ends where a line ends outside quotes. A stray qualifier may hide that: then, after some more text, any end
    of a line will do, and costs the rows around it.
    """
    end = text.rfind("\n", 0, size) + 1
    odd = text.count(qualifier, 0, end) % 2
    for _ in range(BACK):
        if end == 0 or not odd:
            break
        before = text.rfind("\n", 0, end - 1) + 1
        odd ^= text.count(qualifier, before, end) % 2
        end = before
    return end if end and not odd else _forward(text, size, qualifier)


def _forward(text: str, size: int, qualifier: str) -> int:
    end, odd = 0, 0
    for _ in range(BACK):
        after = text.find("\n", end) + 1
        if after == 0:
            break
        odd ^= text.count(qualifier, end, after) % 2
        end = after
        if not odd:
            return end
    if len(text) < 2 * size + PATIENCE:
        return 0
    last = text.rfind("\n", 0, size) + 1 or text.find("\n") + 1
    if last == 0:
        raise FileError("a file of the package has a line that does not end: check the source format's row delimiter")
    return last
