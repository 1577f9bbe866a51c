"""The events that some channel subscribes to, kept on each job as a bitmask.

Finishing a run reads the mask of its job. It reads no rules unless there is something to write.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, bindparam, case, null, or_, select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import Event
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.engine import reader_of
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.notifications import rules
from jobs_app.notifications.rules import Subscriber

#: Jobs that one transaction of a refresh corrects.
REFRESH_BATCH = 200


@dataclass(frozen=True, slots=True)
class _WrongJob:
    """A job as it was read, and the subscribed events that it should have."""

    id: int
    version: int
    events_before: int
    events: int
    late_after_seconds: int | None

    def parameters(self) -> dict[str, int | None]:
        """Return the parameters of the UPDATE that corrects it."""
        return {
            "job": self.id,
            "version_before": self.version,
            "events_before": self.events_before,
            "events": self.events,
            "late": self.late_after_seconds,
        }


def subscribers(session: Session) -> list[Subscriber]:
    """Return every channel, with the fields that rules need."""
    columns = (
        NotificationChannel.id,
        NotificationChannel.name,
        NotificationChannel.events,
        NotificationChannel.is_default,
    )
    return [
        Subscriber(row.id, row.name, rules.parse_events(row.events), row.is_default)
        for row in session.execute(select(*columns).order_by(NotificationChannel.name))
    ]


def is_subscribed(*events: Event) -> ColumnElement[bool]:
    """Return the SQL condition that some channel subscribes to one of *events* of a job."""
    mask = sum(event.bit for event in events)
    bits: ColumnElement[int] = Job.subscribed_events.op("&", return_type=Integer())(mask)
    return bits != 0


def any_subscribed(mask: int, events: Iterable[Event]) -> bool:
    """Tell whether a job's `subscribed_events` has any of *events*."""
    return any(mask & event.bit for event in events)


def set_subscriptions(
    job: Job, job_rules: Sequence[rules.Rule] | None, channels: Sequence[Subscriber]
) -> None:
    """Set the subscribed events on *job*, as *job_rules* say."""
    job.subscribed_events, job.late_after_seconds = _subscribed(
        job_rules, channels, deadline_seconds=job.starting_deadline_seconds
    )


def _subscribed(
    job_rules: Sequence[rules.Rule] | None,
    channels: Sequence[Subscriber],
    *,
    deadline_seconds: int,
) -> tuple[int, int | None]:
    """Return the `subscribed_events` and the `late_after_seconds` of a job."""
    subscribed = rules.subscriptions(job_rules, channels)
    late = rules.first_late_after_seconds(subscribed, deadline_seconds=deadline_seconds)
    return rules.event_mask(subscribed), late


def refresh_subscriptions(session: Session) -> int:
    """Correct the subscribed events of all jobs; return how many rows were wrong.

    Call it after the change of a channel is committed. Rules are read and parsed by a session
    that only reads; each transaction writes REFRESH_BATCH rows at most, and is committed. If it
    is interrupted, the maintenance of the sender does the rest.
    """
    written = 0
    # Until all rows were right when they were read: channels and jobs change meanwhile.
    while True:
        wrong_in_pass, written_in_pass = _correct_all(session)
        written += written_in_pass
        if not wrong_in_pass:
            return written


def _correct_all(session: Session) -> tuple[int, int]:
    """Correct each job once, by id; return how many rows were wrong, and how many were written."""
    seen, written, last_id = 0, 0, 0
    while True:
        with reader_of(session) as reader:
            rows, wrong = _read_batch(reader, after=last_id)
        seen += len(wrong)
        written += _write_batch(session, wrong)
        if len(rows) < REFRESH_BATCH:
            return seen, written
        last_id = rows[-1].id


def _read_batch(reader: Session, *, after: int) -> tuple[Sequence[Row[Any]], list[_WrongJob]]:
    """Return the next rows that may be wrong, by id, and those of them that are."""
    channels = subscribers(reader)
    mask, late = _subscribed(None, channels, deadline_seconds=0)
    rows = reader.execute(
        select(
            Job.id,
            Job.version,
            Job.notify,
            Job.subscribed_events,
            Job.late_after_seconds,
            Job.starting_deadline_seconds,
        )
        .where(Job.id > after, Job.deleted_at.is_(None))
        .where(or_(Job.notify.is_not(null()), _differs(mask, has_late=late is not None)))
        .order_by(Job.id)
        .limit(REFRESH_BATCH)
    ).all()
    wrong = []
    for row in rows:
        job_rules = rules.rules_from_json(row.notify)
        right = _subscribed(job_rules, channels, deadline_seconds=row.starting_deadline_seconds)
        if right != (row.subscribed_events, row.late_after_seconds):
            wrong.append(_WrongJob(row.id, row.version, row.subscribed_events, *right))
    return rows, wrong


def _write_batch(session: Session, wrong: Sequence[_WrongJob]) -> int:
    """Write what is right for jobs that are still as they were read; return how many were."""
    if not wrong:
        return 0
    statement = (
        update(Job)
        .where(Job.id == bindparam("job"), Job.version == bindparam("version_before"))
        .where(Job.subscribed_events == bindparam("events_before"))
        .values(subscribed_events=bindparam("events"), late_after_seconds=bindparam("late"))
    )
    written = rowcount(session.connection().execute(statement, [job.parameters() for job in wrong]))
    session.commit()
    return written


def _differs(mask: int, *, has_late: bool) -> ColumnElement[bool]:
    """Return the condition that a job without rules has other events, or is late at another time.

    The default channels have no rule, and so no `late_after_seconds` of their own.
    """
    deadline, least = Job.starting_deadline_seconds, rules.LEAST_LATE_SECONDS
    late_after = case((deadline < least, least), else_=deadline) if has_late else null()
    return or_(Job.subscribed_events != mask, Job.late_after_seconds.is_distinct_from(late_after))
