"""Notifications as they are returned, in their own list and with their run."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from jobs_app.core.states import Event, NotificationState
from jobs_app.notifications.history import Shown
from jobs_app.web.api.schemas.fields import Instant


class NotificationOut(BaseModel):
    """What one channel was, or is to be, told of one event."""

    id: UUID
    channel: str
    event: Event
    job: str | None
    run_id: UUID | None
    state: NotificationState
    count: int = Field(description="Of `missed`: how many fires it tells of.")
    tries: int
    told_by: UUID | None = Field(description="Of `grouped`: whose message tells of it too.")
    created_at: Instant
    due_at: Instant | None
    sent_at: Instant | None
    error: str | None


def show_notification(shown: Shown) -> dict[str, Any]:
    """Return a notification as it goes over the wire."""
    names = NotificationOut.model_fields.keys() - {"job"}
    out = NotificationOut(job=shown.job, **{name: getattr(shown.row, name) for name in names})
    return out.model_dump(mode="json")
