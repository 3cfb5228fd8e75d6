"""Subscriptions whose messages are sent in the order of their commits, one at a time."""

from alembic import op
from sqlalchemy import Boolean, Column, false, inspect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Those that are there go on in any order."""
    known = {each["name"] for each in inspect(op.get_bind()).get_columns("subscriptions")}
    if "ordered" not in known:
        op.add_column("subscriptions", Column("ordered", Boolean, nullable=False, server_default=false()))
