"""Rejections: list, show, retry, discard."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from postroad.app.runs import Report
from postroad.engine.reread import reread
from postroad.errors import ConfigError
from postroad.tracking.rejections import DELIVER, GUARD

if TYPE_CHECKING:
    from postroad.app.app import App

list_ = list  # within the class that name is a method's


class Rejections:
    """The rejected records and parked closes of a project."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(self, stage: str | None = None, limit: int = 1000) -> list[Mapping[str, Any]]:
        """Open rejections, newest first.

        Parked closes are among those of stage `guard`, messages that wait for a person among those of `deliver`.
        """
        rows = self._app.tracking.rejections.list(stage, limit)
        listed = [{**row, "dataset": row["subscription"] or f"{row['connection']}.{row['entity']}"} for row in rows]
        return [*self._waiting(stage), *listed]

    def groups(self, stage: str | None = None) -> Sequence[Mapping[str, Any]]:
        """The same counted by dataset or target, stage and cause, with the newest one's number and sentence."""
        waiting = [{**row, "records": 0, "newest": None} for row in self._waiting(stage)]
        found = self._app.tracking.rejections.groups(stage)
        counted = [{**row, "dataset": row["subscription"] or f"{row['connection']}.{row['entity']}"} for row in found]
        return [*waiting, *counted]

    def rehearse(self, select: str, stage: str) -> Sequence[Mapping[str, Any]]:
        """What `retry` would do, row by row: `what`, `cause` and what `happens`; changes nothing."""
        if stage == DELIVER:
            return [*self._resends(select), *self._requeued(select)]
        connection, entity = self._app.dataset(select)
        if stage == GUARD:
            parked = self._app.tracking.walks.parked(connection, entity)
            if not parked:
                raise ConfigError(f"{select} has no parked close; `postroad status` shows them")
            happens = "it is compared anew with all that landed since, and passes"
            told = {"cause": "close_parked", "happens": happens}
            return [{"what": f"{each['scope']}: {each['reason']}", **told} for each in parked]
        with self._app.bench(connection) as bench:
            return [
                {"what": each.rejection["key"], "cause": each.rejection["cause"], "happens": each.happens}
                for each in reread(bench, entity)
            ]

    def _resends(self, name: str) -> Iterator[Mapping[str, Any]]:
        for each in self._app.deliveries.resends(name):
            yield {"what": each.key, **each.as_dict()}

    def _requeued(self, name: str) -> Iterator[Mapping[str, Any]]:
        for row in self._app.tracking.messages.held():
            if row["subscription"] == name:
                what = f"message {row['number']}: {row['records']:,} records"
                yield {"what": what, "cause": row["status"], "happens": "it is sent again as it is"}

    def _waiting(self, stage: str | None) -> Sequence[Mapping[str, Any]]:
        """Parked closes, and messages that are held."""
        found: list_[Mapping[str, Any]] = []
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
        return found

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
