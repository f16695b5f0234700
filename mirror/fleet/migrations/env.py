"""Run by alembic: migrations over the connection that ``mirror.fleet.database`` hands in."""

from alembic import context

from mirror.fleet.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
