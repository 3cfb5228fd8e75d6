"""Durable files on a local disk.

Durable means fsynced: the file and the folder that names it, before anything relies on them. A crash in the middle
leaves a file under a name that nothing refers to (litter), because names carry the writer's token and files are
created with O_EXCL, never overwritten.
"""

from __future__ import annotations

import os
from pathlib import Path

from postroad.telemetry import Point, Watcher, unwatched


class Disk:
    """A folder tree whose paths are given relative to its root, with `/`."""

    def __init__(self, root: Path, watcher: Watcher = unwatched) -> None:
        self.root = root
        self.watcher = watcher

    def path(self, name: str) -> Path:
        """The absolute path of a name."""
        return self.root / name

    def write_new(self, name: str, data: bytes, point: Point) -> None:
        """Create a file that must not exist, durably."""
        path = self.prepare(name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_folder(path.parent)
        self.watcher(point)

    def prepare(self, name: str) -> Path:
        """The absolute path of a file to be written; its folder exists durably."""
        path = self.path(name)
        make_folder(path.parent)
        return path

    def seal(self, name: str, point: Point) -> None:
        """Make a file that somebody else wrote durable."""
        path = self.path(name)
        sync_file(path)
        sync_folder(path.parent)
        self.watcher(point)

    def move(self, source: str, target: str) -> None:
        """Give a file another name, durably; done already is done."""
        old, new = self.path(source), self.path(target)
        if not old.exists() and new.exists():
            return
        make_folder(new.parent)
        old.rename(new)
        sync_folder(new.parent)
        sync_folder(old.parent)

    def remove(self, name: str) -> None:
        """Delete a file; gone already is gone."""
        self.path(name).unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Flush a folder's names to the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, each durable in the one above."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
