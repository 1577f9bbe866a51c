"""Notifications by real processes: a failure in a worker notifies, and no run waits for it."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from jobs_app.core import clock
from jobs_app.core.states import NotificationState, RunState
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import Run
from jobs_app.notifications import channels
from jobs_app.notifications.channel_input import ChannelInput, Webhook
from jobs_app.notifications.outbox import CLAIM_SECONDS
from jobs_app.notifications.rules import SUBSCRIBABLE_EVENTS
from jobs_app.secrets.encryption import Cipher
from tests.integration.system import System
from tests.notification_checks import KEY
from tests.notifications.webhook_server import WebhookServer, webhook_server
from tests.profiles import postgresql_nightly, sqlite_nightly
from tests.servers import crowding, wait_until

SECRET = "sixteen letters at least"


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """A running installation that may connect to this machine."""
    system = make_system(secret_key=KEY, allow_private_addresses=True)
    system.start("scheduler")
    system.start("worker")
    return system


def listen(system: System, recorder: WebhookServer, name: str = "desk") -> None:
    """Make a channel that sends all events of all jobs to *recorder*."""
    channel = ChannelInput(
        webhook=Webhook(recorder.url, SECRET), events=tuple(SUBSCRIBABLE_EVENTS), is_default=True
    )
    with system.database.session() as session:
        channels.create(session, name, channel, cipher=Cipher(KEY), by="tester", at=clock.now())


def notifications_of(system: System) -> list[Notification]:
    with system.database.reading() as session:
        return list(session.scalars(select(Notification).order_by(Notification.id)))


def runs_in(system: System, state: RunState) -> list[Run]:
    with system.database.reading() as session:
        return list(session.scalars(select(Run).where(Run.state == state)))


def documents(recorder: WebhookServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in recorder.received]


@postgresql_nightly
def test_a_failure_in_a_worker_notifies_with_the_end_of_its_log(
    system: System, recorder: WebhookServer
) -> None:
    listen(system, recorder)
    system.create(
        name="broken",
        task="shell",
        kwargs={"command": "echo so far so good; exit 3"},
        once_at=clock.now() + timedelta(seconds=2),
    )

    wait_until(lambda: recorder.received, "the webhook was called", timeout_seconds=90)

    (document, *_) = documents(recorder)
    assert document["title"] == "broken failed (exit code 3)"
    assert document["run"]["log_tail"] == "so far so good"
    wait_until(
        lambda: {row.state for row in notifications_of(system)} == {NotificationState.SENT},
        "the outcome was recorded",
        timeout_seconds=30,
    )


@sqlite_nightly
@pytest.mark.nightly
def test_a_channel_that_hangs_holds_up_no_tick_and_no_run(
    system: System, recorder: WebhookServer
) -> None:
    recorder.is_holding = True
    listen(system, recorder)
    system.create(task="shell", kwargs={"command": "false"}, interval_seconds=1)
    # Each message hangs for ten seconds: many runs are due meanwhile.
    wait_until(lambda: len(recorder.received) >= 2, "two messages hung", timeout_seconds=120)

    runs = runs_in(system, RunState.FAILED)
    delays = [run.created_at - run.scheduled_for for run in runs if run.scheduled_for is not None]
    assert len(runs) >= 10
    assert max(delays) < timedelta(seconds=5) * crowding()
    assert not [row for row in notifications_of(system) if row.state is NotificationState.SENT]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_scheduler_that_is_killed_while_it_sends_leaves_it_to_another(
    make_system: Callable[..., System], recorder: WebhookServer
) -> None:
    system = make_system(secret_key=KEY, allow_private_addresses=True)
    recorder.is_holding = True
    listen(system, recorder)
    with system.database.session() as session:
        notification_id = channels.test(session, "desk", by="tester", at=clock.now())
    system.start("scheduler")
    wait_until(lambda: recorder.received, "it is being sent", timeout_seconds=60)

    system.kill("scheduler")
    recorder.is_holding = False
    # It leaves the claim of the killed scheduler alone.
    system.start_ready("scheduler-2")
    assert len(recorder.received) == 1
    with system.database.session() as session:
        claimed = session.get_one(Notification, notification_id)
        assert claimed.due_at is not None
        # The claim expires after a minute: let it be over.
        claimed.due_at -= timedelta(seconds=CLAIM_SECONDS)
        session.commit()

    wait_until(lambda: len(recorder.received) >= 2, "it came again", timeout_seconds=60)
    ids = {request.headers["Jobs-Delivery"] for request in recorder.received}
    assert ids == {str(notification_id)}
    wait_until(
        lambda: notifications_of(system)[0].state is NotificationState.SENT,
        "the outcome was recorded",
        timeout_seconds=30,
    )
