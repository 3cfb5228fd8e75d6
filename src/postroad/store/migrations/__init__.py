"""Brings a database to the newest schema; called whenever one is opened.

An empty database is given the newest schema at once; an older one is migrated by Alembic. Either is one transaction
together with the version's row: a crash before it leaves what was there, a crash after it the new schema, and the next
open goes on from there. A test compares the two ways.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from postroad.store.schema import metadata

NEWEST = "0013"
LOCK = 1886352244  # the advisory lock of whoever changes the schema on PostgreSQL


def upgrade(engine: Engine) -> None:
    """Apply what is missing. A database that is up to date costs one query; a new one does not import Alembic."""
    current = _current(engine)
    if current == NEWEST or (current is None and _created(engine)):
        return
    migrate(engine)


def migrate(engine: Engine) -> None:
    """Apply the migrations that are missing, one after the other."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["engine"] = engine
    command.upgrade(config, "head")


def lock(connection: Connection) -> None:
    """Begin a transaction in which nobody else changes the schema: a second process waits and finds all done."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _created(engine: Engine) -> bool:
    """Give an empty database the newest schema; False if somebody else was faster."""
    with engine.connect() as connection:
        lock(connection)
        if inspect(connection).has_table("alembic_version"):
            return False
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:newest)"), {"newest": NEWEST})
        connection.commit()
        return True


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return version
