"""Walks of a part of an entity, and columns that the remote system does not send."""

from typing import Any

from alembic import op
from sqlalchemy import JSON, Boolean, Column, false, inspect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `bounds`, `confirmed` and `absent` to walks, `absent` to entities.

    A database that began with this version of 0001 has them: that one creates the newest tables.
    """
    _add("walks", Column("bounds", JSON))
    _add("walks", Column("confirmed", Boolean, nullable=False, server_default=false()))
    _add("walks", Column("absent", JSON))
    _add("entities", Column("absent", JSON))


def _add(table: str, column: Column[Any]) -> None:
    if column.name not in {each["name"] for each in inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
