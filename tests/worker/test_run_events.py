"""The event about the end of a run is what Celery's tools expect of a task."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from jobs_app.core.policies import RunLimits
from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.retry import RetryPolicy
from jobs_app.worker.run_events import ERROR_CHARS, PACKED_CHARS, event_of, packed, unpacked

ERROR = RunError("ValueError", "it's “no”" + "é" * 10_000)


def claimed(retry: RetryPolicy) -> ClaimedRun:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    limits = RunLimits(None, None, kill_grace_seconds=1)
    ids = (uuid4(), 1, uuid4())
    return ClaimedRun(
        *ids, None, None, "t", {"token": "x"}, None, limits, retry, at, "default", 5, None
    )


@pytest.mark.parametrize(
    "outcome, event",
    [
        (Outcome(RunState.SUCCEEDED, result="secret"), "task-succeeded"),
        (Outcome(RunState.FAILED, error=ERROR), "task-failed"),
        (Outcome(RunState.TIMED_OUT, error=ERROR), "task-failed"),
        (Outcome(RunState.LOST), "task-failed"),
        (Outcome(RunState.CANCELLED, error=ERROR), "task-revoked"),
        (Outcome(RunState.FAILED, error=ERROR, retry_after_seconds=3), "task-retried"),
    ],
)
def test_an_event_says_how_the_run_ended_and_nothing_of_its_data(
    outcome: Outcome, event: str
) -> None:
    made = event_of(claimed(RetryPolicy()), outcome, seconds=1.5)

    assert made.type == event
    assert "secret" not in str(made)
    if "exception" in made.fields and outcome.error:
        # The class before the bracket is what exporters count.
        assert made.fields["exception"].startswith("ValueError(\"it's “no”")
        assert len(made.fields["exception"]) < ERROR_CHARS + 20


def test_a_failure_that_the_job_retries_is_a_retry() -> None:
    retry = RetryPolicy(max_attempts=2)
    failed = Outcome(RunState.FAILED, error=ERROR)

    assert event_of(claimed(retry), failed, seconds=0).type == "task-retried"
    succeeded = Outcome(RunState.SUCCEEDED)
    assert event_of(claimed(retry), succeeded, seconds=0).type == "task-succeeded"


def test_an_event_survives_the_text_that_celery_makes_of_a_result() -> None:
    event = event_of(claimed(RetryPolicy()), Outcome(RunState.FAILED, error=ERROR), seconds=0)

    text = packed(event)

    assert len(text) < PACKED_CHARS
    assert unpacked(text) == unpacked(repr(text)) == event
    assert unpacked(repr(None)) is None
