"""What is remembered of one subscription: messages that tracking has, and those that only audit files keep."""

from __future__ import annotations

import pyarrow as pa

from postroad.lake.audit import kept
from postroad.lake.disk import Disk
from postroad.store.rows import Row
from postroad.tracking import Tracking


class Remembered:
    """The messages of a subscription, and what was rejected of one key in those that tracking has forgotten.

    `gone` names audit files that were asked for and cannot be read, by the version that was asked for.
    """

    def __init__(self, tracking: Tracking, disk: Disk, name: str, key: str) -> None:
        self._tracking = tracking
        self._disk = disk
        self._name = name
        self._key = key
        self.rejections: dict[int, Row] = {}
        self.gone: dict[int | None, str] = {}

    def naming(self, place: str, version: int | None = None) -> list[Row]:
        """The messages that name a file, or files below a folder that ends with `/`; oldest first.

        In audit files only those with records of that version are looked for; of None, what the subscription began
        with.
        """
        files = self._tracking.audit.holding(self._name, version)
        found = {row["id"]: row for path in files for row in self._kept(path, version, place)}
        found |= {row["id"]: row for row in self._tracking.messages.naming(self._name, place)}
        return [found[number] for number in sorted(found)]

    def _kept(self, path: str, version: int | None, place: str) -> list[Row]:
        try:
            messages, refused = kept(self._disk, path, self._name, version, place, self._key)
        except (pa.ArrowException, OSError):  # one that is gone too
            self.gone[version] = path
            return []
        self.rejections |= {row["id"]: row for row in refused}
        return messages
