"""Where files lie: a local folder, or a prefix in a container of Azure Blob Storage. Nothing is ever written there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from postroad.connectors.files.patterns import unfinished
from postroad.connectors.files.settings import AZURE, FilesSettings
from postroad.errors import RemoteError, TransientError

PIECE = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file as it was listed: its name below the folder, and the tag that another content would change."""

    name: str
    size: int
    modified: int  # nanoseconds since 1970, by the clock of whoever keeps it
    tag: str

    @property
    def order(self) -> tuple[int, str]:
        """Files are read in the order of their times, those of one time by name."""
        return self.modified, self.name


class Place(Protocol):
    """A folder or prefix."""

    def listed(self, *, deep: bool) -> Iterator[Found]:
        """The files; `deep` those of folders below too. RemoteError if the place is not there."""
        ...

    def pieces(self, file: Found) -> Iterator[bytes]:
        """The content, piece by piece; ChangedError if it is not, or no longer, what was listed."""
        ...

    def opened(self, file: Found) -> BinaryIO:
        """The content to read anywhere in it; the caller closes it."""
        ...

    def require_same(self, file: Found) -> None:
        """ChangedError if the file is no longer what was listed."""
        ...


def place_of(settings: FilesSettings) -> Place:
    """The place that the settings name."""
    if settings.folder.startswith(AZURE):
        from postroad.connectors.files.blobs import Blobs

        return Blobs(settings)
    return Folder(Path(settings.folder))


class ChangedError(TransientError):
    """A file changed, or went, under our hands."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} changed while it was being read: it is read again once it has settled")


class Folder:
    """A local folder. Links are not followed: whoever may drop a file here must not make us read another one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def listed(self, *, deep: bool) -> Iterator[Found]:
        """See `Place`."""
        if not self._root.is_dir():
            raise RemoteError(f"there is no folder {self._root}: check the path, or whether it is mounted")
        return self._below(self._root, deep=deep)

    def _below(self, folder: Path, *, deep: bool) -> Iterator[Found]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = Path(entry.path).relative_to(self._root).as_posix()
                    if unfinished(name):
                        continue
                    if deep and entry.is_dir(follow_symlinks=False):
                        yield from self._below(Path(entry.path), deep=True)
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):  # It went while we looked, so it is not there.
                            yield _found(name, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return  # So did this folder.
        except OSError as error:
            raise TransientError(f"the folder {folder} cannot be read: {error.strerror}") from None

    def pieces(self, file: Found) -> Iterator[bytes]:
        """See `Place`."""
        with self.opened(file) as opened:
            while piece := self._read(opened, file):
                yield piece
        self.require_same(file)

    def _read(self, opened: BinaryIO, file: Found) -> bytes:
        try:
            return opened.read(PIECE)
        except OSError as error:
            raise TransientError(f"{file.name} cannot be read: {error.strerror}") from None

    def opened(self, file: Found) -> BinaryIO:
        """See `Place`."""
        try:
            return (self._root / file.name).open("rb")
        except FileNotFoundError:
            raise ChangedError(file.name) from None
        except PermissionError:
            raise RemoteError(f"{file.name} may not be read by us: give us the right to, or move it away") from None
        except OSError as error:
            raise TransientError(f"{file.name} cannot be read: {error.strerror}") from None

    def require_same(self, file: Found) -> None:
        """See `Place`."""
        try:
            now = _found(file.name, (self._root / file.name).lstat())
        except OSError:
            raise ChangedError(file.name) from None
        if now != file:
            raise ChangedError(file.name)


def _found(name: str, facts: os.stat_result) -> Found:
    return Found(name, facts.st_size, facts.st_mtime_ns, f"{facts.st_size}-{facts.st_mtime_ns}")
