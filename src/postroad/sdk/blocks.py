"""A text file cut into blocks of whole rows, each small enough to be one payload.

A row ends where a line ends outside quotes. The blocks of a file follow each other without a gap, and the same file
gives the same blocks again, so that after a kill the first ones are read past.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postroad.errors import RemoteError

BACK = 10_000  # line ends that are looked at for one that is outside quotes
PATIENCE = 1 << 20  # bytes of one row


@dataclass(frozen=True)
class Block:
    """Some rows of a file, and the number of the line that they begin on."""

    line: int
    body: bytes


@dataclass(frozen=True)
class Cutter:
    """How the rows of a file end: by which byte, and inside which quotes they do not (None: none)."""

    newline: bytes = b"\n"
    quote: bytes | None = None

    def blocks(self, pieces: Iterator[bytes], size: int, name: str) -> Iterator[Block]:
        """The blocks of a file, none for an empty one; RemoteError for one whose lines do not end."""
        line = 1
        waiting, length = [], 0
        for piece in pieces:
            waiting.append(piece)
            length += len(piece)
            if length < size:
                continue
            text = b"".join(waiting)
            while len(text) >= size and (end := self._boundary(text, size, name)):
                yield Block(line, text[:end])
                line += text.count(self.newline, 0, end)
                text = text[end:]
            waiting, length = [text], len(text)
        text = b"".join(waiting)
        if text:
            yield Block(line, text)

    def _boundary(self, text: bytes, size: int, name: str) -> int:
        """Where the last row ends that fits, else the first one that does not; 0 if more text is needed to tell.

        A stray quote may hide that: then, after some more text, any end of a line will do, and costs the rows around.
        """
        end = text.rfind(self.newline, 0, size) + 1
        odd = self._quotes(text, 0, end) % 2
        for _ in range(BACK):
            if end == 0 or not odd:
                break
            before = text.rfind(self.newline, 0, end - 1) + 1
            odd ^= self._quotes(text, before, end) % 2
            end = before
        return end if end and not odd else self._forward(text, size, name)

    def _forward(self, text: bytes, size: int, name: str) -> int:
        end, odd = 0, 0
        for _ in range(BACK):
            after = text.find(self.newline, end) + 1
            if after == 0:
                break
            odd ^= self._quotes(text, end, after) % 2
            end = after
            if not odd:
                return end
        if len(text) < 2 * size + PATIENCE:
            return 0
        last = text.rfind(self.newline, 0, size) + 1 or text.find(self.newline) + 1
        if last == 0:
            raise RemoteError(f"{name} has a line of more than {size:,} bytes that does not end: is it a text file?")
        return last

    def _quotes(self, text: bytes, start: int, end: int) -> int:
        return 0 if self.quote is None else text.count(self.quote, start, end)
