"""Connections to PostgreSQL that wait for an answer only so long."""

import math
import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

#: The server ends a statement after 30 s; who has heard nothing 5 s later will not hear anything.
ANSWER_SECONDS = 35.0

RV = TypeVar("RV")


class TimeoutConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server has not answered within `answer_seconds`.

    A process of the server that is frozen, or a proxy that swallows what it is sent, goes on
    acknowledging every packet: neither TCP nor a time limit of the server ends such a wait.
    """

    answer_seconds = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Return what *gen* gets from the server; an OperationalError says that it gets nothing."""
        if timeout is not None or self.answer_seconds == math.inf:
            return super().wait(gen, interval=interval, timeout=timeout)
        began = time.monotonic()
        try:
            return super().wait(gen, interval=interval, timeout=self.answer_seconds)
        except psycopg.OperationalError:
            if time.monotonic() - began >= self.answer_seconds:
                # The answer, should it come, would be taken for that to the next question.
                self.pgconn.finish()
            raise


def connect(seconds: float, *arguments: Any, **given: Any) -> TimeoutConnection:
    """Open a connection that waits *seconds* for each answer."""
    connection = TimeoutConnection.connect(*arguments, **given)
    connection.answer_seconds = seconds
    return connection
