"""The writing half of the connector: keyed upserts, guarded by the version, one unordered bulk write a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
from pymongo import MongoClient, WriteConcern

from postroad.connectors.mongodb import reading
from postroad.connectors.mongodb.bulk import Bulk
from postroad.connectors.mongodb.errors import named_errors
from postroad.connectors.mongodb.operations import ID, cut, operations
from postroad.connectors.mongodb.settings import MongoSettings
from postroad.connectors.mongodb.targets import ROWS, Db, prepare, rows_name
from postroad.errors import AuthError, ConfigError, PostroadError
from postroad.records import VERSION, Check, Entity, Outcome, Package
from postroad.sdk.connector import Tools

PATIENCE = 10_000  # milliseconds until there is a primary
# What the url may say otherwise. A member that is gone is found within the patience, and a silent one in a minute.
DEFAULTS = {
    "appName": "postroad",
    "connectTimeoutMS": PATIENCE,
    "serverSelectionTimeoutMS": PATIENCE,
    "socketTimeoutMS": 60_000,
}
NEEDED = {"find", "insert", "update", "createIndex", "dropIndex", "createCollection", "listCollections"}


class MongoDestination:
    """The collections of one database."""

    gathers = True

    def __init__(self, settings: MongoSettings, tools: Tools) -> None:
        self._settings = settings
        self._clock = tools.clock
        self._ready: dict[str, Entity] = {}

    def check(self) -> Iterator[Check]:
        """See `Destination.check`."""
        step = "reach the server"
        try:
            with named_errors(self._where):
                version = self._client.server_info()["version"]
                yield Check(step, True, f"{self._where} answers, version {version}")
                step = "sign in"
                self._database.list_collection_names()
                yield Check(step, True)
                step = "rights"
                told = self._database.command("connectionStatus", showPrivileges=True)["authInfo"]
                yield rights(told, self._settings.database)
        except PostroadError as error:
            yield Check(step, False, str(error))

    def discover(self) -> Iterator[Entity]:
        """Collections whose documents have a version, by the fields of one document; without types."""
        with named_errors(self._where):
            views = {}
            for each in self._database.list_collections():
                if each["type"] == "view" and each["options"].get("viewOn") == each["name"] + ROWS:
                    views[each["name"] + ROWS] = each["name"]
            for name in sorted(self._database.list_collection_names(filter={"type": "collection"})):
                found = None if name.startswith("system.") else self._database[name].find_one()
                if found is not None and isinstance(found.get(VERSION.name), int):
                    key = tuple(found[ID]) if isinstance(found[ID], Mapping) else (ID,)
                    yield Entity(views.get(name, name), key, pa.schema([(each, pa.null()) for each in found]))

    def render(self, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """Packages of what one bulk write carries."""
        for piece in cut(records):
            yield Package(operations(target, piece, self._settings), piece.num_rows)

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """Write one package. What the collection has already, or newer, counts as unchanged."""
        try:
            return self._write(target, package.body)
        except AuthError:
            self.close()  # the secret may have been changed: it is read again, once
            return self._write(target, package.body)

    def keys(self, target: Entity) -> Iterator[pa.RecordBatch]:
        """See `Readable.keys`."""
        with named_errors(f"{self._where}, collection {target.name}"):
            yield from reading.keys(self._database, target, self._settings)

    def read(self, target: Entity, keys: pa.Table) -> pa.RecordBatch:
        """See `Readable.read`."""
        with named_errors(f"{self._where}, collection {target.name}"):
            return reading.read(self._database, target, keys, self._settings)

    def key_of(self, target: Entity, identity: str) -> Sequence[Any] | None:
        """See `Identified.key_of`."""
        with named_errors(f"{self._where}, collection {target.name}"):
            return reading.key_of(self._database, target, identity, self._settings)

    def _write(self, target: Entity, body: pa.RecordBatch) -> Sequence[Outcome]:
        where = f"{self._where}, collection {target.name}"
        try:
            with named_errors(where):
                if self._ready.get(target.name) != target:
                    prepare(self._database, target, self._settings)
                    self._ready[target.name] = target
                rows = self._database[rows_name(target.name, self._settings)]
                now = datetime.fromtimestamp(self._clock(), UTC)
                return Bulk(rows, body, where, now, soft=self._settings.deletes == "soft").write()
        except PostroadError:
            self._ready.pop(target.name, None)  # somebody may have dropped the collection
            raise

    def close(self) -> None:
        """See `Destination.close`; what is used after it connects anew."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()
        self.__dict__.pop("_database", None)

    @property
    def _where(self) -> str:
        """The database, without the address, which may hold a password."""
        return f"database {self._settings.database}"

    @cached_property
    def _client(self) -> MongoClient[dict[str, Any]]:
        url = self._settings.url.reveal()
        said = url.partition("?")[2].lower()
        options: dict[str, Any] = {name: value for name, value in DEFAULTS.items() if name.lower() not in said}
        try:
            return MongoClient(url, **options)
        except (ValueError, OSError) as error:  # a port that is none, a file of certificates that is not there
            raise ConfigError(f"the url of a mongodb connection is not understood: {type(error).__name__}") from None

    @cached_property
    def _database(self) -> Db:
        concern = WriteConcern(w=self._settings.write_concern, j=self._settings.journal, wtimeout=PATIENCE * 3)
        return self._client.get_database(self._settings.database, write_concern=concern)


def rights(told: Mapping[str, Any], database: str) -> Check:
    """Whether the rights that a server lists are enough for every collection of the database."""
    listed = told.get("authenticatedUserPrivileges", ())
    if not told.get("authenticatedUsers"):
        return Check("rights", True, "it asks for no sign-in")
    if not listed:
        return Check("rights", True, "it does not list them: the first message tells")
    given = {action for each in listed if _covers(each["resource"], database) for action in each["actions"]}
    missing = ", ".join(sorted(NEEDED - given))
    sentence = f"may not {missing}: give it the role readWrite on {database}" if missing else ""
    return Check("rights", not missing, sentence or f"may read and write in {database}")


def _covers(resource: Mapping[str, Any], database: str) -> bool:
    if resource.get("anyResource"):
        return True
    return resource.get("db") in {"", database} and resource.get("collection") == ""
