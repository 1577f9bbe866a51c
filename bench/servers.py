"""The servers of a benchmark: a Valkey on TCP, and a PostgreSQL with durable commits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.fernet import Fernet

from jobs_app.core.settings import Settings
from jobs_app.db.migrations import migrate
from tests import servers

#: The tests' PostgreSQL gives up durability for speed; a benchmark must not.
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "autovacuum": "on",
}


@dataclass(frozen=True)
class Servers:
    """The Valkey and the PostgreSQL of a benchmark."""

    valkey: servers.ValkeyServer
    postgres: servers.PostgresServer

    @contextmanager
    def database(self, kind: str) -> Iterator[str]:
        """Yield the URL of an empty, migrated database of *kind*: `postgresql` or `sqlite`."""
        if kind == "sqlite":
            with TemporaryDirectory(prefix="jobs-bench-") as folder:
                url = f"sqlite:///{Path(folder) / 'jobs.db'}"
                migrate(Settings(database_url=url))
                yield url
        else:
            url = self.postgres.create_database()
            migrate(Settings(database_url=url))
            yield url
            self.postgres.drop_database(url)


@contextmanager
def running(**postgres_settings: str) -> Iterator[Servers]:
    """Yield both servers, started and empty; PostgreSQL with these settings beside DURABLE."""
    servers.POSTGRES_SETTINGS.update(DURABLE | postgres_settings)
    # All processes of a benchmark sign messages with this key.
    os.environ.setdefault("JOBS_SECRET_KEY", Fernet.generate_key().decode())
    directory = servers.SharedDirectory()
    valkey = servers.ValkeyServer(tcp=True)
    try:
        valkey.start()
        postgres = servers.PostgresServer(directory.path)
        postgres.start()
        yield Servers(valkey, postgres)
    finally:
        valkey.close()
        directory.close()
