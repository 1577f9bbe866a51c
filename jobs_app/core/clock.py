"""The only place that reads the clock."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present instant, in UTC, with microseconds.

    An entry point (a request, a tick, a message) calls this once and passes the instant
    down as `at`. Functions below it do not read the clock again.
    """
    return datetime.now(UTC)
