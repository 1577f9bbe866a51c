"""The gate: how old a message may be, and how the log tells of those that are refused."""

import time
from uuid import uuid4

import pytest

from jobs_app.broker import gate as gates
from jobs_app.broker.gate import Gate, Refusal
from jobs_app.celery_app import RUN_TASK, JobsCelery
from tests.broker.conftest import QUEUE, received, send


@pytest.mark.parametrize("days, tasks", [(6, ["reports.make"]), (8, [])])
def test_an_old_copy_of_a_message_is_worth_nothing(
    app: JobsCelery, monkeypatch: pytest.MonkeyPatch, days: int, tasks: list[str]
) -> None:
    send(app)
    sent_at = time.time()
    monkeypatch.setattr(app.gate, "_now", lambda: sent_at + days * 86_400)

    assert received(app) == tasks


def test_the_age_of_a_message_counts_from_its_eta(
    app: JobsCelery, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(app, countdown=30 * 86_400)
    now = time.time() + 31 * 86_400
    monkeypatch.setattr(app.gate, "_now", lambda: now)

    assert received(app) == ["reports.make"]


def test_a_run_is_of_any_age(app: JobsCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    app.send_task(RUN_TASK, args=[str(uuid4()), 1], queue=QUEUE)
    now = time.time() + 1000 * 86_400
    monkeypatch.setattr(app.gate, "_now", lambda: now)

    assert received(app) == [RUN_TASK]


def test_the_log_counts_what_was_refused_once_a_minute(
    app: JobsCelery, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    gate = Gate(app.signer, ageless_task=RUN_TASK, monotonic=lambda: now)

    for _ in range(1000):
        gate.note(Refusal.UNSIGNED)
    gate.note(Refusal.COMPRESSED)
    now = gates.LOG_SECONDS
    gate.report()
    gate.report()

    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "messages_refused count=1 unsigned=1",
        "messages_refused count=1000 compressed=1 unsigned=999",
    ]
