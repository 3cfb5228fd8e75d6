"""Alembic's entry point: runs the migrations on the engine that `migrate` hands over."""

from alembic import context

from postroad.store.migrations import lock
from postroad.store.schema import metadata

engine = context.config.attributes["engine"]

with engine.connect() as connection:
    lock(connection)
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
    connection.commit()
