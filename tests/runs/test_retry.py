"""When a failed attempt is tried again."""

import json
from uuid import UUID

import pytest

from jobs_app.core.states import RunState
from jobs_app.db.columns import new_run_id
from jobs_app.runs.retry import RetryPolicy

RUN = UUID("0192e7a0-0000-7000-8000-000000000001")


@pytest.mark.parametrize(
    "policy, outcome, attempt, allowed",
    [
        (RetryPolicy(), RunState.FAILED, 1, False),
        (RetryPolicy(max_attempts=3), RunState.FAILED, 2, True),
        (RetryPolicy(max_attempts=3), RunState.FAILED, 3, False),
        (RetryPolicy(max_attempts=3), RunState.CANCELLED, 1, False),
        (RetryPolicy(max_attempts=3), RunState.SUCCEEDED, 1, False),
        (RetryPolicy(max_attempts=3, on=(RunState.LOST,)), RunState.FAILED, 1, False),
    ],
)
def test_which_outcome_is_followed_by_another_attempt(
    policy: RetryPolicy, outcome: RunState, attempt: int, allowed: bool
) -> None:
    assert policy.allows(outcome, attempt=attempt) is allowed


def test_delays_double_up_to_their_cap() -> None:
    policy = RetryPolicy(delay_seconds=10, max_delay_seconds=60, jitter=False)

    assert [policy.delay(RUN, attempt=n) for n in (1, 2, 3, 4, 90)] == [10, 20, 40, 60, 60]


def test_constant_delays_stay() -> None:
    policy = RetryPolicy(delay_seconds=10, backoff="constant", jitter=False)

    assert [policy.delay(RUN, attempt=n) for n in (1, 5)] == [10, 10]


def test_jitter_spreads_runs_and_is_the_same_when_asked_again() -> None:
    policy = RetryPolicy(delay_seconds=100, jitter=True)
    runs = [new_run_id() for _ in range(200)]

    delays = [policy.delay(run, attempt=1) for run in runs]

    assert delays == [policy.delay(run, attempt=1) for run in runs]
    assert min(delays) >= 50
    assert max(delays) <= 100
    assert len(set(delays)) > 100


def test_a_policy_survives_its_row() -> None:
    policy = RetryPolicy(max_attempts=4, on=(RunState.LOST,))
    stored = {name: getattr(policy, name) for name in RetryPolicy.__slots__}

    assert RetryPolicy.from_json(stored | {"on": ["lost"]}) == policy
    assert RetryPolicy.from_json({}) == RetryPolicy()


def test_a_whole_number_of_seconds_is_stored_as_the_api_sends_it() -> None:
    default, sent = RetryPolicy(), RetryPolicy(delay_seconds=30.0, max_delay_seconds=600.0)

    assert json.dumps(default.as_json()) == json.dumps(sent.as_json())
