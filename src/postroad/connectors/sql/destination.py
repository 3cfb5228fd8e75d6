"""The writing half of the connector: keyed upserts, guarded by the version, one transaction for each package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Column, Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.schema import CreateColumn

from postroad.connectors.sql import reading
from postroad.connectors.sql.errors import named_errors
from postroad.connectors.sql.settings import SqlSettings
from postroad.connectors.sql.tables import DELETED, table_of, upsert, values_of
from postroad.errors import AuthError, BatchRefusedError, ConfigError, PostroadError
from postroad.records import VERSION, Check, Entity, Outcome, Package
from postroad.sdk.connector import Tools

AT_ONCE = 1_000  # rows that are Python objects at one time
PATIENCE = 30  # seconds that SQLite waits for another writer
KINDS = ("sqlite", "postgresql")


class SqlDestination:
    """The tables of one database."""

    gathers = True

    def __init__(self, settings: SqlSettings, tools: Tools) -> None:
        self._settings = settings
        self._folder = tools.folder
        self._ready: dict[str, tuple[Entity, Any]] = {}  # the statement that writes to each target

    def check(self) -> Iterator[Check]:
        """See `Destination.check`."""
        try:
            with named_errors(self._where), self._engine.connect() as db:
                db.execute(text("SELECT 1"))
        except PostroadError as error:
            yield Check("reach the database", False, str(error))
            return
        yield Check("reach the database", True, f"{self._where} answers")

    def discover(self) -> Iterator[Entity]:
        """Tables that Postroad made, which their columns tell; without types, which SQLite has not."""
        with named_errors(self._where):
            found = inspect(self._engine)
            for name in sorted(found.get_table_names()):
                columns = [each["name"] for each in found.get_columns(name)]
                if {VERSION.name, DELETED} <= {*columns}:
                    key = found.get_pk_constraint(name)["constrained_columns"]
                    yield Entity(name, tuple(key), pa.schema([(each, pa.null()) for each in columns]))

    def render(self, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """One package: what one transaction writes."""
        yield Package(values_of(target, records, exact=self._exact), records.num_rows)

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """Write one package. What a newer version stands for already is left alone, and counts as applied."""
        try:
            self._write(target, package.body)
        except AuthError:
            self.close()  # the secret may have been changed: it is read again, once
            self._write(target, package.body)
        return [Outcome(range(package.records))]

    def keys(self, target: Entity) -> Iterator[pa.RecordBatch]:
        """See `Readable.keys`."""
        with named_errors(f"{self._where}, table {target.name}"):
            yield from reading.keys(self._engine, target, exact=self._exact)

    def read(self, target: Entity, keys: pa.Table) -> pa.RecordBatch:
        """See `Readable.read`."""
        with named_errors(f"{self._where}, table {target.name}"):
            return reading.read(self._engine, target, keys, exact=self._exact)

    def _write(self, target: Entity, rows: pa.RecordBatch) -> None:
        try:
            with named_errors(f"{self._where}, table {target.name}"):
                statement = self._statement(target)
                with self._engine.begin() as db:
                    for start in range(0, rows.num_rows, AT_ONCE):
                        # A driver takes values one by one, so here alone rows are Python objects, a thousand at a time.
                        db.execute(statement, rows.slice(start, AT_ONCE).to_pylist())
        except PostroadError:
            self._ready.pop(target.name, None)  # somebody may have dropped the table
            raise

    def close(self) -> None:
        """See `Destination.close`; what is used after it connects anew."""
        engine = self.__dict__.pop("_engine", None)
        if engine is not None:
            engine.dispose()
        self.__dict__.pop("_url", None)

    @cached_property
    def _url(self) -> URL:
        try:
            url = make_url(self._settings.url.reveal())
        except (ArgumentError, ValueError):  # of a port that is none
            raise ConfigError("the url of a sql connection cannot be read: sqlite:///FILE or postgresql://…") from None
        if url.get_backend_name() not in KINDS:
            raise ConfigError(f"a sql connection takes {' or '.join(KINDS)}, not {url.get_backend_name()}")
        if url.get_backend_name() == "postgresql":
            return url.set(drivername="postgresql+psycopg")
        if not url.database or url.database == ":memory:":
            raise ConfigError("the url of a sql connection names no file: sqlite:///FILE")
        return url.set(database=str(Path(self._folder, url.database).absolute()))

    @property
    def _exact(self) -> bool:
        return self._url.get_backend_name() == "postgresql"

    @property
    def _where(self) -> str:
        """The database without its password."""
        if not self._exact:
            return str(self._url.database)
        return f"{self._url.host}/{self._url.database}"

    @cached_property
    def _engine(self) -> Engine:
        try:
            made = create_engine(
                self._url,
                pool_pre_ping=self._exact,
                hide_parameters=True,
                # Values and answers are texts of JSON: what is a number in them must not become a float on the way.
                json_serializer=_same,
                json_deserializer=_same,
                connect_args={} if self._exact else {"timeout": PATIENCE},
            )
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(f"PostgreSQL needs the extra postroad[postgresql]: {error}") from None
        if not self._exact:
            event.listen(made, "connect", _leave_begin_to_us)
            event.listen(made, "begin", _begin)
        return made

    def _statement(self, target: Entity) -> Any:
        """What writes to the target, whose table is made or widened if need be, once for each set of columns."""
        known = self._ready.get(target.name)
        if known is not None and known[0] == target:
            return known[1]
        table = table_of(target, exact=self._exact)
        try:
            with named_errors(f"{self._where}, table {target.name}"):
                self._prepared(table)
        except BatchRefusedError as error:  # there is no record in it yet: an option of the url, too many columns
            raise ConfigError(str(error)) from None
        self._ready[target.name] = target, upsert(table, exact=self._exact)
        return self._ready[target.name][1]

    def _prepared(self, table: Table) -> None:
        try:
            self._prepare(table)
        except DBAPIError:
            self._prepare(table)  # another worker made or widened it meanwhile; else it fails again

    def _prepare(self, table: Table) -> None:
        with self._engine.begin() as db:
            if not inspect(db).has_table(table.name):
                table.create(db)
                return
            found = {each["name"] for each in inspect(db).get_columns(table.name)}
            key = inspect(db).get_pk_constraint(table.name)["constrained_columns"]
            wanted = [column.name for column in table.primary_key]
            if not {VERSION.name, DELETED} <= found or sorted(key) != sorted(wanted):
                raise ConfigError(
                    f"table {table.name} is there already and is none of ours, or has another key than "
                    f"{', '.join(wanted)}: name another target, or rename the table"
                )
            for column in table.columns:
                if column.name not in found:
                    _add(db, table, column)


def _add(db: Connection, table: Table, column: Column[Any]) -> None:
    quoted = db.dialect.identifier_preparer.quote(table.name)
    # Past SQLAlchemy's own reading of a text: what looks like a parameter in a name is none, and is quoted already.
    db.exec_driver_sql(f"ALTER TABLE {quoted} ADD COLUMN {CreateColumn(column).compile(dialect=db.dialect)}")


def _same(text: str) -> str:
    return text


def _leave_begin_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    """A write from its first statement on, so that two workers wait for each other instead of failing half-way."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
