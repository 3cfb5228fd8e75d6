"""Since when a run waits."""

from alembic import op
from sqlalchemy import BigInteger, Column, inspect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `wait_begun_at` to runs, unless 0001 created the newest tables; nobody knows it of a run that waits now."""
    if "wait_begun_at" not in {each["name"] for each in inspect(op.get_bind()).get_columns("runs")}:
        op.add_column("runs", Column("wait_begun_at", BigInteger))
