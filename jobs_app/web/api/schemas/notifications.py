"""Notifications as the API returns them, in their own list and with their run."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from jobs_app.core.states import Event, NotificationState
from jobs_app.notifications.history import NotificationWithJob
from jobs_app.web.api.schemas.fields import Instant


class NotificationOut(BaseModel):
    """A notification of one event for one channel, and its state."""

    model_config = ConfigDict(populate_by_name=True)

    id: UUID
    channel: str
    event: Event
    job: str | None
    run_id: UUID | None
    state: NotificationState
    count: int = Field(description="For `missed`: the number of fires.")
    tries: int
    grouped_into: UUID | None = Field(
        alias="told_by", description="For `grouped`: the notification whose message includes it."
    )
    created_at: Instant
    due_at: Instant | None
    sent_at: Instant | None
    error: str | None


def show_notification(entry: NotificationWithJob) -> dict[str, Any]:
    """Return a notification as JSON."""
    names = NotificationOut.model_fields.keys() - {"job"}
    columns = {name: getattr(entry.Notification, name) for name in names}
    out = NotificationOut(job=entry.job_name, **columns)
    return out.model_dump(mode="json", by_alias=True)
