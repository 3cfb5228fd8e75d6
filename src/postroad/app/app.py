"""App: a project, opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from postroad import __version__
from postroad.app.alerts import Alerts
from postroad.app.datasets import Datasets
from postroad.app.deliveries import Deliveries
from postroad.app.rejections import Rejections
from postroad.app.runs import Runs
from postroad.app.tracing import Tracing
from postroad.engine.bench import Bench, Reporter
from postroad.engine.heart import Heart
from postroad.engine.stop import Stop
from postroad.errors import ConfigError
from postroad.lake import Dataset, Lake
from postroad.project import Project, Sync, load_project, network_filesystem, open_disk
from postroad.records import Feed
from postroad.sdk.connector import Adopter, Destination, Source, Tools
from postroad.sdk.registry import load_connector
from postroad.telemetry import Stage, Watcher, unwatched
from postroad.tracking import Tracking


class Silent:
    """A reporter that nobody listens to."""

    def stage(self, stage: Stage, dataset: str) -> None:
        """Nothing."""

    def progress(self, dataset: str, rows: int, size: int) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Nothing."""


class App:
    """One open project; use it as a context manager. Several may be open at once, in one process or many.

    `clock`, `sleep` and `watcher` are for rehearsals: a clock that jumps, a sleep that does not wait, a watcher of
    durable points. `stop` ends the work in order when it is asked.
    """

    def __init__(
        self,
        project: Project,
        *,
        reporter: Reporter | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        watcher: Watcher = unwatched,
        stop: Stop | None = None,
    ) -> None:
        self.project = project
        self.reporter: Reporter = reporter or Silent()
        self._clock = clock
        self.stop = stop or Stop()
        self._sleep = sleep or self.stop.sleep
        _refuse_network_disk(project)
        self.tracking = Tracking(
            project.database_url,
            __version__,
            clock=clock,
            sleep=self._sleep,
            watcher=watcher,
            alerting=project.notify is not None,
        )
        self.lake = Lake(open_disk(project, watcher), self.tracking.messages.pinned)
        self.heart = Heart()
        self.runs = Runs(self)
        self.datasets = Datasets(self)
        self.rejections = Rejections(self)
        self.alerts = Alerts(self)
        self.deliveries = Deliveries(self)
        self.tracing = Tracing(self)

    @classmethod
    def open(
        cls,
        folder: Path,
        environment: str | None = None,
        *,
        reporter: Reporter | None = None,
        stop: Stop | None = None,
    ) -> App:
        """Open the project in a folder; ConfigError with every mistake in its files."""
        return cls(load_project(folder, environment), reporter=reporter, stop=stop)

    def __enter__(self) -> Self:
        self.heart.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heart.__exit__(kind, error, trace)
        self.tracking.close()

    def source(self, connection: str) -> Source:
        """The source of a connection, not yet connected; the caller closes it."""
        configured = self.project.connections[connection]
        connector = load_connector(configured.connector)
        if connector.source is None:
            raise ConfigError(f"connector '{connector.name}' has no source: nothing can be synced from '{connection}'")
        return connector.source(configured.settings, self._tools())

    def takes_deliveries_only(self, connection: str) -> bool:
        """Whether a connection is a destination and no source."""
        return load_connector(self.project.connections[connection].connector).source is None

    @contextmanager
    def destination(self, connection: str) -> Iterator[Destination]:
        """The destination of a connection, which connects when it is used."""
        configured = self.project.connections[connection]
        connector = load_connector(configured.connector)
        if connector.destination is None:
            raise ConfigError(
                f"connector '{connector.name}' takes no deliveries: nothing can be sent to '{connection}'"
            )
        with closing(connector.destination(configured.settings, self._tools())) as destination:
            yield destination

    @contextmanager
    def adopter(self, connection: str) -> Iterator[Adopter]:
        """What takes over another program's files of a connection."""
        configured = self.project.connections[connection]
        connector = load_connector(configured.connector)
        if connector.adopter is None:
            raise ConfigError(f"connector '{connector.name}' knows no other program's files, so it can adopt none")
        with closing(connector.adopter(configured.settings, self._tools())) as adopter:
            yield adopter

    @contextmanager
    def bench(self, connection: str) -> Iterator[Bench]:
        """A connection, opened for work."""
        source = self.source(connection)
        try:
            feeds = tuple(self.feeds(connection, source))
            rules = {entity: sync for sync in self._syncs(connection) for entity in sync.entities}
            yield Bench(
                connection, source, feeds, self.tracking, self.lake, self.heart, self.reporter, self.stop, rules
            )
        finally:
            source.close()

    def feeds(self, connection: str, source: Source) -> list[Feed]:
        """The feeds of a connection, cut down to the entities that some flow names."""
        named = set(self.entities(connection))
        found = []
        for feed in source.discover():
            entities = tuple(entity for entity in feed.entities if entity.name in named)
            if entities:
                found.append(replace(feed, entities=entities))
        return found

    def entities(self, connection: str) -> list[str]:
        """The entities of a connection that the flows name."""
        return [entity for sync in self._syncs(connection) for entity in sync.entities]

    def selected(self, select: str | None) -> dict[str, list[str]]:
        """The entities that a selector names, by connection: nothing for all, `erp`, `erp.invoices`."""
        everything = {connection: self.entities(connection) for connection in self.project.connections}
        everything = {connection: entities for connection, entities in everything.items() if entities}
        if select is None:
            return everything
        connection, _, entity = select.partition(".")
        entities = [name for name in everything.get(connection, []) if not entity or name == entity]
        if not entities:
            known = [f"{name}.{each}" for name, entities in everything.items() for each in entities]
            raise ConfigError(f"nothing is named '{select}'; there are: {', '.join(known) or 'no syncs'}")
        return {connection: entities}

    def dataset(self, name: str) -> tuple[str, str]:
        """The connection and entity of one dataset's name."""
        selected = self.selected(name)
        pairs = [(connection, entity) for connection, entities in selected.items() for entity in entities]
        if len(pairs) != 1:
            raise ConfigError(
                f"'{name}' names {len(pairs)} datasets; name one: {', '.join('.'.join(p) for p in pairs)}"
            )
        return pairs[0]

    def all_datasets(self) -> Sequence[Dataset]:
        """Every dataset of the project."""
        found = []
        for connection, entities in self.selected(None).items():
            with self.bench(connection) as bench:
                found += [bench.dataset(entity) for entity in entities]
        return found

    def _syncs(self, connection: str) -> list[Sync]:
        return [sync for sync in self.project.syncs if sync.connection == connection]

    def _tools(self) -> Tools:
        return Tools(self.tracking.budget, self._clock or time.time, self._sleep, self.project.folder)


def _refuse_network_disk(project: Project) -> None:
    if project.database_file is None:
        return
    kind = network_filesystem(project.database_file.parent)
    if kind is not None:
        raise ConfigError(
            f"{project.database_file} lies on a network share ({kind}), where SQLite loses data: use PostgreSQL"
        )
