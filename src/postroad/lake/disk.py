"""Durable files of a lake, wherever it lies; this module's `LocalDisk` keeps them on a local disk.

On a local disk durable means fsynced: the file and the folder that names it, before anything relies on them. A crash
in the middle leaves a file under a name that nothing refers to (litter), because names carry the writer's token and
files are created with O_EXCL, never overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from postroad.telemetry import Point, Watcher, unwatched


class Disk(Protocol):
    """A tree of files whose names are paths relative to its root, with `/`.

    `local` says that files can be opened by their paths, that what delta-rs wrote has to be flushed by us, and that a
    power cut may tear it. `opened` keeps Delta tables open between two looks, by folder.
    """

    watcher: Watcher
    local: bool
    opened: dict[str, Any]

    @property
    def options(self) -> dict[str, str] | None:
        """What delta-rs needs to reach the same files; may hold a secret."""
        ...

    def url(self, name: str) -> str:
        """A file or folder as delta-rs knows it; on a local disk its path."""
        ...

    def write_new(self, name: str, data: bytes, point: Point) -> None:
        """Create a file that must not exist, durably."""
        ...

    def create(self, name: str) -> pa.NativeFile:
        """A new file to write to; it is one only after `seal`."""
        ...

    def seal(self, name: str, file: pa.NativeFile, point: Point) -> int:
        """Close a file that was written to and make it durable; its size in bytes."""
        ...

    def discard(self, name: str, file: pa.NativeFile) -> None:
        """Drop a file that was written to and is not wanted after all."""
        ...

    def move(self, source: str, target: str) -> None:
        """Give a file another name, durably; done already is done."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file; gone already is gone."""
        ...

    def read(self, name: str) -> bytes:
        """A file's bytes; FileNotFoundError if it is gone."""
        ...

    def open(self, name: str) -> pa.NativeFile:
        """A file to read from at any place."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def size(self, name: str) -> int:
        """A file's size in bytes; FileNotFoundError if it is gone."""
        ...

    def names(self, folder: str) -> Iterator[str]:
        """Every file below a folder, in no order."""
        ...

    def make_folder(self, name: str) -> None:
        """See to it that a folder exists, durably, where files need one."""
        ...

    def flush(self, *names: str) -> None:
        """Make files, and names in folders, durable that somebody else wrote."""
        ...

    def named_errors(self) -> AbstractContextManager[None]:
        """Turns what delta-rs says of an object store into errors that name the next move."""
        ...


class LocalDisk:
    """A folder tree on a local disk."""

    local = True
    options: dict[str, str] | None = None

    def __init__(self, root: Path, watcher: Watcher = unwatched) -> None:
        self.root = root
        self.watcher = watcher
        self.opened: dict[str, Any] = {}

    def path(self, name: str) -> Path:
        """The absolute path of a name."""
        return self.root / name

    def url(self, name: str) -> str:
        """See `Disk.url`."""
        return str(self.path(name))

    def write_new(self, name: str, data: bytes, point: Point) -> None:
        """See `Disk.write_new`."""
        path = self._prepared(name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        _sync(path.parent)
        self.watcher(point)

    def create(self, name: str) -> pa.NativeFile:
        """See `Disk.create`."""
        return pa.OSFile(str(self._prepared(name)), "wb")

    def seal(self, name: str, file: pa.NativeFile, point: Point) -> int:
        """See `Disk.seal`."""
        file.close()
        path = self.path(name)
        _sync(path)
        _sync(path.parent)
        self.watcher(point)
        return path.stat().st_size

    def discard(self, name: str, file: pa.NativeFile) -> None:
        """See `Disk.discard`."""
        file.close()
        self.remove(name)

    def move(self, source: str, target: str) -> None:
        """See `Disk.move`."""
        old, new = self.path(source), self.path(target)
        if not old.exists() and new.exists():
            return
        _make_folder(new.parent)
        old.rename(new)
        _sync(new.parent)
        _sync(old.parent)

    def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        self.path(name).unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """See `Disk.read`."""
        return self.path(name).read_bytes()

    def open(self, name: str) -> pa.NativeFile:
        """See `Disk.open`."""
        return pa.OSFile(str(self.path(name)))

    def exists(self, name: str) -> bool:
        """See `Disk.exists`."""
        return self.path(name).exists()

    def size(self, name: str) -> int:
        """See `Disk.size`."""
        return self.path(name).stat().st_size

    def names(self, folder: str) -> Iterator[str]:
        """See `Disk.names`."""
        for place, _, files in os.walk(self.path(folder)):
            below = Path(place).relative_to(self.root).as_posix()
            yield from (f"{below}/{file}" for file in files)

    def make_folder(self, name: str) -> None:
        """See `Disk.make_folder`."""
        _make_folder(self.path(name))

    def flush(self, *names: str) -> None:
        """See `Disk.flush`."""
        for name in names:
            _sync(self.path(name))

    def named_errors(self) -> AbstractContextManager[None]:
        """See `Disk.named_errors`: the system's own errors say it best."""
        return nullcontext()

    def _prepared(self, name: str) -> Path:
        """The absolute path of a file to be written; its folder exists durably."""
        path = self.path(name)
        _make_folder(path.parent)
        return path


def _make_folder(path: Path) -> None:
    """Create a folder and its parents, each durable in the one above."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Flush a file's content, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
