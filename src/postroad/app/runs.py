"""Runs: start them, list them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from postroad.engine.adopt import Adopting, Wish
from postroad.engine.bench import Bench, Counts
from postroad.engine.drain import Delivered
from postroad.engine.gather import Adoption
from postroad.engine.recover import require_parts
from postroad.engine.runs import Options, Outcome, Runner
from postroad.engine.walk import AGAIN, wanted
from postroad.errors import StoppedError
from postroad.records import Feed

if TYPE_CHECKING:
    from postroad.app.app import App


@dataclass
class Report:
    """What one command did: how each feed's run ended, and the counts of each dataset."""

    outcomes: list[Outcome] = field(default_factory=list)
    counts: dict[str, Counts] = field(default_factory=dict)
    stopped: bool = False
    deliveries: dict[str, Delivered] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all well, 1 failed, 2 a person has to edit, 3 partly succeeded or waiting (design section 9)."""
        return self._of_runs or (3 if any(each.rejected or each.problem for each in self.deliveries.values()) else 0)

    @property
    def _of_runs(self) -> int:
        if any(outcome.configuration for outcome in self.outcomes):
            return 2
        statuses = {outcome.status for outcome in self.outcomes}
        if statuses & {"failed", "busy", "lost", "cancelled"}:
            some_good = statuses & {"succeeded", "partly_succeeded"}
            return 3 if some_good and "failed" in statuses else 1
        return 3 if statuses & {"partly_succeeded", "waiting"} else 0


class Runs:
    """The runs of a project."""

    def __init__(self, app: App) -> None:
        self._app = app

    def start(
        self,
        select: str | None = None,
        *,
        full_refresh: bool = False,
        limit: int | None = None,
        since: str | None = None,
        parallel: int = 1,
        deliver: bool = True,
    ) -> Report:
        """Bring the selected datasets to the head of their sources; `since` also reads anew the rows from a day on.

        One connection after another, in each at most `parallel` entities at a time. Then `deliver` what is new.
        """
        options = Options(full_refresh, limit, since, parallel)
        report, selected = Report(), self._app.selected(select)
        with self._app.alerts.told():
            for connection, entities in selected.items():
                if report.stopped:
                    break
                self._work(report, connection, options, partial(Runner.run, entities=entities))
            if deliver and not report.stopped:
                self._deliver(report, select)
        return report

    def replay(self, select: str) -> Report:
        """Close a dataset's last snapshot again from landing; the counts are the differences."""
        connection, entity = self._app.dataset(select)
        report = Report()
        with self._app.alerts.told():
            self._work(report, connection, Options(), lambda runner: runner.replay(entity))
        return report

    def retry_parked(self, select: str) -> Report:
        """Let a parked close of a dataset pass, compared anew."""
        connection, entity = self._app.dataset(select)
        report = Report()
        with self._app.alerts.told():
            self._work(report, connection, Options(), lambda runner: runner.retry_parked(entity))
        return report

    def adopt(self, select: str, wish: Wish) -> tuple[Report, Adoption]:
        """Begin a dataset with the files and the cursor of another program; what was found in them."""
        connection, entity = self._app.dataset(select)
        report = Report()
        told = Adoption()

        def work(runner: Runner) -> None:
            nonlocal told
            adopting = Adopting(runner.bench, adopter, entity, wish)
            told = adopting.told
            adopting.rehearse() if wish.dry_run else runner.work_on(adopting.feed, adopting.work)

        after: AbstractContextManager[None] = nullcontext() if wish.dry_run else self._app.alerts.told()
        with after, self._app.adopter(connection) as adopter:
            self._work(report, connection, Options(), work)
        return report, told

    def plan(
        self, select: str | None = None, *, full_refresh: bool = False, since: str | None = None
    ) -> dict[str, str]:
        """What `start` would do, by feed; nothing is asked of any remote system."""
        plan = {}
        for connection, entities in self._app.selected(select).items():
            with self._app.bench(connection) as bench:
                require_parts(bench, entities, since)
                for feed in (feed for entity in entities for feed in bench.walk_feeds(entity)):
                    reason = wanted(bench, feed, full_refresh=full_refresh, since=since)
                    planned = self._planned(bench, feed, reason)
                    if planned is not None:
                        plan[f"{connection}.{feed.name}"] = planned
        return plan

    def _planned(self, bench: Bench, feed: Feed, reason: str | None) -> str | None:
        changes = bench.changes_feed(feed.entities[0].name)
        if reason is None and changes is not None and not feed.scope.moves:
            known = bench.tracking.feeds.cursor(bench.connection, changes.name) is not None
            reason = None if known else "first load"
        if reason is not None:
            return reason if reason == AGAIN else f"{feed.work}: {reason}"
        return None if feed.scope.moves else "changes" if changes is not None else "nothing yet"

    def list(self, limit: int = 50) -> list[Mapping[str, Any]]:
        """The newest runs first, each with its true status."""
        return list(self._app.tracking.runs.list(limit))

    def _deliver(self, report: Report, select: str | None) -> None:
        try:
            report.deliveries = self._app.deliveries.deliver(select)
        except StoppedError:
            report.stopped = True

    def _work(self, report: Report, connection: str, options: Options, work: Callable[[Runner], object]) -> None:
        with self._app.bench(connection) as bench:
            runner = Runner(bench, options)
            try:
                work(runner)
            except StoppedError:
                report.stopped = True
            finally:
                report.outcomes += runner.outcomes
                report.counts |= {f"{connection}.{entity}": count for entity, count in bench.counts.items()}
