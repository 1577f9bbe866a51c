"""What real processes tell: counters, a heartbeat from exactly one scheduler, logs in JSON."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from jobs_app.db.counters import Key
from jobs_app.db.models.metrics import MetricCounter
from jobs_app.runs import counting
from tests.integration.system import System
from tests.notifications.webhook_server import WebhookServer, webhook_server
from tests.servers import wait_until


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        server.statuses = [200]
        yield server


def counters(system: System) -> dict[Key, float]:
    """Return the counters of /metrics as the database has them."""
    with system.database.reading() as session:
        rows = session.scalars(select(MetricCounter))
        return {Key(row.name, row.job_id, row.label): row.value for row in rows}


def paths(recorder: WebhookServer, path: str) -> list[bytes]:
    """Return the bodies of the requests to *path*."""
    return [received.body for received in recorder.received if received.path == path]


@pytest.mark.nightly
def test_processes_count_call_and_log(
    make_system: Callable[..., System], recorder: WebhookServer
) -> None:
    system = make_system(
        log_format="json",
        heartbeat_url=f"{recorder.url}/ping/canary",
        heartbeat_url_seconds=5,
        otlp_url=f"{recorder.url}/v1/traces",
        allow_private_addresses=True,
    )
    began = time.monotonic()
    for name in ("scheduler", "scheduler-2", "worker"):
        system.start_ready(name)
    job = system.create(interval_seconds=2, kwargs={"duration": 0})
    succeeded = Key(counting.FINISHED, job.id, "succeeded")

    wait_until(
        lambda: counters(system).get(succeeded, 0) >= 2, "runs are counted", timeout_seconds=40
    )
    wait_until(lambda: len(paths(recorder, "/ping/canary")) >= 2, "it beats", timeout_seconds=20)
    # By the active scheduler alone: not twice in one interval.
    beats = len(paths(recorder, "/ping/canary"))
    assert beats <= 1 + (time.monotonic() - began) / 5
    active = next(pid for pid, is_active in system.schedulers().items() if is_active)
    name = next(key for key, process in system.processes.items() if process.pid == active)
    before = counters(system)
    system.kill(name)
    wait_until(
        lambda: len(paths(recorder, "/ping/canary")) > beats,
        "the other one beats",
        timeout_seconds=30,
    )
    wait_until(
        lambda: counters(system)[succeeded] > before[succeeded],
        "the other one counts",
        timeout_seconds=40,
    )

    wait_until(lambda: paths(recorder, "/v1/traces"), "a trace is sent")
    sent = json.loads(paths(recorder, "/v1/traces")[0])["resourceSpans"][0]["scopeSpans"][0]
    assert sent["spans"][0]["name"] == job.name
    assert sent["spans"][0]["traceId"] in {run.id.hex for run in system.runs(job)}
    after = counters(system)
    assert all(after[key] >= value for key, value in before.items())
    runs = sum(value for key, value in after.items() if key.name == counting.FINISHED)
    assert runs <= len(system.runs(job))
    for process in ("scheduler", "scheduler-2", "worker"):
        lines = [json.loads(line) for line in system.log(process).splitlines()]
        assert lines
        assert "canary" not in system.log(process)
    started = [line for line in lines if line.get("event") == "run_started"]
    assert {line["run_id"] for line in started} <= {str(run.id) for run in system.runs(job)}
