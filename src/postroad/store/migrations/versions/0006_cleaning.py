"""Cleaning: a subscription knows the rule that its rows were sent under."""

from alembic import op
from sqlalchemy import Column, String, inspect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give subscriptions their rule; one without it sends whole rows."""
    if "cleaning" not in {each["name"] for each in inspect(op.get_bind()).get_columns("subscriptions")}:
        op.add_column("subscriptions", Column("cleaning", String))
