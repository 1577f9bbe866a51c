"""Alembic's entry: one transaction for all of an upgrade, one process at a time."""

import math

from alembic import context
from sqlalchemy import Connection, text

from jobs_app.core.settings import Settings
from jobs_app.db.engine import make_engine
from jobs_app.db.migrations import ADVISORY_LOCK
from jobs_app.db.models.runs import Base

url = context.config.attributes.get("url") or Settings().effective_database_url


def run() -> None:
    """Run the migrations on the configured database, or in the transaction of a restore."""
    if (connection := context.config.attributes.get("connection")) is not None:
        migrate_in(connection)
        return
    # An index on millions of rows takes longer than any request may.
    engine = make_engine(url, answer_seconds=math.inf)
    try:
        with engine.begin() as connection:
            # SQLite is locked by BEGIN IMMEDIATE already.
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            migrate_in(connection)
    finally:
        engine.dispose()


def migrate_in(connection: Connection) -> None:
    """Run the migrations in the transaction of *connection*."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    context.run_migrations()


if context.is_offline_mode():
    context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run()
