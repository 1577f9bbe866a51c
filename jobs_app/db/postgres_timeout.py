"""Connections to PostgreSQL with a time limit for each answer."""

import math
import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Dialect
from sqlalchemy.pool import ConnectionPoolEntry

#: The server ends a statement after 30 s; 5 s later no answer will come.
ANSWER_SECONDS = 35.0

RV = TypeVar("RV")


class TimeoutConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server has not answered within `answer_seconds`.

    A frozen server process, or a proxy that drops data, still acknowledges every packet.
    Neither TCP nor a time limit of the server ends such a wait.
    """

    answer_seconds = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Return the answer that *gen* gets; raises OperationalError if there is none in time."""
        if timeout is not None or self.answer_seconds == math.inf:
            return super().wait(gen, interval=interval, timeout=timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval=interval, timeout=self.answer_seconds)
        except psycopg.OperationalError:
            if time.monotonic() - began >= self.answer_seconds:
                # A late answer would be taken for the answer to the next query.
                self.pgconn.finish()
            raise


def connect(
    seconds: float,
    _dialect: Dialect,
    _record: ConnectionPoolEntry,
    arguments: list[Any],
    options: dict[str, Any],
) -> TimeoutConnection:
    """Open a connection that waits at most *seconds* for each answer, for SQLAlchemy."""
    connection = TimeoutConnection.connect(*arguments, **options)
    connection.answer_seconds = seconds
    return connection
