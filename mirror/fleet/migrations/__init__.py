"""How the fleet's tables came to be, version by version; alembic runs them in order."""
