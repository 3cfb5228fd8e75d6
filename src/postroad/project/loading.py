"""Reads a project folder into a Project, or tells every mistake in it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from postroad.errors import ConfigError
from postroad.project.cleaning import Cleaning
from postroad.project.lakes import completed, require_own_books, spelt_out
from postroad.project.model import Connection, Delivery, Project, Reload, Sync
from postroad.project.nodes import Node, Notes, Spot, merge
from postroad.project.problems import near, note_errors, one_of, secret_paths
from postroad.project.reading import MOST_BYTES, read_yaml
from postroad.project.shape import DeliverShape, FlowShape, ProjectShape
from postroad.project.variables import Filler
from postroad.project.where import WhereError, parse_where
from postroad.sdk import registry
from postroad.sdk.connector import Connector

ROOT = "postroad.yaml"
FLOWS = "flows"
ENVIRONMENTS = "environments"

Model = TypeVar("Model", bound=BaseModel)


def load_project(folder: Path, environment: str | None = None) -> Project:
    """The project in the folder under that environment; ConfigError with all its mistakes."""
    notes = Notes()
    project = _Loader(folder.absolute(), environment, notes).project()
    if notes.mistakes or project is None:
        raise ConfigError(mistakes=sorted(notes.mistakes, key=lambda at: (at.file, at.line, at.column)))
    return project


class _Loader:
    """Loads one project; what is wrong goes into the notes and loading goes on, to find the rest."""

    def __init__(self, folder: Path, environment: str | None, notes: Notes) -> None:
        self.folder, self.environment, self.notes = folder, environment, notes
        self.digest = hashlib.sha256()
        self.filler = Filler(folder, notes)
        self.entities: dict[str, tuple[str, ...] | None] = {}
        self.destinations: set[str] = set()
        self.synced: dict[tuple[str, str], Spot] = {}
        self.delivered: dict[str, Spot] = {}

    def project(self) -> Project | None:
        """The project, or something unfit for use if there are mistakes."""
        root = self.root()
        if root is None:
            return None
        shape, connections = self.validated(ProjectShape, root), self.connections(root.child("connections"))
        if shape is not None:
            self.warn_of_literals(shape.lake, root.at(["lake"]), "lake")
            self.warn_of_password(root.child("queue"))
            if shape.notify is not None:
                self.warn_of_literals(shape.notify, root.at(["notify"]), "notify")
        flows = list(self.flows())
        syncs = tuple(sync for node, flow in flows for sync in self.syncs(node, flow))
        deliveries = tuple(each for node, flow in flows for each in self.deliveries(node, flow))
        if self.notes.mistakes or shape is None:
            return None
        return Project(
            name=shape.project,
            folder=self.folder,
            environment=self.environment,
            lake=shape.lake.url,
            storage=shape.lake.storage,
            database=shape.database,
            connections=connections,
            syncs=syncs,
            deliveries=deliveries,
            protected=shape.protected,
            keep_messages=shape.keep_messages,
            notify=shape.notify.notify if shape.notify else None,
            queue=shape.queue,
            warnings=tuple(self.notes.warnings),
            secrets=tuple(self.filler.secrets),
            fingerprint=self.digest.hexdigest(),
        )

    def root(self) -> Node | None:
        """postroad.yaml with the environment's overlay merged in and variables filled."""
        if not (self.folder / ROOT).is_file():
            self.notes.mistake(Spot(ROOT), "no-project", f"no {ROOT} in {self.folder}", "postroad init writes one")
            return None
        base = self.read(ROOT)
        overlay = self.overlay() if self.environment is not None else None
        if base is None:
            return None
        base = spelt_out(base)
        if overlay is not None:
            overlay = spelt_out(overlay)
            require_own_books(base, overlay, self.notes)
        return completed(self.filler.fill(merge(base, overlay) if overlay else base), self.filler)

    def read(self, name: str) -> Node | None:
        try:
            with (self.folder / name).open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
        except OSError as error:
            self.notes.mistake(Spot(name), "unreadable", f"the file cannot be read: {error.strerror}")
            return None
        self.digest.update(f"{name}\n".encode() + hashlib.sha256(raw).digest())
        return read_yaml(raw, name, self.notes)

    def overlay(self) -> Node | None:
        names = [path.stem for path in self.files(ENVIRONMENTS)]
        if self.environment in names:
            return self.read(f"{ENVIRONMENTS}/{self.environment}.yaml")
        sentence = f"no environment '{self.environment}'; there are: {one_of(names)}"
        self.notes.mistake(Spot(ENVIRONMENTS), "unknown-environment", sentence, near(str(self.environment), names))
        return None

    def files(self, folder: str) -> list[Path]:
        """The folder's YAML files, sorted; files that look as if they were meant but are not read are warned of."""
        meant = [path for path in (self.folder / folder).rglob("*") if path.suffix.lower() in (".yaml", ".yml")]
        found = sorted(path for path in meant if path.parent.name == folder and path.suffix == ".yaml")
        for path in sorted(set(meant) - set(found)):
            name = path.relative_to(self.folder).as_posix()
            self.notes.warning(Spot(name), "ignored-file", "the file is not read", f"name it {folder}/{path.stem}.yaml")
        return found

    def validated(self, model: type[Model], node: Node, prefix: str = "") -> Model | None:
        try:
            # A connector that does not say what unknown keys mean does not get them: they are misspelt ones.
            return model.model_validate(
                node.plain(),
                extra=None if model.model_config.get("extra") else "forbid",
                context={"folder": self.folder},
            )
        except ValidationError as error:
            note_errors(error, model, node, self.notes, prefix)
            return None

    def connections(self, node: Node | None) -> dict[str, Connection]:
        """The connections whose settings their connectors accept."""
        found = {}
        for name, child in (node.value if node and isinstance(node.value, dict) else {}).items():
            self.entities[name] = None
            connector = self.connector(child.child("connector"))
            if connector is not None:
                settings = self.settings(connector, name, child)
                if settings is not None:
                    self.entities[name] = connector.entities(settings)
                    self.destinations |= {name} if connector.destination is not None else set()
                    found[name] = Connection(name, connector.name, settings)
        return found

    def connector(self, node: Node | None) -> Connector | None:
        """The connector of that name; a missing or mistyped name is told by the shape."""
        if node is None or not isinstance(node.value, str):
            return None
        names = registry.connector_names()
        if node.value not in names:
            sentence = f"no connector '{node.shown()}'; there are: {one_of(names)}"
            self.notes.mistake(node.spot, "unknown-connector", sentence, near(node.value, names))
            return None
        try:
            return registry.load_connector(node.value)
        except (ConfigError, ImportError) as error:
            self.notes.mistake(node.spot, "broken-connector", str(error))
            return None

    def settings(self, connector: Connector, name: str, node: Node) -> BaseModel | None:
        """The connection's settings; everything that stands there except `connector` is the connector's."""
        own = replace(node, value={key: child for key, child in node.value.items() if key != "connector"})
        settings = self.validated(connector.settings, own, f"connections.{name}")
        if settings is not None:
            self.warn_of_literals(settings, own, f"connections.{name}")
        return settings

    def warn_of_literals(self, settings: BaseModel, node: Node, prefix: str) -> None:
        """Note secrets that stand in a file themselves."""
        for path in secret_paths(settings):
            target = node.at(path)
            if isinstance(target.value, str) and target.literal:
                sentence = f"{prefix}.{'.'.join(map(str, path))} holds the secret itself"
                self.notes.warning(target.spot, "literal-secret", sentence, "write secret://NAME and put it in .env")

    def warn_of_password(self, node: Node | None) -> None:
        """Note a queue's address that stands in a file itself, if it holds a password."""
        if node is not None and node.literal and isinstance(node.value, str) and "@" in node.value:
            sentence = "queue holds the password itself"
            self.notes.warning(node.spot, "literal-secret", sentence, "write secret://NAME and put it in .env")

    def flows(self) -> Iterator[tuple[Node, FlowShape | None]]:
        """All flows in the order of their files, as they stand there and, if they are well, validated."""
        for path in self.files(FLOWS):
            raw = self.read(f"{FLOWS}/{path.name}")
            if raw is not None:
                node = self.filler.fill(raw)
                yield node, self.validated(FlowShape, node)

    def syncs(self, node: Node, flow: FlowShape | None) -> Iterator[Sync]:
        """The syncs of a flow, in the order of its lines."""
        self.check_names(node.child("sync"))
        for sync in flow.sync if flow else ():
            reload = Reload(sync.reload.since, sync.reload.every) if sync.reload else None
            yield Sync(
                sync.connection,
                tuple(sync.entities),
                sync.max_deletes,
                sync.max_changes,
                reload,
                sync.stale_after,
                sync.sweep_deletes,
            )

    def deliveries(self, node: Node, flow: FlowShape | None) -> Iterator[Delivery]:
        """The deliveries of a flow; called when all syncs are known."""
        lines = node.child("deliver")
        for place, each in enumerate(flow.deliver if flow else ()):
            line = lines.at([place]) if lines is not None else node
            cleaning = self.cleaning(each, line, place)
            delivery = Delivery(each.dataset, each.to, each.start, cleaning, each.max_lag, each.most_records)
            self.check_delivery(delivery, line)
            yield delivery

    def cleaning(self, shape: DeliverShape, node: Node, place: int) -> Cleaning:
        """What a delivery makes of its rows; notes what is wrong with it whatever the columns are."""
        paths: list[tuple[str | int, ...]] = [("select", place) for place in range(len(shape.select or ()))]
        spots: dict[tuple[str | int, ...], Spot] = {path: node.at(path).spot for path in [*paths, ("where",)]}
        for key, names in (("rename", shape.rename), ("constants", shape.constants)):
            spots |= {(key, name): node.at([key, name]).key for name in names}
        where = None
        if shape.where is not None:
            try:
                where = parse_where(shape.where)
            except WhereError as error:
                # What a variable held is never quoted: it may be a secret.
                why = error if node.at(["where"]).literal else "what the variable holds cannot be read"
                self.notes.mistake(spots["where",], "bad-where", f"deliver.{place}.where: {why}")
        select = None if shape.select is None else tuple(shape.select)
        return Cleaning(select, shape.rename, where, shape.constants, spots)

    def check_delivery(self, delivery: Delivery, node: Node) -> None:
        """Note a dataset that no sync names, a receiver that is none, and a target that takes another dataset."""
        dataset, to = node.at(["dataset"]), node.at(["to"])
        names = [f"{connection}.{entity}" for connection, entity in self.synced]
        if delivery.dataset not in names:
            sentence = f"no sync names the dataset '{dataset.shown()}'; there are: {one_of(names)}"
            self.notes.mistake(dataset.spot, "unknown-dataset", sentence, near(delivery.dataset, names))
        if delivery.destination not in self.destinations:
            sentence = (
                f"no connection '{delivery.destination}' takes deliveries; there are: {one_of(self.destinations)}"
            )
            hint = near(delivery.destination, self.destinations)
            self.notes.mistake(to.spot, "unknown-destination", sentence, hint)
        # To some receivers, as tables of SQLite, upper and lower case are the same.
        named = f"{delivery.destination}.{delivery.target.lower()}"
        first = self.delivered.setdefault(named, to.spot)
        if first != to.spot:
            sentence = f"{named} is delivered to already, in {first.file} on line {first.line}"
            self.notes.mistake(to.spot, "repeated-target", sentence)

    def check_names(self, node: Node | None) -> None:
        """Note connections and entities that do not exist, and entities that are synced twice."""
        for sync in node.value if node and isinstance(node.value, list) else ():
            source, entities = sync.child("from"), sync.child("entities")
            if source is None or not isinstance(source.value, str):
                continue
            if source.value not in self.entities:
                sentence = f"no connection '{source.shown()}'; there are: {one_of(self.entities)}"
                self.notes.mistake(source.spot, "unknown-connection", sentence, near(source.value, self.entities))
                continue
            for entity in entities.value if entities and isinstance(entities.value, list) else ():
                self.check_entity(source.value, entity)

    def check_entity(self, connection: str, node: Node) -> None:
        known, entity = self.entities[connection], node.value
        if known is None or not isinstance(entity, str):
            return
        if entity not in known:
            sentence = f"connection '{connection}' has no entity '{node.shown()}'; there are: {one_of(known)}"
            self.notes.mistake(node.spot, "unknown-entity", sentence, near(entity, known))
            return
        first = self.synced.setdefault((connection, entity), node.spot)
        if first != node.spot:
            sentence = f"{connection}.{entity} is synced already, in {first.file} on line {first.line}"
            self.notes.mistake(node.spot, "repeated-entity", sentence)
