"""Alembic's entry point: runs the migrations on the engine that `upgrade` hands over."""

from alembic import context
from sqlalchemy import text

from postroad.store.schema import metadata

engine = context.config.attributes["engine"]

with engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        # Two processes may open a new project at once: the second waits here and then finds everything done.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(1886352244)"))
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
    connection.commit()
