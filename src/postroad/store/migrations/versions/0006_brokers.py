"""Brokers: when a message was given to one, and its place among those that were dispatched with it."""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, inspect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. A database that began with this version of 0001 has them."""
    for name, kind in (("batch_number", Integer), ("batch_count", Integer)):
        _add(Column(name, kind))
    for name in ("published_at", "confirmed_at"):
        _add(Column(name, BigInteger))


def _add(column: Column[Any]) -> None:
    if column.name not in {each["name"] for each in inspect(op.get_bind()).get_columns("messages")}:
        op.add_column("messages", column)
