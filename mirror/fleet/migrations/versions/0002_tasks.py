"""What hosts are asked to do, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NAME = sa.String(200)
_TIME = sa.String(27)


def upgrade() -> None:
    """Make the tables of tasks."""
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("added", _TIME, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("begins", _TIME, nullable=False),
        sa.Column("ends", _TIME, nullable=False),
        sa.Column("cancelled", _TIME),
        sa.Column("cancelled_by", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("signatures", sa.Text, nullable=False),
    )
    op.create_index("tasks_by_end", "tasks", ["ends"])
    op.create_table(
        "task_runs",
        sa.Column("task", sa.String(16), primary_key=True),
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("due", _TIME, primary_key=True),
        sa.Column("handed", _TIME, nullable=False),
        sa.Column("outcome", _NAME, nullable=False),
        sa.Column("at", _TIME),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("task_runs_by_host", "task_runs", ["host", "due"])


def downgrade() -> None:
    """Drop them; what hosts were asked to do is forgotten."""
    for name in ("task_runs", "tasks"):
        op.drop_table(name)
