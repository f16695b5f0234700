"""The fleet's tables: what hosts reported, and what each of them runs as far as is known.

``reports`` and ``statements`` are only ever added to, each host's bound to the ones before by
sha256; reports are cleared by age, oldest first. ``statements`` are what hosts signed of their
histories, and ``history`` is the same line by line. ``tasks`` are what hosts are asked to do, and
``task_runs`` what each was handed out and made of it. The other tables say what the newest report
of each host said.
"""

from datetime import MINYEAR, UTC, datetime

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

METADATA = sa.MetaData()


class Time(TypeDecorator[datetime]):
    """An instant as text that sorts: UTC, microseconds, on every database alike."""

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """Write an instant; one that UTC has no name for becomes the nearest that it has."""
        del dialect
        return None if value is None else f"{_in_utc(value).isoformat(timespec='microseconds')}Z"

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> datetime | None:
        """Read an instant."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


def _in_utc(value: datetime) -> datetime:
    """Return the time in UTC, plainly."""
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # a day before the first or after the last that there is
        return datetime.min if value.year == MINYEAR else datetime.max  # noqa: DTZ901 - see above


hosts = sa.Table(
    "hosts",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("first_seen", Time, nullable=False),
    sa.Column("received", Time, nullable=False),
    sa.Column("at", Time, nullable=False),
    sa.Column("series", sa.String(128), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("sigupdate", sa.String(200), nullable=False),
    sa.Column("exit_code", sa.Integer, nullable=False),
    sa.Column("refreshed", Time),
    sa.Column("trouble", sa.Text, nullable=False),
    sa.Column("detections", sa.BigInteger),
    sa.Column("seats", sa.BigInteger),
    sa.Column("settings", sa.Text),  # JSON
    sa.Column("turns", sa.Text, nullable=False, server_default="[]"),  # JSON
    sa.Column("public_key", sa.String(128), nullable=False),
    sa.Column("told", sa.String(64), nullable=False),
    sa.Column("chain", sa.String(64), nullable=False),
)

engines = sa.Table(
    "engines",
    METADATA,
    sa.Column("host", sa.String(200), primary_key=True),
    sa.Column("engine", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(200), nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("track", sa.String(200), nullable=False),
    sa.Column("outcome", sa.String(200), nullable=False),
    sa.Column("proof", sa.String(200), nullable=False),
    sa.Column("proof_at", Time),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("installed_at", Time),
    sa.Column("trouble", sa.Text, nullable=False),
    sa.Column("held", sa.Text, nullable=False),
    sa.Column("quarantined", sa.Text, nullable=False),
    sa.Column("ignored", sa.Text, nullable=False, server_default="[]"),  # JSON
)

loads = sa.Table(
    "loads",
    METADATA,
    sa.Column("host", sa.String(200), primary_key=True),
    sa.Column("engine", sa.String(200), primary_key=True),
    sa.Column("channel", sa.String(200), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("manifest_sha256", sa.String(64), nullable=False),
    sa.Column("release", sa.String(200), nullable=False),
    sa.Column("published", Time),
    sa.Column("assurance", sa.String(200), nullable=False),
    sa.Index("loads_by_channel", "channel", "sequence"),
)

reports = sa.Table(
    "reports",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("series", sa.String(128), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("received", Time, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("before", sa.String(64), nullable=False),
    sa.Column("chain", sa.String(64), nullable=False),
    sa.UniqueConstraint("host", "series", "number", name="one_report"),
    sa.Index("reports_by_age", "received"),
)

statements = sa.Table(
    "statements",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("received", Time, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("public_key", sa.String(128), nullable=False),
    sa.Column("signature", sa.String(128), nullable=False),
    sa.Column("before", sa.String(64), nullable=False),
    sa.Column("chain", sa.String(64), nullable=False),
    sa.Index("statements_by_host", "host", "id"),
)

history = sa.Table(
    "history",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("host", sa.String(200), nullable=False),
    sa.Column("engine", sa.String(200), nullable=False),
    sa.Column("at", Time, nullable=False),
    sa.Column("line", sa.Text, nullable=False),
    sa.Column("chain", sa.String(64), nullable=False),
    sa.Column("statement", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("host", "engine", "chain", name="one_line"),
    sa.Index("history_by_time", "at"),
)

tasks = sa.Table(
    "tasks",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("added", Time, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("begins", Time, nullable=False),
    sa.Column("ends", Time, nullable=False),
    sa.Column("cancelled", Time),
    sa.Column("cancelled_by", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("signatures", sa.Text, nullable=False),
    sa.Index("tasks_by_end", "ends"),
)

task_runs = sa.Table(
    "task_runs",
    METADATA,
    sa.Column("task", sa.String(16), primary_key=True),
    sa.Column("host", sa.String(200), primary_key=True),
    sa.Column("due", Time, primary_key=True),
    sa.Column("handed", Time, nullable=False),
    sa.Column("outcome", sa.String(200), nullable=False),
    sa.Column("at", Time),
    sa.Column("exit_code", sa.Integer, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("task_runs_by_host", "host", "due"),
)
