"""The tables of the spine: feeds, walks, payloads, files, rejections, runs, leases, budgets."""

from alembic import op

from postroad.store.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table; later migrations alter them one by one."""
    metadata.create_all(op.get_bind())
