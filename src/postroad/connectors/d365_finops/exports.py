"""One export from its start to its end: asked for under our own id, looked at, never started twice.

The execution id is durable before `ended` is called with it, so whoever comes after a kill asks for the same execution.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from postroad.connectors.d365_finops import faults
from postroad.connectors.d365_finops.api import FINAL, Api, Execution
from postroad.connectors.d365_finops.blocks import rows_in
from postroad.connectors.d365_finops.download import Download
from postroad.connectors.d365_finops.faults import BuildingError, GoneError, MissingError, RefusedError
from postroad.connectors.d365_finops.package import DamagedError, Package
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import NotReadyError, RemoteError, ThrottledError, TransientError
from postroad.records import Json
from postroad.sdk.connector import Tools

MB = 1024 * 1024
DAMAGED_TRIES = 3


class LostError(RemoteError):
    """An execution that was seen is not known any more, or its package is gone: what it held is lost."""


@dataclass(frozen=True)
class Pause:
    """The export goes on; `seen` says that its execution is known to the remote system."""

    error: NotReadyError
    seen: bool


def mark(execution: str) -> str:
    """A short mark of an execution id, however it is spelt."""
    plain = "".join(filter(str.isalnum, execution.casefold()))
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


class Exports:
    """The exports of one connection."""

    def __init__(
        self, api: Api, settings: FinopsSettings, tools: Tools, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._api = api
        self._settings = settings
        self._tools = tools
        self._transport = transport
        self._told: tuple[str, Mapping[str, int]] | None = None

    def known(self) -> set[str] | None:
        """Marks of the executions of the project with change tracking that the system lists; None if it lists none."""
        found = self._api.executions(self._settings.project) if self._settings.watch_project else None
        return None if found is None else set(map(mark, found))

    def minted(self) -> dict[str, Json]:
        """A new execution id, and when it was made."""
        return {"execution": f"postroad-{uuid.uuid4()}", "began": self._tools.clock(), "seen": False}

    def ended(self, execution: Execution, *, seen: bool) -> str | Pause:
        """The final status of an execution, started if nobody has yet; a Pause while it has none."""
        status = self.found(execution, seen=seen)
        return self.started(execution) if status is None else self.awaited(execution, status)

    def found(self, execution: Execution, *, seen: bool) -> str | None:
        """The status of an execution as it is now; None for one that nobody has started, as far as is known."""
        status = self._api.status(execution)
        if status is None and (seen or self._age(execution) > self._settings.history_days * 86_400):
            raise LostError("Finance & Operations does not know the execution any more, which it knew")
        return status

    def started(self, execution: Execution) -> str | Pause:
        """Start an execution; its final status, or a Pause while it has none, or cannot be started now."""
        refused = self._start(execution)
        return self.awaited(execution, None) if refused is None else self._busy(execution, refused)

    def awaited(self, execution: Execution, status: str | None) -> str | Pause:
        """The final status of an execution that was started; a Pause while it has none."""
        if status in FINAL:
            return status
        try:
            return self._api.final_status(execution)
        except BuildingError as error:
            return Pause(self._patience(execution, str(error)), seen=True)
        except MissingError as error:
            return Pause(self._patience(execution, str(error)), seen=status is not None)

    @contextmanager
    def package(self, execution: Execution) -> Iterator[Package | None]:
        """The package of an execution that ended well, for as long as it is read; None for one without a row.

        Such an export may have no link at all (fact sheet 2.4).
        """
        settings = self._settings
        for attempt in range(DAMAGED_TRIES):
            try:
                link = Download(settings, self._tools, lambda: self._api.link(execution), self._transport)
                file = link.fetched()
            except GoneError as error:
                raise LostError(str(error)) from None
            except MissingError as error:
                read = self._api.rows(execution, "Staging")
                if read and not any(read.values()):
                    yield None
                    return
                raise self._patience(execution, str(error)) from None
            with file:
                try:
                    package = Package(file, settings.most_unpacked_megabytes * MB)
                    package.sound(partial(rows_in, encoding=settings.encoding, qualifier=settings.qualifier))
                except DamagedError:
                    if attempt == DAMAGED_TRIES - 1:
                        raise
                    continue
                yield package
                return

    def rows(self, execution: Execution) -> Mapping[str, int]:
        """How many rows each entity's file was given, by label in small letters, as far as the system tells."""
        if self._told is None or self._told[0] != execution.id:
            counts = self._api.rows(execution, "Target")
            self._told = (execution.id, {label.casefold(): count for label, count in counts.items()})
        return self._told[1]

    def failed(self, execution: Execution, labels: Mapping[str, str], status: str) -> dict[str, str]:
        """The entities that did not fully succeed, by public name, each with why; `labels` are those of all."""
        if status == "Succeeded":
            return {}
        if status != "PartiallySucceeded":
            told = f"its export ended {status}, with {self._api.failures(execution)}"
            return dict.fromkeys(labels, told)
        known = {label.casefold(): each for label, each in self._api.entity_statuses(execution).items()}
        states = {name: known.get(label.casefold(), "unknown") for name, label in labels.items()}
        bad = {name: state for name, state in states.items() if state != "Succeeded"}
        told = self._api.failures(execution) if bad else ""
        return {name: f"its part of the export ended {state}; the export has {told}" for name, state in bad.items()}

    def _start(self, execution: Execution) -> RefusedError | None:
        """Start it; a refusal of one that is not running. A start without an answer is looked for, not sent again."""
        try:
            self._api.start(execution)
        except RefusedError as refused:
            if faults.NO_PROJECT in refused.sentence:
                raise RemoteError(
                    f"there is no data project '{execution.project}': create it as the page of this connector says"
                ) from None
            return refused if self._api.status(execution) is None else None
        except ThrottledError:
            raise
        except TransientError:
            return None
        return None

    def _busy(self, execution: Execution, refused: RefusedError) -> Pause:
        told = f"project {execution.project} takes no export now, as while another one runs: {refused}"
        return Pause(self._patience(execution, told), seen=False)

    def _patience(self, execution: Execution, told: str) -> NotReadyError:
        """A pause, as long as the deadline is not over; the execution stays ours either way."""
        where = f"{execution.project}, {execution.company}: {told}"
        if self._age(execution) > self._settings.deadline_hours * 3600:
            raise RemoteError(
                f"{where}, for more than {self._settings.deadline_hours:g} hours: look at execution {execution.id} in "
                "Finance & Operations, end it there if it hangs, and run again"
            )
        return NotReadyError(where, self._settings.wait_seconds)

    def _age(self, execution: Execution) -> float:
        return self._tools.clock() - execution.began
