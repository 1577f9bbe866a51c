"""Where notifications go: channels, made and changed by people, their addresses encrypted."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    NotFound,
    StaleVersion,
)
from jobs_app.core.states import Event, NotificationState
from jobs_app.core.text import did_you_mean
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification, NotificationChannel
from jobs_app.notifications import record
from jobs_app.notifications.rules import DEFAULT_EVENTS, Rule, rules_from_json
from jobs_app.secrets.encryption import Cipher

# It logs the addresses that it reads, and takes only some of the secrets out of them.
logging.getLogger("apprise").disabled = True

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
_NAME_RULE = (
    "must be 1 to 100 lower-case letters, digits, '.', '_' or '-', "
    "with a letter or digit at both ends"
)

#: The kind of a channel that is called with a signed request, not through apprise.
WEBHOOK = "webhook"

#: apprise's services that show something on the machine they run on: no one sits there.
LOCAL_SCHEMES = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)

MIN_SECRET_LENGTH = 16

#: How many jobs an error names.
NAMED_JOBS = 5


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is called with a signed request."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class ChannelInput:
    """What a person says of a channel: one of *url* (apprise's) and *webhook*.

    For a change, None means that it stays.
    """

    url: str | None = None
    webhook: Webhook | None = None
    events: tuple[Event, ...] | None = None
    is_default: bool | None = None


def create(
    session: Session, name: str, said: ChannelInput, *, cipher: Cipher, by: str, at: datetime
) -> NotificationChannel:
    """Store a new channel. Raises InvalidInput, Conflict (`name_taken`)."""
    errors = [*_name_errors(name), *_errors(said, is_new=True)]
    _refuse(errors)
    channel = NotificationChannel(
        name=name,
        kind=_kind(said),
        encrypted=cipher.encrypt(_target(said)),
        events=[event.value for event in (DEFAULT_EVENTS if said.events is None else said.events)],
        is_default=bool(said.is_default),
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
    audit.note(session, "create_channel", by=by, at=at, **_described(channel))
    record.refresh_subscriptions(session)
    session.commit()
    return channel


def change(
    session: Session,
    name: str,
    said: ChannelInput,
    *,
    version: int | None,
    cipher: Cipher,
    by: str,
    at: datetime,
) -> NotificationChannel:
    """Change what *said* has of a channel, if its version is still *version* (None: any).

    Raises InvalidInput, NotFound, StaleVersion.
    """
    _refuse(_errors(said, is_new=False))
    channel = _lock(session, name, version)
    before = _described(channel)
    if said.url is not None or said.webhook is not None:
        channel.kind, channel.encrypted = _kind(said), cipher.encrypt(_target(said))
    if said.events is not None:
        channel.events = [event.value for event in said.events]
    if said.is_default is not None:
        channel.is_default = said.is_default
    channel.version += 1
    channel.updated_at = at
    session.flush()
    # That the address is another one is all that the audit may say of it.
    is_moved = said.url is not None or said.webhook is not None
    after = _described(channel) | ({"address": "changed"} if is_moved else {})
    audit.note(session, "change_channel", by=by, at=at, before=before, after=after)
    record.refresh_subscriptions(session)
    session.commit()
    return channel


def delete(session: Session, name: str, *, version: int | None, by: str, at: datetime) -> None:
    """Delete a channel; what it was still to be told is not sent.

    Raises Conflict (`channel_in_use`) while a job names it, NotFound, StaleVersion.
    """
    channel = _lock(session, name, version)
    if users := _users(session, name):
        session.rollback()
        more = len(users) - NAMED_JOBS
        shown = ", ".join(users[:NAMED_JOBS]) + (f" and {more} more" if more > 0 else "")
        raise Conflict(
            f"Jobs name the channel {name!r}: {shown}. Take it out of their notify first.",
            code="channel_in_use",
        )
    session.execute(
        update(Notification)
        .where(
            Notification.channel_id == channel.id, Notification.state == NotificationState.PENDING
        )
        .values(state=NotificationState.SUPPRESSED, due_at=None, error="The channel was deleted.")
        .execution_options(synchronize_session=False)
    )
    audit.note(session, "delete_channel", by=by, at=at, **_described(channel))
    session.delete(channel)
    session.flush()
    record.refresh_subscriptions(session)
    session.commit()


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
    wanted = select(NotificationChannel).where(NotificationChannel.name == name)
    channel = session.scalars(wanted).one_or_none()
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
    """Return what is wrong with the rules of a job."""
    errors = []
    known = names(session) if rules else []
    for index, rule in enumerate(rules or ()):
        if rule.channel not in known:
            hint = did_you_mean(rule.channel, known) if known else " There are no channels yet."
            detail = f"There is no channel {rule.channel[:100]!r}.{hint}"
            errors.append(FieldError(f"/notify/{index}/channel", "no_such_channel", detail))
    return errors


def _users(session: Session, name: str) -> list[str]:
    """Return the names of the jobs whose rules name the channel *name*."""
    statement = (
        select(Job.name, Job.notify)
        .where(Job.notify.is_not(null()), Job.deleted_at.is_(None))
        .order_by(Job.name)
    )
    return [
        row.name
        for row in session.execute(statement)
        if any(rule.channel == name for rule in rules_from_json(row.notify) or ())
    ]


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
        found = locked.version
        session.rollback()
        raise StaleVersion(f"The channel is at version {found}, not {version}: read it again.")
    return locked


def _described(channel: NotificationChannel) -> dict[str, Any]:
    """Return *channel* as the audit keeps it: nothing of its address but the kind."""
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "events": list(channel.events),
        "is_default": channel.is_default,
    }


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors), errors=errors)


def _name_errors(name: str) -> list[FieldError]:
    if NAME.fullmatch(name):
        return []
    shown = name if len(name) <= 60 else name[:60] + "…"
    return [FieldError("/name", "invalid_name", f"The name {shown!r} {_NAME_RULE}.")]


def _errors(said: ChannelInput, *, is_new: bool) -> list[FieldError]:
    if said.url is not None and said.webhook is not None:
        detail = "A channel has exactly one of url and webhook. This has both."
        return [FieldError("", "one_address", detail)]
    if said.url is not None:
        return _url_errors(said.url)
    if said.webhook is not None:
        return _webhook_errors(said.webhook)
    if is_new:
        detail = "A channel has exactly one of url and webhook. This has none."
        return [FieldError("", "one_address", detail)]
    return []


def _url_errors(url: str) -> list[FieldError]:
    """Return what is wrong with an address of apprise's, repeating its scheme only."""
    # Half a second that only whoever makes a channel need wait for.
    import apprise  # noqa: PLC0415
    from apprise.manager_plugins import NotificationManager  # noqa: PLC0415

    pointer = "/url"
    scheme, separator, _ = url.partition("://")
    scheme = scheme.strip().lower()
    if not separator or not re.fullmatch(r"[a-z0-9_.+-]{1,40}", scheme):
        detail = "The URL must be one of apprise's, as in mailto://USER:PASSWORD@HOST."
        return [FieldError(pointer, "invalid_url", detail)]
    manager: Any = NotificationManager
    known = [name for name in manager().schemas() if name not in LOCAL_SCHEMES]
    if scheme in LOCAL_SCHEMES:
        detail = f"{scheme}:// shows messages on the scheduler's own machine, where nobody looks."
        return [FieldError(pointer, "local_service", detail)]
    if scheme not in known:
        hint = did_you_mean(scheme, known)
        if scheme in {"http", "https"}:
            hint = " For an address of your own use webhook, or json://."
        detail = f"There is no service {scheme}://.{hint}"
        return [FieldError(pointer, "no_such_service", detail)]
    if apprise.Apprise.instantiate(url, suppress_exceptions=True) is None:
        detail = (
            f"The URL is not complete, or not as {scheme}:// wants it: see "
            "https://github.com/caronc/apprise/wiki."
        )
        return [FieldError(pointer, "invalid_url", detail)]
    return []


def _webhook_errors(webhook: Webhook) -> list[FieldError]:
    errors = []
    try:
        parts = urlsplit(webhook.url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not webhook.url.isascii() or re.search(r"\s", webhook.url):
        detail = "The URL of a webhook must begin with http:// or https:// and name a host."
        errors.append(FieldError("/webhook/url", "invalid_url", detail))
    if len(webhook.secret) < MIN_SECRET_LENGTH:
        detail = f"The secret of a webhook must have at least {MIN_SECRET_LENGTH} characters."
        errors.append(FieldError("/webhook/secret", "too_short", detail))
    return errors


def _kind(said: ChannelInput) -> str:
    if said.url is not None:
        return said.url.partition("://")[0].strip().lower()
    return WEBHOOK


def _target(said: ChannelInput) -> str:
    """Return the address as it is encrypted."""
    if said.webhook is not None:
        return json.dumps({"webhook": {"url": said.webhook.url, "secret": said.webhook.secret}})
    return json.dumps({"url": said.url})
