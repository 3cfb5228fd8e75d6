"""Deliveries: subscriptions, messages, their moves, and records that a receiver refused."""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, String, inspect

from postroad.store.schema import metadata

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the three tables, and give rejections their subscription and version.

    A database that began with this version of 0001 has them: that one creates the newest tables.
    """
    metadata.create_all(op.get_bind(), [metadata.tables[name] for name in ("subscriptions", "messages", "moves")])
    _add("rejections", Column("subscription", String))
    _add("rejections", Column("version", BigInteger))


def _add(table: str, column: Column[Any]) -> None:
    if column.name not in {each["name"] for each in inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
