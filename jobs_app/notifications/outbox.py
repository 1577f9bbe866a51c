"""Which notification a channel is sent next, and what happens to it afterwards.

Every scheduler has a sender. A sender claims a row by compare-and-set, and the row is due
again after `CLAIM_SECONDS`: the message of a sender that died is sent again. Nothing here
sends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session

from jobs_app.core.states import Event, NotificationState
from jobs_app.db.bulk_sql import rowcount, update_all
from jobs_app.db.models.notifications import Notification
from jobs_app.notifications.record import GROUPING_SECONDS

#: How long a sender has for one message before another sender may claim it, seconds.
CLAIM_SECONDS = 60.0

#: A message fails for good after so many tries.
MAX_TRIES = 8

#: The pause before the second try, and the factor for each later one; seconds.
RETRY_SECONDS = 15.0
RETRY_FACTOR = 3.0
MAX_RETRY_SECONDS = 3600.0

#: After a failure the channel's other messages wait this long at most, seconds.
MAX_REST_SECONDS = 60.0

#: A notification that could not be sent for so long is not sent any more.
MAX_AGE = timedelta(hours=24)

NO_OUTCOME = f"Given up after {MAX_TRIES} tries: each sender died before it wrote an outcome."
CHANNEL_GONE = "The channel was deleted."
TOO_OLD = "Not sent: it was a day old when its turn came."


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The settings JOBS_NOTIFY_*: messages per channel, and the pause between equal ones."""

    per_minute: int = 20
    cool_down_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class ClaimedNotification:
    """A notification that this sender may send now; `tries` includes this one."""

    id: UUID
    tries: int


# Built once, and with a literal, by which SQLite chooses its partial index without planning the
# statement anew: every sender asks every second.
_DUE_CHANNELS = (
    select(Notification.channel_id)
    .where(
        text(f"notifications.state = '{NotificationState.PENDING}'"),
        Notification.due_at <= bindparam("at"),
    )
    .distinct()
)


def due_channels(session: Session, *, at: datetime) -> list[int]:
    """Return the ids of the channels with a notification that is due."""
    return list(session.scalars(_DUE_CHANNELS, {"at": at}))


def suppress_channel(
    session: Session, channel_id: int, *, error: str, created_before: datetime | None = None
) -> None:
    """Suppress what is pending for a channel, or only what is older; commits in batches."""
    pending = _is_pending_for(channel_id)
    if created_before is not None:
        pending = and_(pending, Notification.created_at < created_before)
    suppressed = {"state": NotificationState.SUPPRESSED, "due_at": None, "error": error}
    update_all(session, Notification.id, pending, **suppressed)


def claim_next(
    session: Session, channel_id: int, *, at: datetime, rate_limit: RateLimit
) -> ClaimedNotification | None:
    """Claim the next message of a channel; None if nothing may be sent now.

    Equal notifications become part of that message. While the channel is over its rate
    limit, or was sent an equal message lately, what is due is postponed.
    """
    while True:
        due = session.scalars(
            select(Notification)
            .where(_is_pending_for(channel_id), Notification.due_at <= at)
            .order_by(Notification.due_at, Notification.id)
            .limit(1)
            .execution_options(populate_existing=True)
        ).first()
        if due is None:
            session.commit()
            return None
        head = _group_head(session, due)
        allowed_at = _group_allowed_at(session, head, at=at, rate_limit=rate_limit)
        if allowed_at is not None:
            group = and_(_is_pending_for(channel_id), Notification.group_key == head.group_key)
            is_early = and_(group, Notification.due_at < allowed_at)
            update_all(session, Notification.id, is_early, due_at=allowed_at)
            continue
        allowed_at = _channel_allowed_at(session, head, at=at, rate_limit=rate_limit)
        if allowed_at is not None:
            is_due = _is_due_and_untried(channel_id, at=at)
            update_all(session, Notification.id, is_due, due_at=allowed_at)
            continue
        claimed = _claim(session, head, at=at, rate_limit=rate_limit)
        # None: another sender was faster. Look again.
        if claimed is not None:
            return claimed


def _group_head(session: Session, row: Notification) -> Notification:
    """Return the notification that is sent for the group of *row*: one with tries, else the oldest.

    All notifications of a channel with the same `group_key` are a group.
    """
    statement = (
        select(Notification)
        .where(_is_pending_for(row.channel_id), Notification.group_key == row.group_key)
        .order_by(Notification.tries.desc(), Notification.id)
        .limit(1)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).first() or row


def _group_allowed_at(
    session: Session, head: Notification, *, at: datetime, rate_limit: RateLimit
) -> datetime | None:
    """Return until when the group of *head* must wait; None if it may be sent now."""
    if head.due_at is not None and head.due_at > at:
        return head.due_at
    if head.tries or head.event is Event.TEST:
        return None
    sent_at = session.scalar(
        select(func.max(Notification.sent_at)).where(
            Notification.channel_id == head.channel_id, Notification.group_key == head.group_key
        )
    )
    cooled_at = sent_at and sent_at + timedelta(seconds=rate_limit.cool_down_seconds)
    return cooled_at if cooled_at is not None and cooled_at > at else None


def _channel_allowed_at(
    session: Session, head: Notification, *, at: datetime, rate_limit: RateLimit
) -> datetime | None:
    """Return until when the channel of *head* is over its rate limit; None if it is not."""
    if head.tries or head.event is Event.TEST:
        return None
    sent = _sent_in_last_minute(session, head.channel_id, at=at)
    if len(sent) < rate_limit.per_minute:
        return None
    return sent[-rate_limit.per_minute] + timedelta(minutes=1)


