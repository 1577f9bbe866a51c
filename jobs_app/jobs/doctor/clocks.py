"""Compares the clocks of this process, the database, Redis, and the other processes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.jobs.doctor.findings import Finding, Level

#: A clock may be wrong by this much without a word, and is an error from then on; seconds.
TOLERATED_SECONDS, WRONG_SECONDS = 1.0, 10.0

#: A sign of life is this much older than it seems at most: the time of its way; seconds.
MARGIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How far another clock is ahead of ours, seconds, and how far that may be wrong."""

    name: str
    ahead: float
    margin: float = 0.0


def reading(name: str, theirs: datetime, before: datetime, after: datetime) -> Reading:
    """Return the reading of a clock that was asked between *before* and *after* of ours."""
    half = (after - before) / 2
    return Reading(name, (theirs - before - half).total_seconds(), half.total_seconds())


def database_clock(session: Session) -> Reading | None:
    """Read the clock of the database; None for SQLite, which has none of its own."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    # The first statement of a connection is slow.
    session.execute(text("SELECT 1"))
    before = clock.now()
    theirs = session.scalar(text("SELECT clock_timestamp()"))
    after = clock.now()
    return None if theirs is None else reading("the database server", theirs, before, after)


def process_clock(name: str, seen_at: datetime, *, at: datetime) -> Reading:
    """Return how far the clock of a process is ahead, which gave a sign of life at *seen_at*.

    That it is behind cannot be told from a process that was silent.
    """
    ahead = max((seen_at - at) / timedelta(seconds=1), 0.0)
    return Reading(name, ahead, MARGIN_SECONDS)


def check(readings: Iterable[Reading]) -> Iterator[Finding]:
    """Yield a finding for each clock that differs from ours."""
    for one in readings:
        difference = max(abs(one.ahead) - one.margin, 0.0)
        if difference <= TOLERATED_SECONDS:
            continue
        direction = "ahead of" if one.ahead > 0 else "behind"
        yield Finding(
            "clocks",
            Level.ERROR if difference > WRONG_SECONDS else Level.WARNING,
            f"The clock of {one.name} is {abs(one.ahead):,.1f} s {direction} that of this process:"
            " fires come early or late by as much.",
            "Let chrony or systemd-timesyncd keep the clocks of all machines.",
        )
