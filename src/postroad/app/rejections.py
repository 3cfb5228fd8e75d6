"""Rejections: list, show, retry, discard."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from postroad.app.runs import Report
from postroad.errors import ConfigError
from postroad.tracking.rejections import DELIVER, GUARD

if TYPE_CHECKING:
    from postroad.app.app import App


class Rejections:
    """The rejected records and parked closes of a project."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(self, stage: str | None = None, limit: int = 1000) -> list[Mapping[str, Any]]:
        """Open rejections, newest first.

        Parked closes are among those of stage `guard`, messages that wait for a person among those of `deliver`.
        """
        found: list[Mapping[str, Any]] = []
        if stage in (None, GUARD):
            found += [
                {
                    "id": None,
                    "dataset": each.dataset,
                    "stage": GUARD,
                    "key": None,
                    "cause": "close_parked",
                    "sentence": each.parked,
                }
                for each in self._app.datasets.status()
                if each.parked is not None
            ]
        if stage in (None, DELIVER):
            found += [
                {
                    "id": None,
                    "dataset": each["subscription"],
                    "stage": DELIVER,
                    "key": f"message {each['number']}: {each['records']:,} records",
                    "cause": each["status"],
                    "sentence": each["reason"],
                }
                for each in self._app.tracking.messages.held()
            ]
        rows = self._app.tracking.rejections.list(stage, limit)
        return found + [
            {**row, "dataset": row["subscription"] or f"{row['connection']}.{row['entity']}"} for row in rows
        ]

    def show(self, rejection: int) -> Mapping[str, Any]:
        """One rejection with the raw text of its row."""
        row = self._app.tracking.rejections.get(rejection)
        return {**row, "raw": self._raw(row)}

    def retry(self, select: str, stage: str) -> Report:
        """Try again: a parked close passes its guard; refused rows are read again from landing by a replay.

        Of stage `deliver`, `select` is a subscription: what its receiver refused, and what is held, is sent again.
        """
        if stage == DELIVER:
            return Report(deliveries=self._app.deliveries.retry(select))
        if stage == GUARD:
            return self._app.runs.retry_parked(select)
        return self._app.runs.replay(select)

    def discard(self, ids: Sequence[int]) -> int:
        """Drop rejections for good; how many were open."""
        with self._app.alerts.told():
            return self._app.tracking.rejections.discard(ids, getpass.getuser())

    def discard_parked(self, select: str) -> None:
        """Drop a parked close; the dataset stays as it is until the next full refresh closes."""
        connection, entity = self._app.dataset(select)
        walks = self._app.tracking.walks
        parked = walks.parked(connection, entity)
        if not parked:
            raise ConfigError(f"{select} has no parked close; `postroad status` shows them")
        with self._app.alerts.told():
            for each in parked:
                walks.discard(each["id"], f"discarded by {getpass.getuser()}")

    def _raw(self, row: Mapping[str, Any]) -> str | None:
        if row["stage"] == DELIVER:
            return self._app.deliveries.record(row)
        if row["file"] is None:
            return None
        lines = self._app.lake.disk.read(row["file"]).splitlines()
        return next((each["raw"] for each in map(json.loads, lines) if each["row"] == row["row"]), None)
