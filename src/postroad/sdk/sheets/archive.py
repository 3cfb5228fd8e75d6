"""The zip of a workbook, checked before anybody else reads it: its directory, its sizes, every member unpacked.

What is refused here no spreadsheet program writes: so a reader behind it meets neither bombs nor two readings of one
file. Nothing is ever extracted to disk.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from postroad.errors import RemoteError

MOST_MEMBERS = 10_000
MOST_RATIO = 250  # sheets of equal rows reach some 40
SMALL = 1 << 20  # a member of up to 1 MB may be packed as tightly as it likes
CHUNK = 1 << 18
LOCAL = struct.Struct("<4sHHHHHIIIHH")
END = 22  # bytes of an end-of-directory record without a comment
DAMAGED = "the workbook is damaged, was cut short, or is still being written: try again"
# Parts that change whenever the same table is exported again; `styles.xml` is that of an ods file, which nobody reads.
VOLATILE = ("docprops/", "meta.xml", "settings.xml", "styles.xml", "thumbnails/", "customxml/", "mimetype")


@dataclass(frozen=True)
class Entry:
    """One member of the zip; `start` is where its packed bytes begin."""

    name: str
    start: int
    packed: int
    size: int
    crc: int
    deflated: bool


class Archive:
    """The members of a zip that keeps the limits; RemoteError with the reason for one that does not."""

    def __init__(self, body: bytes, most_unpacked: int) -> None:
        self._body = body
        self.entries = {entry.name.casefold(): entry for entry in _entries(body, most_unpacked)}

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self.entries

    def names(self) -> list[str]:
        """The names of all members, in the order of the directory."""
        return [entry.name for entry in self.entries.values()]

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member unpacked, piece by piece; RemoteError if it is not what the directory says. KeyError: no member."""
        entry = self.entries[name.casefold()]
        size, crc = 0, 0
        for piece in self._pieces(entry):
            size += len(piece)
            crc = zlib.crc32(piece, crc)
            if size > entry.size:
                break
            yield piece
        if size != entry.size or crc != entry.crc:
            raise RemoteError(DAMAGED)

    def read(self, name: str) -> bytes:
        """A member whole."""
        return b"".join(self.chunks(name))

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        packed = memoryview(self._body)[entry.start : entry.start + entry.packed]
        if not entry.deflated:
            yield from (bytes(packed[at : at + CHUNK]) for at in range(0, len(packed), CHUNK))
            return
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        waiting: bytes | memoryview = packed
        while not unpacker.eof:
            try:
                piece = unpacker.decompress(waiting, CHUNK)
            except zlib.error:
                raise RemoteError(DAMAGED) from None
            waiting = unpacker.unconsumed_tail
            if not piece and not waiting and not unpacker.eof:
                raise RemoteError(DAMAGED)
            yield piece
        if unpacker.unused_data or waiting:
            raise RemoteError(DAMAGED)


def digest(archive: Archive) -> str:
    """The digest of what the workbook holds: neither the zip's times nor who made it when, which differ every time."""
    whole = hashlib.sha256()
    for name in sorted(archive.names()):
        if not name.casefold().startswith(VOLATILE):
            part = hashlib.sha256()
            for piece in archive.chunks(name):
                part.update(piece)
            whole.update(f"{name}\n".encode() + part.digest())
    return whole.hexdigest()


def _entries(body: bytes, most_unpacked: int) -> Sequence[Entry]:
    if body[-END : -END + 4] != b"PK\5\6":
        raise RemoteError(DAMAGED)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as file:
            listed, end = file.infolist(), file.start_dir
    except (zipfile.BadZipFile, RuntimeError, ValueError, UnicodeDecodeError, EOFError):
        raise RemoteError(DAMAGED) from None
    _check(listed, most_unpacked)
    entries = [_entry(body, info) for info in listed]
    starts = sorted(
        (info.header_offset, entry.start + entry.packed) for entry, info in zip(entries, listed, strict=True)
    )
    for (_, stop), (later, _) in pairwise([*starts, (end, end)]):
        if stop > later:
            raise RemoteError(
                "members of the workbook's zip overlap: no spreadsheet program writes that; it is refused"
            )
    return entries


def _check(listed: Sequence[zipfile.ZipInfo], most_unpacked: int) -> None:
    if len(listed) > MOST_MEMBERS:
        raise RemoteError(f"the workbook's zip has {len(listed):,} members, more than {MOST_MEMBERS:,}: it is refused")
    seen = set()
    for info in listed:
        _check_name(info.orig_filename)
        if info.orig_filename.casefold() in seen:
            raise RemoteError(
                "the workbook's zip holds a member twice: no spreadsheet program writes that; it is refused"
            )
        seen.add(info.orig_filename.casefold())
        if info.flag_bits & 0x1:
            raise RemoteError("the workbook is encrypted: save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RemoteError(
                "the workbook's zip is packed by an unusual method: save it again with a spreadsheet program"
            )
        if info.file_size > SMALL and info.file_size > MOST_RATIO * info.compress_size:
            raise RemoteError(
                f"the workbook unpacks to more than {MOST_RATIO} times its size, as a zip bomb does: it is refused"
            )
    total = sum(info.file_size for info in listed)
    if total > most_unpacked:
        raise RemoteError(
            f"the workbook unpacks to {total:,} bytes, more than {most_unpacked // (1024 * 1024)} MB: "
            "raise most_unpacked_megabytes if that is right"
        )


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in name:
        raise RemoteError(
            "a member of the workbook's zip has a name that leads outside: no spreadsheet program writes that; "
            "it is refused"
        )


def _entry(body: bytes, info: zipfile.ZipInfo) -> Entry:
    head = body[info.header_offset : info.header_offset + LOCAL.size]
    if len(head) < LOCAL.size or not head.startswith(b"PK\3\4"):
        raise RemoteError(DAMAGED)
    *_, name, extra = LOCAL.unpack(head)
    start = info.header_offset + LOCAL.size + name + extra
    if start + info.compress_size > len(body):
        raise RemoteError(DAMAGED)
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return Entry(info.orig_filename, start, info.compress_size, info.file_size, info.CRC, deflated)
