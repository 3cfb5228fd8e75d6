"""Executions of export projects: a state machine on the simulator's clock (fact sheet 2.3 and 2.4).

The state of an execution is computed from its facts and the time. Once it has come to its end, `settle` makes its
package available and moves the positions of change tracking. Not thread safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from postroad.connectors.d365_finops.simulator.entities import Entity
from postroad.connectors.d365_finops.simulator.packages import Build
from postroad.connectors.d365_finops.simulator.projects import Position, Projects
from postroad.connectors.d365_finops.simulator.switches import DAY, Switches

Status = Literal["Unknown", "NotRun", "Executing", "Succeeded", "PartiallySucceeded", "Failed", "Canceled"]
STATUSES: tuple[str, ...] = get_args(Status)
GOOD = frozenset({"Succeeded", "PartiallySucceeded"})
FINAL = GOOD | {"Failed", "Canceled"}


@dataclass
class Job:
    """One entity of an execution. `position` is where its change tracking stands after it."""

    entity: Entity
    rows: int
    incremental: bool
    position: Position
    failed: bool = False


@dataclass
class Execution:
    """One run of a project. `seconds` is how long it takes; None: for ever. `ends` is the final status if ordered."""

    id: str
    project: str
    package_name: str
    company: str
    started: float
    seconds: float | None
    build: Build
    jobs: list[Job] = field(default_factory=list)
    excel: bool = False
    ends: str | None = None
    shows: str | None = None  # the status while it does not end
    errors: list[dict[str, str]] = field(default_factory=list)
    errors_text: str | None = None
    keeps_position: bool = False
    settled: bool = False

    def status(self, now: float, switches: Switches) -> str:
        """Its status now; the final one only once the package is built."""
        if self.seconds is None:
            return self.shows or "Executing"
        if now - self.started < min(switches.not_run_seconds, self.seconds):
            return "NotRun"
        if now - self.started < self.seconds or not self.build.done.is_set():
            return "Executing"
        return self.outcome

    @property
    def outcome(self) -> str:
        """The final status."""
        if self.ends is not None:
            return self.ends
        if not self.build.sound or not self.jobs:
            return "Failed"
        failed = [job for job in self.jobs if self.failed(job)]
        return "Succeeded" if not failed else "Failed" if len(failed) == len(self.jobs) else "PartiallySucceeded"

    @property
    def ended(self) -> float:
        """When its time was over."""
        return self.started + (self.seconds or 0.0)

    def failed(self, job: Job) -> bool:
        """Whether the export of that entity failed."""
        return job.failed or job.entity.label in self.build.errors

    def all_errors(self) -> list[dict[str, str]]:
        """What GetExecutionErrors tells: the ordered errors, and those of the package builder."""
        built = [
            {"RecordId": "", "Field": "", "ErrorMessage": f"{label}: {f'{error.code}: ' if error.code else ''}{error}"}
            for label, error in self.build.errors.items()
        ]
        return [*self.errors, *built] if self.settled else []

    def is_empty(self) -> bool:
        """Whether it exported no row at all."""
        return not any(job.rows for job in self.jobs)


class Executions:
    """All executions that are still known."""

    def __init__(self) -> None:
        self._all: dict[str, Execution] = {}

    def __iter__(self) -> Iterator[Execution]:
        return iter(list(self._all.values()))

    def add(self, execution: Execution) -> None:
        """Remember a new execution."""
        self._all[execution.id.lower()] = execution

    def get(self, execution_id: str) -> Execution | None:
        """The execution with that id, if it is known."""
        return self._all.get(execution_id.lower())

    def forget(self, execution_id: str) -> bool:
        """Forget one, as *DeleteExecutionHistoryJob* does."""
        return self._all.pop(execution_id.lower(), None) is not None

    def running(self, now: float, switches: Switches) -> list[Execution]:
        """Those that have not come to an end."""
        return [each for each in self._all.values() if each.status(now, switches) not in FINAL]

    def due(self, now: float) -> list[Execution]:
        """Those whose time is over and whose package is not built yet."""
        return [
            each
            for each in self
            if each.seconds is not None and now - each.started >= each.seconds and not each.build.done.is_set()
        ]

    def settle(self, now: float, switches: Switches, projects: Projects) -> None:
        """Carry out what follows from the end of executions, and forget the old ones."""
        for each in self:
            if not each.settled and each.status(now, switches) in FINAL:
                each.settled = True
                _move_positions(each, switches, projects)
            if each.settled and now - each.ended > switches.package_days * DAY:
                each.build.path.unlink(missing_ok=True)
            if each.settled and now - each.started > switches.history_days * DAY:
                self.forget(each.id)


def _move_positions(execution: Execution, switches: Switches, projects: Projects) -> None:
    """The position moves when the export ran, not when its package is fetched (fact sheet 4)."""
    for job in execution.jobs:
        good = execution.outcome in GOOD and not execution.failed(job)
        if not execution.keeps_position and (good or switches.failed_run_moves_position):
            projects.move(execution.project, job.entity, execution.company, job.position)
