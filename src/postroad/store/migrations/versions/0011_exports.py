"""The audit files that keep what tracking has forgotten of settled messages."""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, String, Text, inspect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create `exports`."""
    if inspect(op.get_bind()).has_table("exports"):
        return
    op.create_table(
        "exports",
        Column("path", Text, primary_key=True),
        Column("subscription", String, primary_key=True),
        Column("from_version", BigInteger, nullable=False),
        Column("to_version", BigInteger, nullable=False),
        Column("begins", Boolean, nullable=False),
        Column("messages", BigInteger, nullable=False),
    )
    op.create_index("exports_by_version", "exports", ["subscription", "to_version"])
