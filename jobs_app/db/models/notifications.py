"""The tables of channels and notifications."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.core.states import Event, NotificationState
from jobs_app.db.columns import Base, Json, new_run_id, one_of, partial_index


class NotificationChannel(Base):
    """Where notifications go; the address, with its secrets, is there only encrypted."""

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

    # An id names one channel for ever: notifications outlive theirs.
    __table_args__ = ({"sqlite_autoincrement": True},)


class Notification(Base):
    """What one channel is told of one event; while `pending`, also its outbox.

    `due_at` is when it is sent (again). No foreign keys: the end of a run must be written
    whatever becomes of a channel just then.
    """

    __tablename__ = "notifications"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    channel_id: Mapped[int]
    channel: Mapped[str] = mapped_column(String(100))
    job_id: Mapped[int | None]
    run_id: Mapped[UUID | None]
    event: Mapped[Event] = mapped_column(one_of(Event, "event"))
    count: Mapped[int] = mapped_column(default=1)  # how many fires a `missed` one stands for
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    group_key: Mapped[str] = mapped_column(
        "alike", String(32)
    )  # the same for those that one message tells
    state: Mapped[NotificationState] = mapped_column(
        one_of(NotificationState, "state"), default=NotificationState.PENDING
    )
    grouped_into: Mapped[UUID | None] = mapped_column(
        "told_by"
    )  # of a `grouped` one: the notification whose message tells of it
    tries: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        # The sender: what is due.
        partial_index("ix_notifications_due", "due_at", where="state = 'pending'"),
        # The sender: others like this one, and when the last of them was sent.
        Index("ix_notifications_alike", "channel_id", "alike"),
        # The sender: how many a channel got within the last minute.
        partial_index(
            "ix_notifications_sent", "channel_id", "sent_at", where="sent_at IS NOT NULL"
        ),
        # The text of a message: what else it tells of.
        partial_index("ix_notifications_told_by", "told_by", where="told_by IS NOT NULL"),
        # GET /notifications of a job; GET /runs/{id}.
        Index("ix_notifications_job", "job_id", "id"),
        Index("ix_notifications_run", "run_id"),
        # A run is late once, whoever notices and however often.
        partial_index(
            "uq_notifications_late", "run_id", "channel_id", unique=True, where="event = 'late'"
        ),
    )
