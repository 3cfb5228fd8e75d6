"""Files that are listed and gone, and files that lie there and are listed nowhere.

Litter is what dead attempts left behind. It is shown, never deleted by guess (design section 2, "Names").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from postroad.lake import Dataset, Lake
from postroad.lake.names import STAGED, twin
from postroad.tracking import Tracking

ZONES = ("landing", "rejected", "changes", "tables", "audit")


def missing(tracking: Tracking, lake: Lake, datasets: Iterable[Dataset]) -> list[str]:
    """Files that tracking or a table lists and that are gone, by their paths in the lake."""
    logs = [log for dataset in datasets for log in (dataset.changes, dataset.table)]
    members = [f"{log.folder}/{member.path}" for log in logs for member in log.members()]
    may_be_gone = {*tracking.files.superseded()}
    needed = [*members, *(path for path in _listed(tracking) if path not in may_be_gone)]
    found = set(_found(lake))
    return [path for path in needed if found.isdisjoint(_names(path))]


def litter(tracking: Tracking, lake: Lake, datasets: Iterable[Dataset]) -> list[str]:
    """Files below `landing`, `rejected`, `changes`, `tables` and `audit` that nothing refers to."""
    known = {name for path in _listed(tracking) for name in (*_names(path), twin(path))}
    for dataset in datasets:
        for log in (dataset.changes, dataset.table):
            known |= {f"{log.folder}/{path}" for path in log.ever_named()}
    return sorted(name for name in _found(lake) if name not in known)


def _listed(tracking: Tracking) -> list[str]:
    named = [row["path"] for row in tracking.files.listed()]
    return [*tracking.feeds.landed_paths(), *tracking.rejections.files(), *tracking.audit.files(), *named]


def _names(path: str) -> tuple[str, str]:
    """A listed file lies under its path or, if its close was killed after moving it, under its final name."""
    return path, path.replace(f"/{STAGED}/", "/")


def _found(lake: Lake) -> Iterator[str]:
    """What lies there; one look at each zone costs less than a question for each file."""
    names = (name for zone in ZONES for name in lake.disk.names(zone))
    return (name for name in names if "/_delta_log/" not in name)
