"""Which ticks are a sign of life for the heartbeat's URL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.scheduler.observers import Observers
from tests.notifications.webhook_server import WebhookServer, webhook_server
from tests.profiles import postgresql_nightly
from tests.servers import wait_until

pytestmark = postgresql_nightly


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


@pytest.fixture
def observers(database: Database, recorder: WebhookServer, tmp_path: Path) -> Iterator[Observers]:
    settings = Settings(
        data_dir=tmp_path, heartbeat_url=f"{recorder.url}/ping", allow_private_addresses=True
    )
    made = Observers(database, settings)
    made.start()
    yield made
    made.stop()


def test_a_standby_and_a_tick_that_failed_call_nothing(
    observers: Observers, recorder: WebhookServer
) -> None:
    observers.ticked(100.0, is_active=False)
    observers.tick_failed()
    observers.ticked(101.0, is_active=True)
    assert recorder.received == []

    observers.ticked(102.0, is_active=True)

    wait_until(lambda: len(recorder.received) == 1, "the next good tick calls")
