"""Routes under /channels and /notifications."""

import time
from functools import partial
from operator import attrgetter
from typing import Annotated, ClassVar
from uuid import UUID

from flask import Response, jsonify
from flask_openapi3 import Tag
from pydantic import BaseModel, ConfigDict, Field

from jobs_app.core import clock
from jobs_app.core.errors import NotFound
from jobs_app.core.states import Event, NotificationState
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.notifications import channels, history
from jobs_app.notifications.channel_input import MIN_SECRET_LENGTH, NAME, ChannelInput, Webhook
from jobs_app.notifications.rules import DEFAULT_EVENTS
from jobs_app.secrets.encryption import Cipher, load_cipher
from jobs_app.tasks.installation_policy import http_policy
from jobs_app.web import extension
from jobs_app.web.api import pagination, preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.pagination import ListQuery
from jobs_app.web.api.preconditions import IfMatch, MayRepeat
from jobs_app.web.api.responses import all_as_json, as_json, checked_name, located, versioned
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.fields import AnyOf, Instant, Search
from jobs_app.web.api.schemas.job_input import NAME_SCHEMA, Name, NotifyEvents
from jobs_app.web.api.schemas.notifications import NotificationOut, show_notification
from jobs_app.web.permissions import actor
from jobs_app.web.session import database, reading, session

api = LateBlueprint(
    "channels",
    __name__,
    abp_tags=[
        Tag(name="notifications", description="Channels, and the notifications that they got.")
    ],
)

KIND = "channels"
NOTIFICATIONS_KIND = "notifications"

#: Seconds that a test waits for a scheduler to send its message, and between two looks.
TEST_SECONDS = 15.0
POLL_SECONDS = 0.25

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4000,
        description="An address for apprise. It is stored encrypted and never returned.",
        examples=["mailto://user:password@example.org"],
    ),
]


class WebhookIn(Input):
    """An address that is called with a signed request; its secret is never returned."""

    url: Annotated[str, Field(min_length=1, max_length=4000)]
    secret: Annotated[str, Field(min_length=MIN_SECRET_LENGTH, max_length=1000)]


READ_ONLY = {
    "kind": "It follows from the address.",
    "version": "Send If-Match to say which version you change.",
    "created_at": "",
    "updated_at": "",
}


class ChannelIn(Input):
    """A new channel: its name, and exactly one of `url` and `webhook`."""

    read_only: ClassVar = READ_ONLY

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "ops", "url": "mailto://user:password@example.org"}]
        }
    )

    name: Name
    url: Url | None = None
    webhook: WebhookIn | None = None
    events: NotifyEvents = [
        "failed",
        "recovered",
        "late",
        "missed",
        "lost",
        "paused",
        "overrun",
    ]
    is_default: bool = False


class ChannelPatch(Input):
    """Changes of a channel; a field that is left out stays. The name never changes."""

    read_only: ClassVar = READ_ONLY | {"name": "Jobs name their channels: make a new one."}

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_default": True}]})

    url: Url | None = None
    webhook: WebhookIn | None = None
    events: NotifyEvents | None = None
    is_default: bool | None = None


class ChannelOut(BaseModel):
    """A channel without its address: `kind` is `webhook` or the scheme of apprise's URL."""

    name: str
    kind: str
    events: list[Event]
    is_default: bool
    version: int
    created_at: Instant
    updated_at: Instant


class SavedChannelOut(ChannelOut):
    """A channel that was stored; `warnings` say why its messages cannot be sent."""

    warnings: list[str]


class ChannelPage(BaseModel):
    """Part of the list of channels; `next_cursor` is null at its end."""

    items: list[ChannelOut]
    next_cursor: str | None


class NotificationPage(BaseModel):
    """Part of the list of notifications; `next_cursor` is null at its end."""

    items: list[NotificationOut]
    next_cursor: str | None


class ChannelPath(Query):
    """The channel in the address."""

    name: Annotated[str, Field(json_schema_extra={**NAME_SCHEMA, "example": "ops"})]


class NotificationQuery(ListQuery):
    """The filters of the list of notifications."""

    job: Search | None = None
    channel: Search | None = None
    run: UUID | None = None
    state: Annotated[
        tuple[NotificationState, ...],
        AnyOf(
            NotificationState,
            "states of notifications",
            "The state of the notification.",
            ("failed",),
        ),
    ] = ()
    event: Annotated[
        tuple[Event, ...],
        AnyOf(Event, "events", "The event that it is about.", ("failed", "lost")),
    ] = ()


@api.get("/channels", responses={200: ChannelPage, **problems(400)})
def list_channels(query: ListQuery) -> Response:
    """List channels by name."""
    after = pagination.decode_name(KIND, query.cursor, NAME)
    rows = channels.page(session(), after=after, limit=query.limit + 1)
    return pagination.page(
        KIND, query.limit, rows, key=attrgetter("name"), show=partial(all_as_json, ChannelOut)
    )


