"""Alerts, and the mails that tell them."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Integer, String, Text, inspect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    """Create `alerts` and `mails`.

    A database that began with this version of 0001 has them: that one creates the newest tables.
    """
    if inspect(op.get_bind()).has_table("alerts"):
        return
    op.create_table(
        "alerts",
        Column("id", NUMBER, primary_key=True, autoincrement=True),
        Column("topic", String, nullable=False),
        Column("state", Text, nullable=False),
        Column("happened", String, nullable=False),
        Column("subject", Text, nullable=False),
        Column("text", Text, nullable=False),
        Column("since_at", BigInteger, nullable=False),
        Column("noted_at", BigInteger, nullable=False),
        Column("mail", BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("alerts_of_a_topic", "alerts", ["topic", "id"])
    op.create_index("alerts_of_a_mail", "alerts", ["mail"])
    op.create_table(
        "mails",
        Column("id", NUMBER, primary_key=True, autoincrement=True),
        Column("message_id", String, nullable=False),
        Column("answers", JSON, nullable=False),
        Column("made_at", BigInteger, nullable=False),
        Column("done_at", BigInteger),
        sqlite_autoincrement=True,
    )
