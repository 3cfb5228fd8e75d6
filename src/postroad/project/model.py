"""What a project is, read from a folder or built in Python: connections, what is synced from them, and delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from postroad.errors import ConfigError, Mistake
from postroad.project.cleaning import Cleaning
from postroad.project.variables import SecretReference
from postroad.sdk.secrets import Secret

LAKE = "./lake"
DATABASE = "sqlite:///postroad.db"
SQLITE = "sqlite:///"
POSTGRESQL = "postgresql://"
AZURE = "az://"
MANAGED_IDENTITY = "managed_identity"
AZURE_CLI = "azure_cli"
CURRENT = "current"
BEGINNING = "beginning"
KEEP_MESSAGES = 30 * 86_400.0  # seconds


@dataclass(frozen=True)
class Allowance:
    """How many rows a close may touch before a person is asked: the greater of `rows` and `percent` of the scope."""

    rows: int = 100
    percent: float = 10

    def of(self, scope_rows: int) -> int:
        """The most for a scope that has so many rows."""
        return max(self.rows, int(scope_rows * self.percent / 100))


@dataclass(frozen=True)
class Reload:
    """The rows from a day on are read anew: `since` a day or words that move with the calendar, `every` seconds."""

    since: str
    every: float


@dataclass(frozen=True)
class Connection:
    """A configured remote system. `settings` is an instance of its connector's settings model."""

    name: str
    connector: str
    settings: BaseModel


@dataclass(frozen=True)
class Sync:
    """These entities of one connection are kept in step in the lake.

    `max_deletes` bounds what a close deletes, `max_changes` (None: no bound) what it touches at all. `reload` reads a
    part of each entity anew now and then. An entity that is out of step for `stale_after` seconds is told of (None: a
    day, or twice as long as it may go without being looked at). Every `sweep_deletes` seconds the keys alone are read,
    and what is gone is deleted.
    """

    connection: str
    entities: tuple[str, ...]
    max_deletes: Allowance = Allowance()
    max_changes: Allowance | None = None
    reload: Reload | None = None
    stale_after: float | None = None
    sweep_deletes: float | None = None


@dataclass(frozen=True)
class MailServer:
    """The SMTP server that takes our mail; `security` is `starttls`, `tls` or `none`. A `user` signs in."""

    host: str
    port: int
    security: str
    user: str | None = None
    password: Secret | None = None


@dataclass(frozen=True)
class Notify:
    """Who is told by e-mail what a person should know, in whose name, and by which server."""

    to: tuple[str, ...]
    sender: str
    server: MailServer


@dataclass(frozen=True)
class Delivery:
    """Every change of one dataset goes to a target of a destination: both are `<connection>.<name>`.

    `start` says what a receiver that is new gets first: the current rows, the history from its beginning, or the
    changes of a day (UTC) and later ones. A target takes one dataset, so its name is that of the subscription.
    `cleaning` says what of its rows goes there, and under which names. Where a message waited for more than `max_lag`
    seconds (None: it waits as long as it has to), the receiver gets the current rows instead of what waits. A message
    has `most_records` at most (None: as the engine has it).
    """

    dataset: str
    to: str
    start: str = CURRENT
    cleaning: Cleaning = field(default_factory=Cleaning)
    max_lag: float | None = None
    most_records: int | None = None

    @property
    def connection(self) -> str:
        """The connection that the dataset comes from."""
        return self.dataset.partition(".")[0]

    @property
    def entity(self) -> str:
        """The entity that the dataset holds."""
        return self.dataset.partition(".")[2]

    @property
    def destination(self) -> str:
        """The connection that the dataset goes to."""
        return self.to.partition(".")[0]

    @property
    def target(self) -> str:
        """What it is called there."""
        return self.to.partition(".")[2]

    @property
    def offset(self) -> int | None:
        """The `_version` after which its subscription begins; None where that begins with the current rows."""
        if self.start in (CURRENT, BEGINNING):
            return None if self.start == CURRENT else 0
        midnight = datetime.combine(date.fromisoformat(self.start), time.min, UTC)
        return int(midnight.timestamp() * 1e6) - 1


@dataclass(frozen=True)
class StorageAccount:
    """The account of Azure Storage that holds a lake on `az://`.

    Who we are there: the holder of `key` or `sas`, else an identity, of this machine or of whoever called `az login`.
    """

    name: str
    key: Secret | None = None
    sas: Secret | None = None
    identity: str = MANAGED_IDENTITY
    endpoint: str | None = None

    def options(self) -> dict[str, str]:
        """The same under the names of delta-rs and obstore, secrets looked up now. Never keep or log it."""
        found = {"account_name": self.name}
        if self.key is not None:
            found["account_key"] = self.key.reveal()
        elif self.sas is not None:
            found["sas_token"] = self.sas.reveal().removeprefix("?")
        elif self.identity == AZURE_CLI:
            found["use_azure_cli"] = "true"
        if self.endpoint is not None:
            found |= {"azure_storage_endpoint": self.endpoint}
            found |= {"allow_http": "true"} if self.endpoint.startswith("http://") else {}
        return found


@dataclass(frozen=True)
class Project:
    """A project in one environment. `lake` and `database` are as written; the properties are what to open.

    `storage` is the account that holds a lake on `az://`, `queue` the address of the broker that hands out messages;
    without one the database does. Without `notify` nobody is told anything. `fingerprint` is a
    digest of the files it was read from, without `.env` and secrets. `warnings` are what reading found dubious. The
    database's URL may hold a password and is not shown. A message is remembered for `keep_messages` seconds once it is
    settled.
    """

    name: str
    folder: Path
    environment: str | None = None
    lake: str = LAKE
    database: str = field(default=DATABASE, repr=False)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    syncs: tuple[Sync, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    protected: bool = False
    warnings: tuple[Mistake, ...] = ()
    secrets: tuple[SecretReference, ...] = ()
    fingerprint: str = ""
    storage: StorageAccount | None = None
    notify: Notify | None = None
    queue: Secret | None = None
    keep_messages: float = KEEP_MESSAGES

    def __post_init__(self) -> None:
        if self.lake.startswith(AZURE) and self.storage is None:
            raise ConfigError(f"the lake {self.lake} of project '{self.name}' needs its storage account")
        for sync in self.syncs:
            if sync.connection not in self.connections:
                raise ConfigError(f"a sync from '{sync.connection}', which is no connection of project '{self.name}'")
        for each in self.deliveries:
            if each.destination not in self.connections:
                raise ConfigError(f"a delivery to '{each.to}', which is on no connection of project '{self.name}'")

    @property
    def lake_folder(self) -> Path | None:
        """The lake's folder, absolute; None where it lies on an object store."""
        return None if self.lake.startswith(AZURE) else (self.folder / self.lake).resolve()

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, absolute; None on PostgreSQL."""
        if not self.database.startswith(SQLITE):
            return None
        return (self.folder / self.database.removeprefix(SQLITE)).resolve()

    @property
    def database_url(self) -> str:
        """The database's URL with an absolute SQLite path; may hold a password."""
        return f"{SQLITE}{self.database_file}" if self.database_file else self.database

    def settings(self, connection: str) -> Any:
        """The settings of that connection."""
        return self.connections[connection].settings