@api.post("/channels", responses={201: SavedChannelOut, **problems(409, body=True)})
def create_channel(header: MayRepeat, body: ChannelIn) -> Response:
    """Create a channel."""
    return preconditions.once(lambda: _create(body))


def _create(body: ChannelIn) -> Response:
    fields = _channel_input(body)
    channel = channels.create(
        session(), body.name, fields, cipher=_cipher(), by=actor(), at=clock.now()
    )
    return located(_saved(channel, fields), 201, f"/api/v1/channels/{channel.name}")


@api.get("/channels/<name>", responses={200: ChannelOut, **problems(404)})
def read_channel(path: ChannelPath) -> Response:
    """Read a channel, without its address."""
    return _answer(channels.get(session(), checked_name(NAME, path.name, "channel")))


@api.patch(
    "/channels/<name>", responses={200: SavedChannelOut, **problems(404, 412, 428, body=True)}
)
def change_channel(header: IfMatch, path: ChannelPath, body: ChannelPatch) -> Response:
    """Change some fields of a channel (JSON Merge Patch)."""
    fields = _channel_input(body)
    channel = channels.change(
        session(),
        checked_name(NAME, path.name, "channel"),
        fields,
        version=preconditions.expected_version(),
        cipher=_cipher(),
        by=actor(),
        at=clock.now(),
    )
    return _saved(channel, fields)


@api.delete("/channels/<name>", responses={204: None, **problems(404, 409, 412, 428)})
def delete_channel(header: IfMatch, path: ChannelPath) -> Response:
    """Delete a channel that no job names."""
    name = checked_name(NAME, path.name, "channel")
    version = preconditions.expected_version()
    channels.delete(session(), name, version=version, by=actor(), at=clock.now())
    return Response(status=204)


@api.post(
    "/channels/<name>/test", responses={200: NotificationOut, 202: NotificationOut, **problems(404)}
)
def test_channel(path: ChannelPath) -> Response:
    """Send a test message and wait for its outcome. 202: no scheduler has sent it yet."""
    name, at = checked_name(NAME, path.name, "channel"), clock.now()
    notification_id = channels.test(session(), name, by=actor(), at=at)
    # Without a scheduler no message is sent: do not wait.
    seconds = TEST_SECONDS if history.has_sender(session(), at=at) else 0.0
    # Hold no connection of the database while the scheduler works.
    database.session.remove()
    deadline = time.monotonic() + seconds
    while True:
        with reading() as fresh_session:
            entry = history.get(fresh_session, notification_id)
        is_over = entry is None or entry.Notification.state is not NotificationState.PENDING
        if is_over or time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    if entry is None:
        raise NotFound("The notification is gone.", code="notification_not_found")
    response = jsonify(show_notification(entry))
    response.status_code = 200 if is_over else 202
    return response


@api.get("/notifications", responses={200: NotificationPage, **problems(400)})
def list_notifications(query: NotificationQuery) -> Response:
    """List notifications with their outcome, newest first."""
    filters = query.model_dump(exclude={"limit", "cursor", "run"})
    conditions = history.NotificationFilter(run_id=query.run, **filters)
    before = pagination.decode(NOTIFICATIONS_KIND, query.cursor, UUID)
    entries = history.page(session(), conditions, before=before, limit=query.limit + 1)
    return pagination.page(
        NOTIFICATIONS_KIND,
        query.limit,
        entries,
        key=lambda item: item.Notification.id,
        show=lambda items: [show_notification(item) for item in items],
    )


def _answer(channel: NotificationChannel) -> Response:
    return versioned(as_json(ChannelOut, channel), channel.version)


def _saved(channel: NotificationChannel, fields: ChannelInput) -> Response:
    warnings = fields.warnings(http_policy(extension.current().settings))
    return versioned(as_json(ChannelOut, channel) | {"warnings": warnings}, channel.version)


def _channel_input(body: ChannelIn | ChannelPatch) -> ChannelInput:
    webhook = None
    if body.webhook is not None:
        webhook = Webhook(body.webhook.url, body.webhook.secret)
    events = None if body.events is None else tuple(Event(name) for name in body.events)
    # null means the default, as everywhere in a patch.
    if events is None and "events" in body.model_fields_set:
        events = DEFAULT_EVENTS
    is_default = body.is_default
    if is_default is None and "is_default" in body.model_fields_set:
        is_default = False
    return ChannelInput(
        url=body.url,
        webhook=webhook,
        events=None if events is None else tuple(dict.fromkeys(events)),
        is_default=is_default,
    )


def _cipher() -> Cipher:
    return load_cipher(extension.current().settings, makes_key=True)
