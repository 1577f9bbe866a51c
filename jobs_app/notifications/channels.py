"""Channels: where notifications go. People make and change them; their addresses are encrypted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import Conflict, FieldError, NotFound, StaleVersion, refuse
from jobs_app.core.states import Event, NotificationState
from jobs_app.core.text import did_you_mean, listed
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import reader_of
from jobs_app.db.job_references import hold_names, jobs_with_text
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification, NotificationChannel
from jobs_app.notifications import outbox
from jobs_app.notifications.channel_input import ChannelInput, name_errors
from jobs_app.notifications.rules import DEFAULT_EVENTS, Rule, rules_from_json
from jobs_app.notifications.subscriptions import refresh_subscriptions
from jobs_app.secrets.encryption import Cipher


def create(
    session: Session, name: str, fields: ChannelInput, *, cipher: Cipher, by: str, at: datetime
) -> NotificationChannel:
    """Store a new channel. Raises InvalidInput, Conflict (`name_taken`)."""
    refuse([*name_errors(name), *fields.errors(is_new=True)])
    events = DEFAULT_EVENTS if fields.events is None else fields.events
    channel = NotificationChannel(
        name=name,
        kind=fields.kind,
        encrypted=cipher.encrypt(fields.target()),
        events=[event.value for event in events],
        is_default=bool(fields.is_default),
        version=1,
        created_at=at,
        updated_at=at,
    )
    session.add(channel)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        taken = FieldError("/name", "name_taken", f"There is a channel {name!r} already.")
        raise Conflict(taken.detail, code="name_taken", errors=[taken]) from error
    audit.note(session, "create_channel", by=by, at=at, **_audit_detail(channel))
    session.commit()
    refresh_subscriptions(session)
    return channel


def change(
    session: Session,
    name: str,
    fields: ChannelInput,
    *,
    version: int | None,
    cipher: Cipher,
    by: str,
    at: datetime,
) -> NotificationChannel:
    """Change the *fields* of a channel, if its version is still *version* (None: any).

    Raises InvalidInput, NotFound, StaleVersion.
    """
    refuse(fields.errors(is_new=False))
    channel = _lock(session, name, version)
    before = _audit_detail(channel)
    if fields.has_address:
        channel.kind, channel.encrypted = fields.kind, cipher.encrypt(fields.target())
    if fields.events is not None:
        channel.events = [event.value for event in fields.events]
    if fields.is_default is not None:
        channel.is_default = fields.is_default
    channel.version += 1
    channel.updated_at = at
    session.flush()
    # The audit may say that the address changed, but not the address.
    after = _audit_detail(channel) | ({"address": "changed"} if fields.has_address else {})
    audit.note(session, "change_channel", by=by, at=at, before=before, after=after)
    session.commit()
    refresh_subscriptions(session)
    return channel


def delete(session: Session, name: str, *, version: int | None, by: str, at: datetime) -> None:
    """Delete a channel, and suppress its pending notifications.

    Raises Conflict (`channel_in_use`) while a job names it, NotFound, StaleVersion.
    """
    with reader_of(session) as reader:
        newest_event = audit.newest_event(reader)
        jobs = jobs_with_channel(reader, name)
    channel = _lock(session, name, version)
    # Nobody saves a rule for a locked channel: only what was saved since then is read now.
    saved_after = newest_event - audit.OPEN_EVENTS
    jobs = sorted({*jobs, *jobs_with_channel(session, name, saved_after=saved_after)})
    if jobs:
        session.rollback()
        raise Conflict(
            f"Jobs name the channel {name!r}: {listed(jobs)}. Remove it from their notify first.",
            code="channel_in_use",
        )
    channel_id = channel.id
    audit.note(session, "delete_channel", by=by, at=at, **_audit_detail(channel))
    session.delete(channel)
    session.commit()
    # If this is interrupted, the sender suppresses each one when it is due.
    outbox.suppress_channel(session, channel_id, error=outbox.CHANNEL_GONE)
    refresh_subscriptions(session)


def test(session: Session, name: str, *, by: str, at: datetime) -> UUID:
    """Have a scheduler send a test message to a channel; return the notification's id."""
    channel = get(session, name)
    row_id = new_run_id()
    session.add(
        Notification(
            id=row_id,
            channel_id=channel.id,
            channel=channel.name,
            event=Event.TEST,
            group_key=row_id.hex,
            detail={"by": by},
            state=NotificationState.PENDING,
            due_at=at,
            created_at=at,
        )
    )
    audit.note(session, "test_channel", by=by, at=at, channel=name)
    session.commit()
    return row_id


def get(session: Session, name: str) -> NotificationChannel:
    """Return the channel called *name*; raises NotFound with the nearest name."""
    statement = select(NotificationChannel).where(NotificationChannel.name == name)
    channel = session.scalars(statement).one_or_none()
    if channel is None:
        hint = did_you_mean(name, names(session))
        raise NotFound(f"There is no channel {name[:100]!r}.{hint}", code="channel_not_found")
    return channel


def page(session: Session, *, after: str | None, limit: int) -> list[NotificationChannel]:
    """Return channels by name, those later than the name *after*."""
    statement = select(NotificationChannel).order_by(NotificationChannel.name).limit(limit)
    if after is not None:
        statement = statement.where(NotificationChannel.name > after)
    return list(session.scalars(statement))


def names(session: Session) -> list[str]:
    """Return the names of all channels."""
    return list(session.scalars(select(NotificationChannel.name)))


def rule_errors(session: Session, rules: Sequence[Rule] | None) -> list[FieldError]:
    """Return the errors of the rules of a job."""
    errors = []
    channels = names(session) if rules else []
    for index, rule in enumerate(rules or ()):
        if rule.channel not in channels:
            hint = did_you_mean(rule.channel, channels)
            if not channels:
                hint = " There are no channels yet."
            detail = f"There is no channel {rule.channel[:100]!r}.{hint}"
            errors.append(FieldError(f"/notify/{index}/channel", "no_such_channel", detail))
    return errors


def jobs_with_channel(session: Session, name: str, *, saved_after: int | None = None) -> list[str]:
    """Return the names of the living jobs whose rules name the channel *name*, sorted.

    *saved_after* leaves out jobs that no event of the audit later than this one is about.
    """
    job_ids = None if saved_after is None else audit.jobs_saved_after(saved_after)
    statement = jobs_with_text(f'"{name}"', Job.notify, job_ids=job_ids)
    return sorted(
        row.name
        for row in session.execute(statement)
        if any(rule.channel == name for rule in rules_from_json(row.notify) or ())
    )


def hold(session: Session, rules: Sequence[Rule]) -> None:
    """Keep the channels of *rules* from being deleted until the commit.

    Call it before a job is written. Raises InvalidInput, and rolls back, if one was deleted
    just now.
    """
    if hold_names(session, NotificationChannel.name, {rule.channel for rule in rules}):
        refuse(rule_errors(session, rules))


def _lock(session: Session, name: str, version: int | None) -> NotificationChannel:
    locked = session.scalars(
        select(NotificationChannel)
        .where(NotificationChannel.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if locked is None:
        session.rollback()
        return get(session, name)
    if version is not None and locked.version != version:
        current = locked.version
        session.rollback()
        raise StaleVersion(f"The channel is at version {current}, not {version}: read it again.")
    return locked


def _audit_detail(channel: NotificationChannel) -> dict[str, Any]:
    """Return *channel* for the audit: nothing of its address but the kind."""
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "events": list(channel.events),
        "is_default": channel.is_default,
    }
