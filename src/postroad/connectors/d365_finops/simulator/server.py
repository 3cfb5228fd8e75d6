"""The simulator as an object: what people and operators do to the environment, as methods and over HTTP."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from postroad.connectors.d365_finops.simulator import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT, kinds
from postroad.connectors.d365_finops.simulator.endpoint import Endpoint
from postroad.connectors.d365_finops.simulator.entities import Entity, catalogue
from postroad.connectors.d365_finops.simulator.environment import COMPANIES, Environment
from postroad.connectors.d365_finops.simulator.executions import STATUSES, Execution
from postroad.connectors.d365_finops.simulator.formats import SourceFormat
from postroad.connectors.d365_finops.simulator.projects import FULL, Position
from postroad.connectors.d365_finops.simulator.rows import Key
from postroad.connectors.d365_finops.simulator.sign_in import Directory
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.connectors.d365_finops.simulator.texts import JsonText, each, plain
from postroad.connectors.d365_finops.simulator.values import seconds_of
from postroad.sdk.simulator import Answer, Clock, Fault, Json

DEMO_PROJECT = "Postroad"
VENDORS = "VendorsV2"
LONG = 60.0


class FinopsSimulator(Endpoint):
    """A simulated environment. Every public method is also a route of the control API; all are thread safe.

    `sizes` are rows by entity set (`environment.SIZES`); `clock` is a Clock, or a function that gives seconds since
    1970. Further arguments are switches (`Switches`).
    """

    def __init__(
        self,
        seed: int = 1,
        sizes: Mapping[str, int] | None = None,
        companies: Sequence[str] = COMPANIES,
        clock: Clock | Callable[[], float] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        blob_port: int = 0,
        tenant: str = DEMO_TENANT,
        client_id: str = DEMO_CLIENT_ID,
        client_secret: str = DEMO_CLIENT_SECRET,
        **switches: Any,
    ) -> None:
        running = clock if clock is None or isinstance(clock, Clock) else Clock(clock)
        directory = Directory(tenant, {client_id: client_secret})
        environment = Environment(seed, sizes or {}, companies)
        super().__init__((host, port), blob_port, running, directory, environment, Switches().changed(**switches))
        self.tenant, self.client_id, self.client_secret = tenant, client_id, client_secret
        self.project(DEMO_PROJECT, list(catalogue().entities))
        self.controls = {name: getattr(self, method) for name, method in CONTROLS.items()}

    def start(self) -> Self:
        """Listen on both ports."""
        if self.exporter.folder == Path():
            self.exporter.folder = Path(tempfile.mkdtemp(prefix="finops-simulator-"))
            weakref.finalize(self, shutil.rmtree, self.exporter.folder, True)
        self.blobs.start()
        return super().start()

    def stop(self) -> None:
        """Stop listening and drop every open connection; packages stay until the object goes."""
        super().stop()
        self.blobs.stop()
        for execution in self.executions:
            execution.build.done.wait(10)

    @property
    def url(self) -> str:
        """The environment's URL, which is also the resource that tokens are asked for."""
        return self.base_url

    @property
    def log(self) -> list[dict[str, Json]]:
        """The request log of both ports, oldest first."""
        return list(self.requests)

    # ---- what people do in the remote system ----

    def mutate(self, n: int = 1, entity: str = VENDORS, company: str | None = None, joined: bool = False) -> list[Key]:
        """Change a few fields of `n` random rows, of the root table or of joined ones; their keys."""
        with self._lock:
            return self.environment.mutate(catalogue().find(entity), int(n), company, joined)

    def update(self, entity: str, key: Sequence[Json], tracked: bool = True, **fields: Json) -> None:
        """Set fields of one row; an untracked change is one that no table write made."""
        with self._lock:
            self.environment.update(catalogue().find(entity), key, fields, tracked)

    def delete(
        self, which: int | str | Iterable[Sequence[Json]] = 1, entity: str = VENDORS, company: str | None = None
    ) -> list[Key]:
        """Delete `which` random rows, or those whose keys are listed; their keys. No export ever tells."""
        with self._lock:
            wanted = int(which) if isinstance(which, str) else which
            return self.environment.delete(catalogue().find(entity), wanted, company)

    def restore(self, entity: str, keys: Iterable[Sequence[Json]]) -> None:
        """Bring deleted rows back under their keys."""
        with self._lock:
            self.environment.restore(catalogue().find(entity), keys)

    def add(self, n: int = 1, entity: str = VENDORS, company: str | None = None) -> list[Key]:
        """Add `n` rows; their keys."""
        with self._lock:
            return self.environment.add(catalogue().find(entity), int(n), company)

    def rename(self, entity: str, key: Sequence[Json], to: Sequence[Json]) -> None:
        """Give a row another key; `to` is without the company."""
        with self._lock:
            self.environment.rename(catalogue().find(entity), key, to)

    # ---- projects and change tracking ----

    def project(
        self,
        name: str,
        entities: Sequence[str],
        incremental: bool = True,
        source_format: str = "CSV-Unicode",
        mapped: bool = True,
    ) -> None:
        """Create an export project; one of that name is replaced, and begins anew. Unmapped ones hang."""
        with self._lock:
            found = [catalogue().find(entity) for entity in entities]
            if self.exporter.formats.get(source_format.lower()) is None:
                raise LookupError(f"no source data format '{source_format}'")
            if name.lower() in {project.name.lower() for project in self.projects}:
                self.projects.delete(name)
            self.projects.create({"Name": name, "Description": name, "GenerateDataPackage": "Yes"})
            refresh = self.switches.incremental_symbol if incremental else FULL
            line = {"DefinitionGroupId": name, "SourceFormat": source_format, "DefaultRefreshType": refresh}
            for entity in found:
                whole = {**line, "EntityName": entity.label, "AutoGenerateMapping": "Yes" if mapped else "No"}
                self.projects.add_line(whole, self.switches.incremental_symbol)

    def delete_project(self, name: str) -> None:
        """Delete a project."""
        with self._lock:
            self.projects.delete(name)

    def source_format(self, name: str, **facts: Any) -> None:
        """Add a source data format (`SourceFormat`), or replace the one of that name."""
        with self._lock:
            self.exporter.formats[name.lower()] = SourceFormat(name, **facts)

    def columns(
        self,
        project: str,
        entity: str,
        add: Sequence[str] = (),
        drop: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        rotate: int = 0,
    ) -> None:
        """Change the columns of a project's file for good, in the manifest too; its next export is full."""
        drift = {"add": list(add), "drop": list(drop), "rename": dict(rename or {}), "rotate": int(rotate)}
        with self._lock:
            self.projects.remap(project, catalogue().find(entity), drift)

    def tracking(self, entity: str, on: bool) -> None:
        """Switch change tracking of an entity on or off; either way every next incremental export is full."""
        with self._lock:
            found = catalogue().find(entity)
            self.projects.untracked.discard(found.collection)
            if not on:
                self.projects.untracked.add(found.collection)
            self.projects.reset(entity=found)

    def interfere(self, entity: str, how: str = "advance") -> int:
        """Another consumer confuses change tracking: positions `advance`, so that changes are lost, or `reset`."""
        found = catalogue().find(entity)
        self.settle()
        with self._lock:
            if how == "advance":
                return self.projects.advance(found, Position(self.environment.version, self.clock.now()))
            if how == "reset":
                return self.projects.reset(entity=found)
            raise ValueError("interference is 'advance' or 'reset'")

    # ---- executions ----

    def finish(self, execution: str, status: str = "Succeeded") -> None:
        """Let an execution come to its end now, a hanging one too."""
        if status not in STATUSES:
            raise ValueError(f"no status '{status}'; there are: {', '.join(STATUSES)}")
        with self._lock:
            found = self._execution(execution)
            found.seconds, found.ends = max(self.clock.now() - found.started, 0.0), status
        self.settle()

    def drop_package(self, execution: str) -> int:
        """Delete the package of an execution, as its age does after seven days; how many links led to it."""
        with self._lock:
            found = self._execution(execution)
            found.build.path.unlink(missing_ok=True)
            return self.blobs.drop(found.build.path)

    def runs(self) -> list[dict[str, Json]]:
        """All executions that are known, oldest first."""
        self.settle()
        now = self.clock.now()
        with self._lock:
            return [
                {
                    "id": each.id,
                    "project": each.project,
                    "company": each.company,
                    "status": each.status(now, self.switches),
                    "rows": {job.entity.collection: job.rows for job in each.jobs},
                    "incremental": {job.entity.collection: job.incremental for job in each.jobs},
                }
                for each in self.executions
            ]

    # ---- what operators do ----

    def advance(self, seconds: float = 0, hours: float = 0, days: float = 0) -> float:
        """Move the clock; its new time in seconds since 1970. Packages that are due by then are waited for."""
        self.clock.advance(float(seconds) + float(hours) * 3_600 + float(days) * 86_400)
        self.settle(LONG)
        return self.clock.now()

    def set_clock(self, to: float | str) -> float:
        """Set the clock to seconds since 1970 or an ISO time."""
        self.clock.set(seconds_of(to))
        self.settle(LONG)
        return self.clock.now()

    def switch(self, **values: Any) -> dict[str, Any]:
        """Change switches; all of them as they are now."""
        with self._lock:
            self.switches = self.switches.changed(**values)
            return self.switches.as_json()

    def fault(self, kind: str, count: int | None = 1, skip: int = 0, root: str | None = None, **options: Any) -> int:
        """Order a fault (docs/simulator-d365-finops.md lists the kinds); its number."""
        found, checked = kinds.checked(kind, options)
        if kind == "script" and options["call"] not in self.controls:
            raise ValueError(f"no control '{options['call']}'; there are: {', '.join(self.controls)}")
        return self.faults.add(
            Fault(kind, None if count is None else int(count), int(skip), root or found.root, checked)
        )

    def client(self, client_id: str, secret: str | None = None) -> None:
        """Add a client to the directory, or give it another secret; without a secret it is removed."""
        self.directory.set_client(client_id, secret)

    def revoke_tokens(self) -> int:
        """Let no token be good any more; how many were."""
        return self.directory.revoke()

    # ---- looking ----

    def table(self, entity: str = VENDORS, company: str | None = None) -> pa.Table:
        """The rows that exist now with typed values, for verification: decimals, times in UTC, enums by name."""
        found = catalogue().find(entity)
        schema = pa.schema([(field.name, field.arrow) for field in found.properties])
        with self._lock:
            blocks = [block for shelf in self.environment.shelves(found, company) for block in shelf.frozen().blocks()]
        batches = [
            pa.record_batch([plain(block.column(field)) for field in found.properties], schema=schema)
            for block in blocks
        ]
        return pa.Table.from_batches(batches, schema)

    def rows(self, entity: str = VENDORS, company: str | None = None) -> dict[Key, dict[str, Json]]:
        """The rows that exist now as OData shows them, by key; for verification."""
        found = catalogue().find(entity)
        shown = (json.loads(line) for line in self._lines(found, company))
        return {tuple(row[name] for name in found.keys): row for row in shown}

    def counts(self) -> dict[str, int]:
        """How many rows each entity has in all companies, and the number of the newest change."""
        with self._lock:
            entities = catalogue().entities.values()
            sizes = {each.collection: sum(map(len, self.environment.shelves(each))) for each in entities}
            return {**sizes, "version": self.environment.version}

    def _execution(self, execution_id: str) -> Execution:
        found = self.executions.get(execution_id)
        if found is None:
            raise LookupError(f"no execution '{execution_id}'")
        return found

    def _lines(self, entity: Entity, company: str | None) -> Iterator[str]:
        texts = JsonText(self.switches.time_of_dates)
        with self._lock:
            shelves = [shelf.frozen() for shelf in self.environment.shelves(entity, company)]
        for block in (block for shelf in shelves for block in shelf.blocks()):
            columns = [
                each(block.column(field), lambda values, field=field: texts.of(field, values)).to_pylist()  # type: ignore[misc]
                for field in entity.properties
            ]
            for row in zip(*columns, strict=True):
                pairs = (f'"{field.name}":{text}' for field, text in zip(entity.properties, row, strict=True))
                yield "{" + ",".join(pairs) + "}"

    # ---- the control API where it differs from the methods ----

    def _control_rows(self, entity: str = VENDORS, company: str | None = None) -> Answer:
        lines = (f"{line}\n".encode() for line in self._lines(catalogue().find(entity), company))
        return Answer(lines, content_type="application/x-ndjson; charset=utf-8")


CONTROLS = {
    **{
        name: name
        for name in (
            *("mutate", "update", "delete", "restore", "add", "rename", "project", "delete_project", "source_format"),
            *("columns", "tracking", "interfere", "finish", "drop_package", "runs", "advance", "fault", "clear_faults"),
            *("client", "revoke_tokens", "counts"),
        )
    },
    "clock": "set_clock",
    "switches": "switch",
    "faults": "_control_faults",
    "rows": "_control_rows",
    "log": "_control_log",
}
