"""Open rejections of a subscription are found by their keys."""

from alembic import op
from sqlalchemy import inspect

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    known = {each["name"] for each in inspect(op.get_bind()).get_indexes("rejections")}
    if "rejections_of_a_subscription" not in known:
        op.create_index("rejections_of_a_subscription", "rejections", ["subscription", "status", "key"])
