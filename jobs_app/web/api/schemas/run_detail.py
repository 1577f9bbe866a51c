"""The answer about one run, which has more than a run in a list."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from jobs_app.notifications.history import NotificationWithJob
from jobs_app.runs.same_error import SameError
from jobs_app.web.api.schemas.dump import dumped
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.api.schemas.notifications import NotificationOut, show_notification
from jobs_app.web.api.schemas.runs import RunOut

#: The most notifications that are shown with their run.
MOST_NOTIFICATIONS = 100


class SameErrorOut(BaseModel):
    """How many runs of the job ended with the error of this one, up to it, and since when.

    Of its last 100 runs in the same state; the errors may differ in numbers and ids.
    """

    count: int
    since: Instant


class RunDetail(RunOut):
    """A run, what its job was, its error before, and the notifications about it."""

    revision: int | None = Field(
        description="The revision of the job from which it was made; null for a repetition."
    )
    timezone: str = Field(description="The zone of its job, else JOBS_TIMEZONE.")
    same_error: SameErrorOut | None = Field(
        description="Null without an error, and if no earlier run ended with it."
    )
    notifications: list[NotificationOut] = Field(
        description=f"The last {MOST_NOTIFICATIONS} notifications about the run, oldest first."
    )


def show_detail(
    shown: dict[str, Any],
    notifications: Sequence[NotificationWithJob],
    *,
    revision: int | None,
    timezone: str,
    same_error: SameError | None,
) -> dict[str, Any]:
    """Return a run as it is *shown*, and its *notifications*, newest first, as JSON."""
    oldest_first = [show_notification(notification) for notification in reversed(notifications)]
    same = None
    if same_error is not None:
        same = dumped(SameErrorOut(count=same_error.count, since=same_error.since))
    more = {
        "revision": revision,
        "timezone": timezone,
        "same_error": same,
        "notifications": oldest_first,
    }
    return shown | more