def _sent_in_last_minute(session: Session, channel_id: int, *, at: datetime) -> list[datetime]:
    """Return when the messages of the last minute were sent, the oldest first."""
    statement = (
        select(Notification.sent_at)
        .where(
            Notification.channel_id == channel_id,
            Notification.sent_at > at - timedelta(minutes=1),
            Notification.event != Event.TEST,
        )
        .order_by(Notification.sent_at)
    )
    return [sent_at for sent_at in session.scalars(statement) if sent_at is not None]


def _claim(
    session: Session, head: Notification, *, at: datetime, rate_limit: RateLimit
) -> ClaimedNotification | None:
    """Claim *head* and group others into it; None if another sender has it. Commits."""
    is_unchanged = _is_claimed(ClaimedNotification(head.id, head.tries))
    if head.tries >= MAX_TRIES:
        # Its senders died, or its text cannot be made: do not try for ever.
        failed = NotificationState.FAILED
        _update(session, is_unchanged, state=failed, due_at=None, error=NO_OUTCOME)
        session.commit()
        return None
    claimed = _update(
        session,
        and_(is_unchanged, Notification.due_at == head.due_at),
        tries=head.tries + 1,
        due_at=at + timedelta(seconds=CLAIM_SECONDS),
    )
    if not claimed:
        session.commit()
        return None
    # Group with the first try only: a later try must send the same message.
    if head.tries == 0 and head.event is not Event.TEST:
        # Group the notifications that are due soon, but not those of runs that are not late yet.
        soon = at + timedelta(seconds=GROUPING_SECONDS)
        joined = and_(Notification.group_key == head.group_key, Notification.due_at <= soon)
        if len(_sent_in_last_minute(session, head.channel_id, at=at)) + 1 >= rate_limit.per_minute:
            # The last message of this minute includes everything else that is due.
            joined = or_(joined, _is_due_and_untried(head.channel_id, at=at))
        others = and_(
            _is_pending_for(head.channel_id), Notification.tries == 0, Notification.id != head.id
        )
        grouped = {"state": NotificationState.GROUPED, "grouped_into": head.id, "due_at": None}
        update_all(session, Notification.id, and_(others, joined), **grouped)
    session.commit()
    return ClaimedNotification(head.id, head.tries + 1)


def mark_sent(session: Session, claimed: ClaimedNotification, *, at: datetime) -> bool:
    """Write that a message was sent; False if another sender has claimed it since. Commits."""
    updated = _update(
        session,
        _is_claimed(claimed),
        state=NotificationState.SENT,
        sent_at=at,
        due_at=None,
        error=None,
    )
    session.commit()
    return bool(updated)


def mark_failed(
    session: Session, claimed: ClaimedNotification, channel_id: int, *, error: str, at: datetime
) -> bool:
    """Write that a try failed; return whether it was the last.

    Else it is due again after a pause. Commits.
    """
    row = session.get(Notification, claimed.id)
    is_last = claimed.tries >= MAX_TRIES or (row is not None and row.event is Event.TEST)
    pause = retry_pause(claimed.tries)
    values = (
        {"state": NotificationState.FAILED, "due_at": None}
        if is_last
        else {"due_at": at + timedelta(seconds=pause)}
    )
    _update(session, _is_claimed(claimed), error=error, **values)
    # Let the channel rest: do not try each of its messages while it is down.
    rest_until = at + timedelta(seconds=min(pause, MAX_REST_SECONDS))
    others = and_(
        _is_pending_for(channel_id),
        Notification.id != claimed.id,
        Notification.event != Event.TEST,
    )
    is_early = and_(others, Notification.due_at < rest_until)
    update_all(session, Notification.id, is_early, due_at=rest_until)
    return is_last


def suppress(session: Session, claimed: ClaimedNotification, *, error: str) -> None:
    """Write that a message is not worth sending any more, and why; commits."""
    state = NotificationState.SUPPRESSED
    _update(session, _is_claimed(claimed), state=state, due_at=None, error=error)
    session.commit()


def retry_pause(tries: int) -> float:
    """Return the pause after so many tries, seconds."""
    return float(min(RETRY_SECONDS * RETRY_FACTOR ** (tries - 1), MAX_RETRY_SECONDS))


def _is_pending() -> ColumnElement[bool]:
    return Notification.state == NotificationState.PENDING


def _is_pending_for(channel_id: int) -> ColumnElement[bool]:
    return and_(_is_pending(), Notification.channel_id == channel_id)


def _is_due_and_untried(channel_id: int, *, at: datetime) -> ColumnElement[bool]:
    """Return the condition for due rows without a try; tests of a channel are never grouped."""
    return and_(
        _is_pending_for(channel_id),
        Notification.due_at <= at,
        Notification.tries == 0,
        Notification.event != Event.TEST,
    )


def _is_claimed(claimed: ClaimedNotification) -> ColumnElement[bool]:
    """Return the condition that the row is still pending and claimed by nobody since."""
    return and_(_is_pending(), Notification.id == claimed.id, Notification.tries == claimed.tries)


def _update(session: Session, where: ColumnElement[bool], **values: object) -> int:
    statement = update(Notification).where(where).values(**values)
    return rowcount(session.execute(statement.execution_options(synchronize_session=False)))
