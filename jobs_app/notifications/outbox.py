"""Which notification a channel is sent next, and what became of it.

Senders run in every scheduler. A row is taken by compare-and-set: it is due again after
`CLAIM_SECONDS`, so that one whose sender died comes again. Nothing here knows how to send.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import Event, NotificationState
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.notifications import Notification
from jobs_app.notifications.record import GROUPING_SECONDS

#: How long a sender has for one message before another may take it, seconds.
CLAIM_SECONDS = 60.0

#: A message is given up after so many tries.
MAX_TRIES = 8

#: The pause before the second try, and by how much each is longer than the one before; seconds.
RETRY_SECONDS = 15.0
RETRY_FACTOR = 3.0
MAX_RETRY_SECONDS = 3600.0

#: After a failure the channel's other messages wait this long at most, seconds.
MAX_REST_SECONDS = 60.0

#: A notification that could not be sent for so long is not sent any more.
TOO_OLD = timedelta(hours=24)

NO_OUTCOME = f"Given up: it was tried {MAX_TRIES} times, and no sender lived to note an outcome."
TOO_OLD_ERROR = "Not sent: it was a day old when its turn came."


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often a channel is told: the settings JOBS_NOTIFY_*."""

    per_minute: int = 20
    cool_down_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class ClaimedNotification:
    """A notification that this sender may now send; `tries` counts this one."""

    id: UUID
    tries: int


def due_channels(session: Session, *, at: datetime) -> list[int]:
    """Return the channels for which something is due."""
    statement = select(Notification.channel_id).where(_is_pending(), Notification.due_at <= at)
    return list(session.scalars(statement.distinct()))


def suppress(
    session: Session, channel_id: int, *, error: str, created_before: datetime | None = None
) -> None:
    """Give up what a channel is still to be told, all of it or what is older; and commit."""
    wanted = _of(channel_id)
    if created_before is not None:
        wanted = and_(wanted, Notification.created_at < created_before)
    _change(session, wanted, state=NotificationState.SUPPRESSED, due_at=None, error=error)
    session.commit()


def take(
    session: Session, channel_id: int, *, at: datetime, rate_limit: RateLimit
) -> ClaimedNotification | None:
    """Take the next message of a channel; None if there is none to be sent just now.

    Others that are the same become part of it. While the channel has had enough, or was
    told the same lately, what is due is put off.
    """
    while True:
        first = session.scalars(
            select(Notification)
            .where(_of(channel_id), Notification.due_at <= at)
            .order_by(Notification.due_at, Notification.id)
            .limit(1)
            .execution_options(populate_existing=True)
        ).first()
        if first is None:
            session.commit()
            return None
        lead = _lead_of(session, first)
        free_at = _alike_free_at(session, lead, at=at, rate_limit=rate_limit)
        if free_at is not None:
            group_key = and_(_of(channel_id), Notification.group_key == lead.group_key)
            _change(session, and_(group_key, Notification.due_at < free_at), due_at=free_at)
            session.commit()
            continue
        free_at = _channel_free_at(session, lead, at=at, rate_limit=rate_limit)
        if free_at is not None:
            _change(session, _fresh(channel_id, at=at), due_at=free_at)
            session.commit()
            continue
        taken = _take(session, lead, at=at, rate_limit=rate_limit)
        session.commit()
        # Another sender was faster: look again.
        if taken is not None:
            return taken


def _lead_of(session: Session, row: Notification) -> Notification:
    """Return the notification that speaks for those like *row*: one under way, else the oldest."""
    statement = (
        select(Notification)
        .where(_of(row.channel_id), Notification.group_key == row.group_key)
        .order_by(Notification.tries.desc(), Notification.id)
        .limit(1)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).first() or row


def _alike_free_at(
    session: Session, lead: Notification, *, at: datetime, rate_limit: RateLimit
) -> datetime | None:
    """Return until when all that are like *lead* must wait; None if it may go now."""
    if lead.due_at is not None and lead.due_at > at:
        return lead.due_at
    if lead.tries or lead.event is Event.TEST:
        return None
    told_at = session.scalar(
        select(func.max(Notification.sent_at)).where(
            Notification.channel_id == lead.channel_id, Notification.group_key == lead.group_key
        )
    )
    cooled_at = told_at and told_at + timedelta(seconds=rate_limit.cool_down_seconds)
    return cooled_at if cooled_at is not None and cooled_at > at else None


def _channel_free_at(
    session: Session, lead: Notification, *, at: datetime, rate_limit: RateLimit
) -> datetime | None:
    """Return until when the channel of *lead* has had enough; None if it has not."""
    if lead.tries or lead.event is Event.TEST:
        return None
    sent = _sent_lately(session, lead.channel_id, at=at)
    if len(sent) < rate_limit.per_minute:
        return None
    return sent[-rate_limit.per_minute] + timedelta(minutes=1)


