"""Whether the database takes writes, which only a write can tell: a disk may be full."""

import time

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from jobs_app.db.engine import engine_options, is_locked, prepare_engine

#: How long an answer holds, seconds: probes come each second, and each check is a commit.
HOLD_SECONDS = 15.0

#: How long a check waits for the lock of another writer, seconds.
LOCK_SECONDS = 0.2

# It changes nothing, and is written and committed all the same.
_WRITE = text("UPDATE installation SET number = number")


class WriteCheck:
    """Checks by a small commit, on a connection of its own, whether a database takes writes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._takes_writes = True
        #: The error of the last check, None if it wrote.
        self.failure: DBAPIError | None = None
        self._holds_until = 0.0

    def takes_writes(self) -> bool:
        """Return False if the last check failed, which is at most HOLD_SECONDS old.

        A check that only waits for another writer leaves the last answer as it is.
        """
        if time.monotonic() >= self._holds_until:
            self._holds_until = time.monotonic() + HOLD_SECONDS
            self._check()
        return self._takes_writes

    def _check(self) -> None:
        if self._engine is None:
            self._engine = _make_engine(self._url)
        try:
            with self._engine.begin() as connection:
                if self._engine.dialect.name == "postgresql":
                    milliseconds = round(LOCK_SECONDS * 1000)
                    connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
                connection.execute(_WRITE)
            self._takes_writes, self.failure = True, None
        except DBAPIError as error:
            if not is_locked(error):
                self._takes_writes, self.failure = False, error


def _make_engine(url: str) -> Engine:
    """Return an engine without a pool: nothing stays open between two checks."""
    options = engine_options(url)
    options.pop("pool_timeout", None)
    if "timeout" in options["connect_args"]:
        options["connect_args"]["timeout"] = LOCK_SECONDS
    engine = create_engine(url, poolclass=NullPool, **options)
    prepare_engine(engine)
    return engine
