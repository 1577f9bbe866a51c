"""The events that some channel subscribes to, kept on each job as a bitmask.

Finishing a run reads the mask of its job. It reads no rules unless there is something to write.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Integer, and_, null, or_, select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import Event
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.notifications import rules
from jobs_app.notifications.rules import Subscriber


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


def is_subscribed(event: Event) -> ColumnElement[bool]:
    """Return the SQL condition that some channel subscribes to *event* of a job."""
    bits: ColumnElement[int] = Job.subscribed_events.op("&", return_type=Integer())(event.bit)
    return bits != 0


def any_subscribed(mask: int, events: Iterable[Event]) -> bool:
    """Tell whether a job's `subscribed_events` has any of *events*."""
    return any(mask & event.bit for event in events)


def set_subscriptions(
    job: Job, job_rules: Sequence[rules.Rule] | None, channels: Sequence[Subscriber]
) -> None:
    """Set the subscribed events on *job*, as *job_rules* say."""
    job.subscribed_events, job.late_after_seconds = _subscribed(job_rules, channels)


def _subscribed(
    job_rules: Sequence[rules.Rule] | None, channels: Sequence[Subscriber]
) -> tuple[int, int | None]:
    """Return the `subscribed_events` and the `late_after_seconds` of a job."""
    subscribed = rules.subscriptions(job_rules, channels)
    return rules.event_mask(subscribed), rules.first_late_after_seconds(subscribed)


def refresh_subscriptions(session: Session) -> int:
    """Set the subscribed events on every job; return how many rows were wrong.

    Call it after a change of a channel. Does not commit.
    """
    channels = subscribers(session)
    mask, late_after = _subscribed(None, channels)
    is_wrong = or_(
        Job.subscribed_events != mask, Job.late_after_seconds.is_distinct_from(late_after)
    )
    has_no_rules = and_(Job.notify.is_(null()), Job.deleted_at.is_(None))
    changed = _update(session, and_(has_no_rules, is_wrong), mask, late_after)
    with_rules = select(Job.id, Job.notify, Job.subscribed_events, Job.late_after_seconds).where(
        Job.notify.is_not(null()), Job.deleted_at.is_(None)
    )
    for row in session.execute(with_rules).all():
        mask, late_after = _subscribed(rules.rules_from_json(row.notify), channels)
        if (mask, late_after) != (row.subscribed_events, row.late_after_seconds):
            changed += _update(session, Job.id == row.id, mask, late_after)
    return changed


def _update(session: Session, jobs: ColumnElement[bool], mask: int, late_after: int | None) -> int:
    statement = (
        update(Job).where(jobs).values(subscribed_events=mask, late_after_seconds=late_after)
    )
    return rowcount(session.execute(statement.execution_options(synchronize_session=False)))
