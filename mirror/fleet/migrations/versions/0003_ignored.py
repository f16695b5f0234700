"""What each engine ignores by the site's order."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.add_column("engines", sa.Column("ignored", sa.Text, nullable=False, server_default="[]"))