def _sent_lately(session: Session, channel_id: int, *, at: datetime) -> list[datetime]:
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


def _take(
    session: Session, lead: Notification, *, at: datetime, rate_limit: RateLimit
) -> ClaimedNotification | None:
    """Claim *lead* and make what it tells of part of it; None if it is another sender's."""
    if lead.tries >= MAX_TRIES:
        # It ends its senders, or cannot be put into words: not for ever.
        is_over = and_(Notification.id == lead.id, _is_pending(), Notification.tries == lead.tries)
        given_up = NotificationState.FAILED
        _change(session, is_over, state=given_up, due_at=None, error=NO_OUTCOME)
        return None
    claimed = _change(
        session,
        and_(
            Notification.id == lead.id,
            _is_pending(),
            Notification.tries == lead.tries,
            Notification.due_at == lead.due_at,
        ),
        tries=lead.tries + 1,
        due_at=at + timedelta(seconds=CLAIM_SECONDS),
    )
    if not claimed:
        return None
    # What a message tells of is settled with its first try: a repetition says the same.
    if lead.tries == 0 and lead.event is not Event.TEST:
        told = {"state": NotificationState.GROUPED, "grouped_into": lead.id, "due_at": None}
        others = and_(_of(lead.channel_id), Notification.tries == 0, Notification.id != lead.id)
        # What still waits for others like it, but no run that is not late yet for this channel.
        near = at + timedelta(seconds=GROUPING_SECONDS)
        group_key = and_(Notification.group_key == lead.group_key, Notification.due_at <= near)
        _change(session, and_(others, group_key), **told)
        if len(_sent_lately(session, lead.channel_id, at=at)) + 1 >= rate_limit.per_minute:
            # The last one of this minute: it tells of all that could not go by itself.
            _change(session, and_(others, _fresh(lead.channel_id, at=at)), **told)
    return ClaimedNotification(lead.id, lead.tries + 1)


def sent(session: Session, taken: ClaimedNotification, *, at: datetime) -> bool:
    """Note that a message arrived; False if another sender has taken it meanwhile."""
    is_noted = _change(
        session, _is_mine(taken), state=NotificationState.SENT, sent_at=at, due_at=None, error=None
    )
    session.commit()
    return bool(is_noted)


def failed(
    session: Session, taken: ClaimedNotification, channel_id: int, *, error: str, at: datetime
) -> None:
    """Note that a try failed: it is made again after a pause, unless it was the last one."""
    row = session.get(Notification, taken.id)
    is_over = taken.tries >= MAX_TRIES or (row is not None and row.event is Event.TEST)
    pause = retry_pause(taken.tries)
    values = (
        {"state": NotificationState.FAILED, "due_at": None}
        if is_over
        else {"due_at": at + timedelta(seconds=pause)}
    )
    _change(session, _is_mine(taken), error=error, **values)
    # A channel that is down is not asked once for each message, nor are the others kept waiting.
    rest_until = at + timedelta(seconds=min(pause, MAX_REST_SECONDS))
    others = and_(_of(channel_id), Notification.id != taken.id, Notification.event != Event.TEST)
    _change(session, and_(others, Notification.due_at < rest_until), due_at=rest_until)
    session.commit()


def drop(session: Session, taken: ClaimedNotification, *, error: str) -> None:
    """Note that a message is not worth sending any more, and why."""
    _change(session, _is_mine(taken), state=NotificationState.SUPPRESSED, due_at=None, error=error)
    session.commit()


def retry_pause(tries: int) -> float:
    """Return how long to wait after so many tries, seconds."""
    return float(min(RETRY_SECONDS * RETRY_FACTOR ** (tries - 1), MAX_RETRY_SECONDS))


def _is_pending() -> ColumnElement[bool]:
    return Notification.state == NotificationState.PENDING


def _of(channel_id: int) -> ColumnElement[bool]:
    return and_(_is_pending(), Notification.channel_id == channel_id)


def _fresh(channel_id: int, *, at: datetime) -> ColumnElement[bool]:
    """What is due and was never tried; tests of a channel go by themselves."""
    return and_(
        _of(channel_id),
        Notification.due_at <= at,
        Notification.tries == 0,
        Notification.event != Event.TEST,
    )


def _is_mine(taken: ClaimedNotification) -> ColumnElement[bool]:
    """The evidence of a sender: still to be sent, and taken by nobody since."""
    return and_(_is_pending(), Notification.id == taken.id, Notification.tries == taken.tries)


def _change(session: Session, wanted: ColumnElement[bool], **values: object) -> int:
    statement = update(Notification).where(wanted).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return rowcount(result)
