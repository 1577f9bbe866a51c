"""The one place that asks what time it is."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present instant, in UTC, with microseconds.

    Entry points (a request, a tick, a message) call this once and pass the
    answer down as `at`; nothing further in asks the clock again.
    """
    return datetime.now(UTC)
