"""The tables of channels and notifications."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.core.states import Event, NotificationState
from jobs_app.db.columns import Base, Json, new_run_id, one_of, partial_index


class NotificationChannel(Base):
    """The destination of notifications; the address with its secrets is stored only encrypted."""

    __tablename__ = "notification_channels"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(40))  # "webhook", or the scheme of apprise's URL
    encrypted: Mapped[str] = mapped_column("sealed", Text)
    events: Mapped[list[str]] = mapped_column(Json, default=list)
    is_default: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    # Ids are never reused: notifications outlive their channel.
    __table_args__ = ({"sqlite_autoincrement": True},)


class Notification(Base):
    """One event for one channel; the `pending` rows are the outbox.

    `due_at` is the time of the next try. No foreign keys: a channel that is deleted
    meanwhile must not keep a run from finishing.
    """

    __tablename__ = "notifications"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    channel_id: Mapped[int]
    channel: Mapped[str] = mapped_column(String(100))
    job_id: Mapped[int | None]
    run_id: Mapped[UUID | None]
    event: Mapped[Event] = mapped_column(one_of(Event, "event"))
    count: Mapped[int] = mapped_column(default=1)  # for `missed`: the number of fires
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    group_key: Mapped[str] = mapped_column(
        "alike", String(32)
    )  # equal for notifications that share a message
    state: Mapped[NotificationState] = mapped_column(
        one_of(NotificationState, "state"), default=NotificationState.PENDING
    )
    grouped_into: Mapped[UUID | None] = mapped_column(
        "told_by"
    )  # for `grouped`: the notification whose message contains it
    tries: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        # The sender: due notifications.
        partial_index("ix_notifications_due", "due_at", where="state = 'pending'"),
        # The sender: equal notifications, and when the last of them was sent.
        Index("ix_notifications_alike", "channel_id", "alike"),
        # The sender: the number of messages to a channel within the last minute.
        partial_index(
            "ix_notifications_sent", "channel_id", "sent_at", where="sent_at IS NOT NULL"
        ),
        # The text of a message: the notifications grouped into it.
        partial_index("ix_notifications_told_by", "told_by", where="told_by IS NOT NULL"),
        # GET /notifications of a job; GET /runs/{id}.
        Index("ix_notifications_job", "job_id", "id"),
        Index("ix_notifications_run", "run_id"),
        # One `late` per run and channel, also with several senders.
        partial_index(
            "uq_notifications_late", "run_id", "channel_id", unique=True, where="event = 'late'"
        ),
        # The same for `overrun`.
        partial_index(
            "uq_notifications_overrun",
            "run_id",
            "channel_id",
            unique=True,
            where="event = 'overrun'",
        ),
    )
