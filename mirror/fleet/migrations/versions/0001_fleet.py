"""The fleet's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NAME = sa.String(200)
_TIME = sa.String(27)
_NUMBERED = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "hosts",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("first_seen", _TIME, nullable=False),
        sa.Column("received", _TIME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("series", sa.String(128), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("sigupdate", _NAME, nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("refreshed", _TIME),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("detections", sa.BigInteger),
        sa.Column("seats", sa.BigInteger),
        sa.Column("public_key", sa.String(128), nullable=False),
        sa.Column("told", sa.String(64), nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    op.create_table(
        "engines",
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("engine", _NAME, primary_key=True),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("track", _NAME, nullable=False),
        sa.Column("outcome", _NAME, nullable=False),
        sa.Column("proof", _NAME, nullable=False),
        sa.Column("proof_at", _TIME),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("installed_at", _TIME),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("held", sa.Text, nullable=False),
        sa.Column("quarantined", sa.Text, nullable=False),
    )
    op.create_table(
        "loads",
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("engine", _NAME, primary_key=True),
        sa.Column("channel", _NAME, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("release", _NAME, nullable=False),
        sa.Column("published", _TIME),
        sa.Column("assurance", _NAME, nullable=False),
    )
    op.create_index("loads_by_channel", "loads", ["channel", "sequence"])
    op.create_table(
        "reports",
        sa.Column("id", _NUMBERED, primary_key=True),
        sa.Column("host", _NAME, nullable=False),
        sa.Column("series", sa.String(128), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("received", _TIME, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
        sa.UniqueConstraint("host", "series", "number", name="one_report"),
    )
    op.create_index("reports_by_age", "reports", ["received"])
    op.create_table(
        "statements",
        sa.Column("id", _NUMBERED, primary_key=True),
        sa.Column("host", _NAME, nullable=False),
        sa.Column("received", _TIME, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("public_key", sa.String(128), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.Column("before", sa.String(64), nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    op.create_index("statements_by_host", "statements", ["host", "id"])
    op.create_table(
        "history",
        sa.Column("id", _NUMBERED, primary_key=True),
        sa.Column("host", _NAME, nullable=False),
        sa.Column("engine", _NAME, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("statement", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("host", "engine", "chain", name="one_line"),
    )
    op.create_index("history_by_time", "history", ["at"])


def downgrade() -> None:
    """Drop them; what hosts reported is lost."""
    for name in ("history", "statements", "reports", "loads", "engines", "hosts"):
        op.drop_table(name)
