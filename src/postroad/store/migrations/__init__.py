"""Brings a database to the newest schema; called whenever one is opened.

Alembic runs each migration in a transaction together with its version row: a crash before it leaves the old schema,
a crash after it the new one, and the next open goes on from there.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text

NEWEST = "0001"


def upgrade(engine: Engine) -> None:
    """Apply what is missing. A database that is up to date costs one query and does not import Alembic."""
    if _current(engine) == NEWEST:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["engine"] = engine
    command.upgrade(config, "head")


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return version
