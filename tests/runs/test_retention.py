"""How long history is kept: a job's own word, or the installation's."""

from datetime import timedelta

from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.runs.retention import Retention
from tests.factories import DAY, NOON


def test_what_a_job_leaves_out_is_as_the_settings_have_it() -> None:
    limits = Retention.from_json({"keep_runs": 5, "keep_days": None}).limits(Settings(keep_days=3))

    assert (limits.keep_runs, limits.keep_days) == (5, 3)
    assert Retention.from_json(None).limits(Settings()) == Retention().limits(Settings())


def test_each_kind_of_end_is_kept_for_its_own_time() -> None:
    limits = Retention(keep_failed_days=2, keep_log_days=5).limits(Settings(keep_days=1))

    for state in (RunState.SUCCEEDED, RunState.CANCELLED, RunState.SKIPPED, RunState.MISSED):
        assert limits.oldest(state, at=NOON) == NOON - DAY
    for state in (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST):
        assert limits.oldest(state, at=NOON) == NOON - timedelta(days=2)
