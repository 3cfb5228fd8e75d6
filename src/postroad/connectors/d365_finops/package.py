"""The zip of a package, checked before anything is read from it: what a data export never writes is refused whole.

Nothing is ever unpacked to disk. Every file is read once to its end before its first row is handed out, so a damaged
one costs no half-landed rows.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO
from xml.etree import ElementTree as ET

from postroad.connectors.d365_finops.declaration import Declaration
from postroad.errors import RemoteError

MOST_ENTRIES = 100_000
MOST_RATIO = 200  # UTF-16 of rows that are nearly empty reaches some 30; deflate can do 1032
SMALL = 1 << 20
MOST_MANIFEST = 64 << 20
PIECE = 1 << 16  # larger ones are kept by malloc, three times over
MB = 1024 * 1024
SPACE = "{http://schemas.microsoft.com/dynamics/2015/01/DataManagement}"
Count = Callable[[Iterator[bytes]], int | None]
"""Reads a file to its end, and tells how many rows it has, if that can be told."""
DAMAGED = "the package is damaged or was cut short"


class DamagedError(RemoteError):
    """The zip cannot be read to its end: fetching it again may help."""


class Package:
    """The files of a package that keeps the limits; RemoteError with the reason for one that does not."""

    def __init__(self, file: IO[bytes], most_unpacked: int) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError):
            raise DamagedError(DAMAGED) from None
        _check(self._zip.infolist(), most_unpacked)
        self._infos = {info.filename: info for info in self._zip.infolist()}
        self.rows: Mapping[str, int | None] = {}
        self._told = {path.casefold(): label for path, label in self._manifest().items()}

    def file(self, declaration: Declaration) -> str | None:
        """The name of an entity's file; an entity without rows may have none (fact sheet 2.4)."""
        labels = {declaration.label.casefold(), declaration.file_stem.casefold()}
        for name in self._infos:
            label = self._told.get(name.casefold(), name.rpartition(".")[0])
            if label.casefold() in labels and not name.casefold().endswith(".xml"):
                return name
        return None

    def sound(self, count: Count) -> None:
        """DamagedError unless all files can be read to their end and are what the directory says; counts their rows."""
        self.rows = {name: count(self.pieces(name)) for name in self._infos}

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file unpacked, piece by piece; never more than the directory says."""
        info = self._infos[name]
        size = 0
        try:
            with self._zip.open(info) as stream:
                while piece := stream.read(PIECE):
                    size += len(piece)
                    if size > info.file_size:
                        break
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):
            raise DamagedError(DAMAGED) from None
        if size != info.file_size:
            raise DamagedError(DAMAGED)

    def _manifest(self) -> Mapping[str, str]:
        """The label of each file as the manifest tells it; nothing where it is missing or broken."""
        name = next((name for name in self._infos if name.casefold() == "manifest.xml"), None)
        if name is None or self._infos[name].file_size > MOST_MANIFEST:
            return {}
        body = b"".join(self.pieces(name))
        if b"<!" in body.replace(b"\0", b""):
            raise RemoteError("the package's manifest declares entities: no export writes that; it is refused")
        try:
            root = ET.fromstring(body)  # noqa: S314  it declares nothing, as was just seen
        except ET.ParseError:
            return {}
        pairs = (
            (each.findtext(f"{SPACE}InputFilePath"), each.findtext(f"{SPACE}EntityName"))
            for each in root.iter(f"{SPACE}DataManagementPackageEntityData")
        )
        return {path: label for path, label in pairs if path and label}


def _check(listed: Sequence[zipfile.ZipInfo], most_unpacked: int) -> None:
    if len(listed) > MOST_ENTRIES:
        raise RemoteError(f"the package has {len(listed):,} entries, more than {MOST_ENTRIES:,}: it is refused")
    seen = set()
    for info in listed:
        _check_name(info.orig_filename)
        if info.orig_filename.casefold() in seen:
            raise RemoteError("the package holds an entry twice: no export writes that; it is refused")
        seen.add(info.orig_filename.casefold())
        if info.flag_bits & 0x1:
            raise RemoteError("the package has an encrypted entry: no export writes that; it is refused")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise RemoteError("the package has an entry that is a link: no export writes that; it is refused")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RemoteError("the package is packed by an unusual method: it is refused")
        if info.file_size > SMALL and info.file_size > MOST_RATIO * info.compress_size:
            raise RemoteError(
                f"an entry of the package unpacks to more than {MOST_RATIO} times its size, as a zip bomb does: "
                "it is refused"
            )
    total = sum(info.file_size for info in listed)
    if total > most_unpacked:
        raise RemoteError(
            f"the package unpacks to {total:,} bytes, more than {most_unpacked // MB:,} MB: "
            "raise most_unpacked_megabytes if that is right"
        )


def _check_name(name: str) -> None:
    """Entries stand at the root (fact sheet 3.1)."""
    if not name or "/" in name or "\\" in name or ":" in name or "\0" in name or name in (".", ".."):
        raise RemoteError(
            "an entry of the package has a name that leads elsewhere: no export writes that; it is refused"
        )
