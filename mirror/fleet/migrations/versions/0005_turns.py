"""When each host turned from well to not well, or back."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.add_column("hosts", sa.Column("turns", sa.Text, nullable=False, server_default="[]"))
