"""Datasets: their status, queries over them, and the state of their feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from postroad.catalog.litter import litter, missing
from postroad.catalog.status import DatasetStatus, dataset_status
from postroad.engine.counting import Counted, count
from postroad.errors import ConfigError

if TYPE_CHECKING:
    from postroad.app.app import App

BY_HAND = "a person set its state"


class Datasets:
    """The datasets of a project."""

    def __init__(self, app: App) -> None:
        self._app = app

    def status(self, select: str | None = None) -> list[DatasetStatus]:
        """How each dataset stands; asks no remote system."""
        found: list[DatasetStatus] = []
        for connection, entities in self._app.selected(select).items():
            with self._app.bench(connection) as bench:
                of = partial(dataset_status, bench.tracking, bench.lake, connection, bench.feeds)
                found += map(of, entities)
        return found

    def query(self, sql: str) -> pa.Table:
        """SQL over all datasets: `erp.invoices` and `erp.invoices_changes`."""
        from postroad.catalog.query import query  # DuckDB is for this alone

        return query(self._app.all_datasets(), sql)

    def count(self, name: str) -> Counted:
        """A dataset's rows beside what its source counts now; ConfigError if the source cannot count."""
        connection, entity = self._app.dataset(name)
        with self._app.bench(connection) as bench:
            return count(bench, entity)

    def missing(self) -> list[str]:
        """Files of the lake that are listed and gone."""
        return missing(self._app.tracking, self._app.lake, self._app.all_datasets())

    def litter(self) -> list[str]:
        """Files of the lake that nothing refers to: what dead attempts left behind."""
        return litter(self._app.tracking, self._app.lake, self._app.all_datasets())

    def state(self, select: str | None = None) -> dict[str, Any]:
        """The cursor of every feed and its last payload number."""
        found = {}
        for connection in self._app.selected(select):
            with self._app.bench(connection) as bench:
                for feed in bench.feeds:
                    feeds = bench.tracking.feeds
                    number = feeds.last_number(connection, feed.name)
                    found[f"{connection}.{feed.name}"] = {
                        "cursor": feeds.cursor(connection, feed.name),
                        "last_payload": number,
                    }
        return found

    def set_state(self, name: str, cursor: Any) -> None:
        """Put another cursor in place; ends the feed's claim (sequence 19)."""
        connection, _, feed = name.partition(".")
        known = self.state(connection)
        if name not in known:
            raise ConfigError(f"there is no feed '{name}'; there are: {', '.join(known)}")
        with self._app.alerts.told():
            self._app.tracking.feeds.set_cursor(connection, feed, cursor, BY_HAND)

    def reset_state(self, select: str) -> list[str]:
        """Forget the cursors and open walks of the selected datasets and keep their data (sequence 19).

        Ends the runs of their feeds; the next run is a compared full refresh.
        """
        selected = self._app.selected(select)
        with self._app.alerts.told():
            return self._reset(selected)

    def _reset(self, selected: Mapping[str, Sequence[str]]) -> list[str]:
        done = []
        for connection, entities in selected.items():
            with self._app.bench(connection) as bench:
                for entity in entities:
                    changes = bench.changes_feed(entity)
                    walked = [feed.name for feed in bench.walk_feeds(entity)]
                    name = changes.name if changes is not None else None
                    bench.tracking.feeds.start_again(connection, entity, walked, name, BY_HAND)
                    done.append(f"{connection}.{entity}")
        return done
