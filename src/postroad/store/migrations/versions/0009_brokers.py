"""Brokers: when a message was given to one, and when that said that it has it."""

from alembic import op
from sqlalchemy import BigInteger, Column, inspect

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. A database that began with this version of 0001 has them."""
    known = {each["name"] for each in inspect(op.get_bind()).get_columns("messages")}
    for name in ("published_at", "confirmed_at"):
        if name not in known:
            op.add_column("messages", Column(name, BigInteger))
