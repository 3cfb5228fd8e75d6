"""Settled messages are dropped after a time: an index finds them."""

from alembic import op
from sqlalchemy import inspect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index messages by when they were settled."""
    if "messages_by_end" not in {each["name"] for each in inspect(op.get_bind()).get_indexes("messages")}:
        op.create_index("messages_by_end", "messages", ["settled_at"])
