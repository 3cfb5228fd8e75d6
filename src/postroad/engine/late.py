"""Late refusals: a record that was refused when its receiver held a newer version already. Nothing is to be done then.

A worker that writes a newer version's outcome closes what is rejected of its key in the same transaction. So what is
left are rejections that were written after it. This looks at each rejection once, when it is written: the newer rows of
its key are looked up in the messages behind it. It is superseded if the newest message that holds one of those rows is
acknowledged, and does not name the row as rejected. Each of the two transactions sees the other one or is seen by it,
so a rejection escapes neither. A crash before the note of how far this got leaves the rejections open, and the next run
or worker looks.

What it costs depends on how many messages and files are behind the oldest of these rejections, not on how many records
were refused; where nothing behind it was acknowledged, it is one question of the database. A newer version whose
message tracking has forgotten is not seen: the rejection stays open, and a retry closes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pyarrow as pa

from postroad.engine.route import Route, from_json
from postroad.errors import StateError
from postroad.lake import Dataset
from postroad.lake.changes import versions_after
from postroad.lake.finding import key_table, overlapping, rows_of
from postroad.status import Status
from postroad.store.rows import Row
from postroad.tracking import Tracking

AT_ONCE = 10_000  # rejections

_Rows = dict[str, dict[int, tuple[str, int]]]  # by file and place in it: key and version


def close_late(tracking: Tracking, routes: Mapping[str, Route]) -> None:
    """Close the rejections that nobody has looked at yet and whose receiver holds a newer version."""
    for route in routes.values():
        with suppress(StateError):  # of a log that cannot be read, as dispatch tells; it stops no other dataset
            while _some(tracking, route):
                pass


def _some(tracking: Tracking, route: Route) -> bool:
    """Look at some; False if those were the last."""
    known = tracking.subscriptions.get(route.name)
    if known is None:
        return False
    found, upto = tracking.rejections.refused_after(route.name, known["looked"], AT_ONCE)
    if upto > known["looked"]:
        ids = superseded(tracking, route, found) if found else []
        tracking.rejections.supersede(route.name, ids, upto)
    return len(found) == AT_ONCE


def superseded(tracking: Tracking, route: Route, refused: Sequence[Row]) -> list[int]:
    """Those of these rejections whose receiver holds a newer version of the key, for certain."""
    lowest: dict[str, int] = {}
    for row in refused:
        lowest[row["key"]] = min(row["version"], lowest.get(row["key"], row["version"]))
    oldest = min(lowest.values())
    newest = tracking.messages.accepted_upto(route.name)
    if newest <= oldest:
        return []
    rows = _newer_rows(route.dataset(0), lowest, oldest, newest)
    accepted = _accepted(tracking, route.name, rows, oldest)
    named = tracking.rejections.of_keys(route.name, sorted({key for _, key, _ in accepted}))
    held: dict[str, int] = {}
    for _, key, version in accepted - named:
        held[key] = max(version, held.get(key, 0))
    return [row["id"] for row in refused if row["version"] < held.get(row["key"], 0)]


def _newer_rows(dataset: Dataset, lowest: Mapping[str, int], oldest: int, newest: int) -> _Rows:
    """Where the versions of these keys lie that came after those, of the commits behind `oldest` up to `newest`."""
    wanted = key_table(dataset.entity, list(lowest))
    found: _Rows = {}
    between = [each for version, members in versions_after(dataset, oldest) if version <= newest for each in members]
    for member in overlapping(between, dataset.entity.key, wanted):
        path, version = f"{dataset.changes.folder}/{member.path}", member.maximum["_version"]
        with suppress(OSError, pa.ArrowException):  # then they stay open, which is never wrong
            for key, place in rows_of(dataset, path, wanted):
                if version > lowest[key]:
                    found.setdefault(path, {})[place] = key, version
    return found


def _accepted(tracking: Tracking, name: str, rows: _Rows, oldest: int) -> set[tuple[int, str, int]]:
    """Those of these rows whose newest message is acknowledged: that message, the key and the version.

    Rows of the table are no newer versions of anything that a message holds beside them, so none is missed.
    """
    holder: dict[tuple[str, int], tuple[int, str]] = {}
    for message in tracking.messages.after(name, oldest) if rows else ():
        for each in from_json(message["slices"]):
            for place in rows.get(each.path, ()):
                if each.first <= place < each.first + each.rows:
                    holder[each.path, place] = message["id"], message["status"]
    return {
        (message, *rows[path][place])
        for (path, place), (message, status) in holder.items()
        if status == Status.ACKNOWLEDGED
    }
