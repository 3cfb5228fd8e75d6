"""Transactions on the project's database.

Every write is one short transaction that passes a durable point when it has committed; a crash before leaves nothing,
a crash after leaves all of it. Writers take turns on both databases: SQLite by BEGIN IMMEDIATE, PostgreSQL by one
advisory lock, so a read within a write transaction is never stale (run_engine.md, rule 5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from postroad.errors import ConfigError, DatabaseError, StateError
from postroad.store import migrations
from postroad.telemetry import Point, Watcher, unwatched

WRITERS = 0x706F7374  # the advisory lock that all writers of one PostgreSQL database share
FROZEN = 60_000  # milliseconds that a writer may say nothing: then PostgreSQL ends its transaction, and others go on

# Of libpq, unless the address says otherwise: a host that vanished is noticed within a minute, not within hours.
NOTICED: dict[str, str | tuple[str, ...]] = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

_TURN = text("SELECT pg_advisory_xact_lock(:key), set_config('idle_in_transaction_session_timeout', :frozen, true)")


class Database:
    """One SQLite file or PostgreSQL database; opens at the newest schema.

    Every method raises DatabaseError if it does not answer.
    `clock` gives seconds since 1970 and is injected by tests; without it leases follow the clock of PostgreSQL,
    which all workers share, or of this machine on SQLite.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None, watcher: Watcher = unwatched) -> None:
        try:
            self.url = make_url(url)
        except ValueError:  # of a port that is none; SQLAlchemy quotes it, and it may be the end of a password
            raise ConfigError("database: its port is no number; a password's / : @ are written %2F %3A %40") from None
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.watcher = watcher
        self._clock = clock
        url_ = self.url if self.sqlite else _psycopg(self.url)
        # Whoever waited for his turn sees what was written meanwhile, whatever this database has for others.
        options = {} if self.sqlite else {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
        self._engine = create_engine(url_, **options)
        if self.sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
        with _named_errors():
            migrations.upgrade(self._engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent look at the database; writes nothing."""
        with _named_errors(), self._engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection
            connection.rollback()

    @contextmanager
    def write(self, point: Point) -> Iterator[Connection]:
        """One write transaction, rolled back on any error; passes `point` once it is durable."""
        with _named_errors(), self._engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(_TURN, {"key": WRITERS, "frozen": str(FROZEN)})
            yield connection
            connection.commit()
        self.watcher(point)

    def now(self, connection: Connection) -> int:
        """The time that leases follow, in microseconds since 1970."""
        if self._clock is not None:
            return int(self._clock() * 1e6)
        if self.sqlite:
            return time.time_ns() // 1000
        stamp = connection.execute(text("SELECT extract(epoch FROM clock_timestamp()) * 1000000")).scalar_one()
        return int(stamp)

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()


def _psycopg(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg", query={**NOTICED, **url.query})


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, OperationalError) or error.connection_invalidated:
            raise DatabaseError(f"the project's database did not answer: {error.orig}") from error
        raise


def _prepare_sqlite(connection: object, _record: object) -> None:
    """Settings of run_engine.md, rule 5; `isolation_level=None` leaves BEGIN to us."""
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA busy_timeout=30000")
    mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode not in ("wal", "memory"):
        raise StateError("SQLite cannot keep a write-ahead log here, as on a network share: use PostgreSQL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
