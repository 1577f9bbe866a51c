"""Channels and notifications for tests."""

from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import select

from jobs_app.core.run_error import RunError
from jobs_app.core.states import Event, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.notifications import channels
from jobs_app.notifications.channel_input import ChannelInput
from jobs_app.notifications.rules import SUBSCRIBABLE_EVENTS
from jobs_app.secrets.encryption import Cipher
from tests.factories import NOON, claim, finish, make_run

KEY = Fernet.generate_key().decode()
CIPHER = Cipher(KEY)

#: A service that apprise knows, at a name that never resolves.
NOWHERE = "json://nobody.invalid"


def make_channel(
    database: Database,
    name: str = "ops",
    *,
    url: str | None = None,
    events: tuple[Event, ...] = SUBSCRIBABLE_EVENTS,
    is_default: bool = True,
    at: datetime = NOON - timedelta(hours=1),
    **address: Any,
) -> int:
    """Make a channel that gets all events of all jobs, and return its id."""
    if "webhook" not in address:
        address["url"] = url or NOWHERE
    channel = ChannelInput(events=events, is_default=is_default, **address)
    with database.session() as session:
        row = channels.create(session, name, channel, cipher=CIPHER, by="tester", at=at)
        return row.id


def finish_run(
    database: Database,
    job: Job,
    worker: Any,
    state: RunState,
    *,
    at: datetime = NOON,
    **outcome: Any,
) -> Any:
    """Finish a run of *job* in *state* at an instant, and return its id."""
    if state is not RunState.SUCCEEDED:
        outcome.setdefault("error", RunError("Broken", "it broke"))
    run_id = make_run(database, job, at=at)
    claim(database, run_id, worker, at=at)
    assert finish(database, run_id, state, at=at, **outcome)
    return run_id


def notified_events(database: Database) -> list[tuple[str, str]]:
    """Return the channel and the event of each notification, in order."""
    return [(row.channel, row.event.value) for row in rows(database)]


def rows(database: Database) -> list[Notification]:
    """Return all notifications, the oldest first."""
    statement = select(Notification).order_by(Notification.id)
    with database.reading() as session:
        return list(session.scalars(statement))
