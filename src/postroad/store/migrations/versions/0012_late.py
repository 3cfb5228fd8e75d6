"""Up to which rejection somebody has looked whether the receiver holds a newer version."""

from alembic import op
from sqlalchemy import BigInteger, Column, inspect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. What is open already is looked at once."""
    known = {each["name"] for each in inspect(op.get_bind()).get_columns("subscriptions")}
    if "looked" not in known:
        op.add_column("subscriptions", Column("looked", BigInteger, nullable=False, server_default="0"))
