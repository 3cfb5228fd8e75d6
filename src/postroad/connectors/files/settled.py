"""Which files of a dataset may be read: those that match, are whole as far as anybody can tell, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.patterns import matched
from postroad.connectors.files.places import Found, Place
from postroad.connectors.files.settings import FilesSettings
from postroad.errors import ConfigError, RemoteError

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
NANO = 1_000_000_000


@dataclass(frozen=True)
class Look:
    """What one listing showed of a dataset: files to read in their order, and others with why they are left alone."""

    ready: tuple[Found, ...]
    waiting: Mapping[str, str]


class Listing:
    """What a place has, listed once for all datasets of a call."""

    def __init__(self, settings: FilesSettings, place: Place, now: float) -> None:
        self._settings = settings
        self._now = now
        deep = any("/" in each.files for each in settings.datasets.values())
        self._found = {each.name: each for each in place.listed(deep=deep)}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def of(self, dataset: DeclaredDataset) -> Look:
        """The files of a dataset; RemoteError if there are too many of them, or one whose name is no text."""
        ready, waiting = [], {}
        for each in self._found.values():
            if matched(dataset.settings.files, each.name) is None:
                continue
            _require_text(each.name)
            reason = self._reason(dataset, each)
            if reason is None:
                ready.append(each)
            else:
                waiting[each.name] = reason
        if len(ready) > self._settings.most_files:
            raise RemoteError(
                f"{len(ready):,} files match {dataset.settings.files}; most_files allows "
                f"{self._settings.most_files:,}: move away those that were read, oldest first, or raise it"
            )
        return Look(tuple(sorted(ready, key=lambda file: file.order)), waiting)

    def _reason(self, dataset: DeclaredDataset, file: Found) -> str | None:
        """Why a file is left alone for now."""
        wait = seconds(self._settings.settle)
        age = self._now - file.modified / NANO
        if abs(age) < wait:  # A time far in the future says nothing, and must not hide a file for ever.
            return f"it changed less than {self._settings.settle} ago (settle)"
        if dataset.settings.marker is None:
            return None
        marker = _marker(dataset.settings.marker, file.name)
        mark = self._found.get(marker)
        if mark is None:
            return f"its marker {marker} is not there"
        return f"its marker {marker} is older than it" if mark.modified < file.modified else None


def seconds(time: str) -> int:
    """`90s`, `10m`, `2h` or `1d` in seconds."""
    return int(time[:-1]) * UNITS[time[-1]]


def scoped(dataset: DeclaredDataset, files: Sequence[Found], scope: str | None) -> Iterator[Found]:
    """The files of one scope, or all; `require_declared` tells of those that belong to none."""
    for each in files:
        if scope is None or values_of(dataset, each.name).get(dataset.placed[0]) == scope:
            yield each


def require_declared(dataset: DeclaredDataset, files: Sequence[Found]) -> None:
    """ConfigError if a file belongs to a scope that nobody declared: nothing is left out in silence."""
    if not dataset.settings.scopes:
        return
    column = dataset.placed[0]
    for each in files:
        value = values_of(dataset, each.name)[column]
        if value not in dataset.settings.scopes:
            raise ConfigError(
                f"{each.name} has the {column} '{value}', which is none of the scopes of {dataset.name}: add it there, "
                "or move the file away"
            )


def values_of(dataset: DeclaredDataset, name: str) -> Mapping[str, str]:
    """What the names in braces stand for."""
    return matched(dataset.settings.files, name) or {}


def _marker(pattern: str, name: str) -> str:
    path = PurePosixPath(name)
    marker = pattern.replace("{name}", path.name).replace("{stem}", path.stem)
    return (path.parent / marker).as_posix()


def _require_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode()
        raise RemoteError(f"the name of the file {shown} is no text: give it another one") from None
