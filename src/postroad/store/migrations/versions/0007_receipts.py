"""Messages that are handed over: their place among those dispatched at once, what a receipt quotes, and the marks."""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, inspect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Messages that are there are batches of their own; their time of dispatch is what they quote."""
    known = {each["name"] for each in inspect(op.get_bind()).get_columns("messages")}
    columns: list[Column[Any]] = [
        Column("batch", BigInteger),
        Column("batches", BigInteger),
        Column("receipt", String),
        Column("handovers", Integer, nullable=False, server_default="0"),
        Column("handed_at", BigInteger),
    ]
    for column in columns:
        if column.name not in known:
            op.add_column("messages", column)
    op.execute(
        "UPDATE messages SET batch = 1, batches = 1, receipt = CAST(dispatched_at AS VARCHAR) WHERE receipt IS NULL"
    )
