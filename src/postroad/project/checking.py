"""The first steps of `postroad check`: the files, the secrets, and the disks that the project writes to."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from postroad.errors import ConfigError, PostroadError
from postroad.project.lakes import open_store
from postroad.project.loading import load_project
from postroad.project.model import Project
from postroad.records import Check

MOUNTS = Path("/proc/self/mounts")
# File systems of other machines: SQLite's locks and its shared memory do not hold there.
REMOTE = re.compile(
    r"(nfs|smb|cifs|afs|ceph|gluster|lustre|beegfs|gpfs|ncp|coda)|fuse\.(sshfs|glusterfs|ceph|s3|blob|gcs)"
)


def check_project(folder: Path, environment: str | None = None) -> Iterator[Check]:
    """Named steps, each told whether it is right; a project that cannot be read ends them.

    Without network, except that an object store that holds the lake is asked to take and delete an object.
    """
    try:
        project = load_project(folder, environment)
    except ConfigError as error:
        yield from (Check("configuration", ok=False, sentence=str(mistake)) for mistake in error.mistakes)
        return
    found = f"project {project.name}; connections: {len(project.connections)}, syncs: {len(project.syncs)}"
    yield Check("configuration", ok=True, sentence=found)
    yield from (Check("warning", ok=True, sentence=str(warning)) for warning in project.warnings)
    yield from _secrets(project)
    yield _lake(project)
    yield from _database(project)


def _secrets(project: Project) -> Iterator[Check]:
    for name in dict.fromkeys(secret.name for secret in project.secrets):
        secret = next(secret for secret in project.secrets if secret.name == name)
        found, trail = secret.looked()
        sentence = f"found in {trail[-1]}" if found else "not found"
        yield Check(f"secret {name}", ok=found, sentence=f"{sentence}; looked in: {', '.join(trail)}")


def _lake(project: Project) -> Check:
    if project.lake_folder is not None:
        return _writable("lake", project.lake_folder)
    try:
        open_store(project).probe()
    except PostroadError as error:
        return Check("lake", ok=False, sentence=str(error))
    return Check("lake", ok=True, sentence=f"{project.lake} can be written")


def _database(project: Project) -> Iterator[Check]:
    file = project.database_file
    if file is None:
        yield Check("database", ok=True, sentence="PostgreSQL; not opened by this check")
        return
    remote = network_filesystem(file)
    if remote:
        yield Check("database", ok=False, sentence=f"{file} is on {remote}, where SQLite is not safe: use PostgreSQL")
        return
    yield _writable("database", file.parent)


def _writable(step: str, folder: Path) -> Check:
    """Tries to write a nameless file into the folder, or where the folder would be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return Check(step, ok=True, sentence=f"{folder} can be written")
    except OSError as error:
        return Check(step, ok=False, sentence=f"{folder} cannot be written: {error.strerror}")


def network_filesystem(path: Path, mounts: Path | None = None) -> str | None:
    """The kind of network file system that the path is on, None if it is local or cannot be told."""
    mounts = mounts or MOUNTS
    if not mounts.exists():
        return None
    kind, longest = "", -1
    for line in mounts.read_text(errors="replace").splitlines():
        _device, point, found, *_ = line.split(" ")
        place = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # A later mount covers an earlier one at the same place.
        if path.is_relative_to(place) and len(place.parts) >= longest:
            kind, longest = found, len(place.parts)
    return kind if REMOTE.match(kind) else None
