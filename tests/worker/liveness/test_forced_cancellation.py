"""How long a run that must end may take, before its process is killed from outside."""

import pytest

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode
from jobs_app.db.columns import new_run_id
from jobs_app.runs.cancel import CancelRequest
from jobs_app.worker.liveness.cancellation import LAST_GRACE_SECONDS
from jobs_app.worker.liveness.forced_cancellation import FORCE_DELAY_SECONDS, grace_of

GRACEFUL, KILL = CancelMode.GRACEFUL, CancelMode.KILL


@pytest.mark.parametrize(
    "task, mode, seconds",
    [
        ("reports.make", GRACEFUL, 7 + FORCE_DELAY_SECONDS),
        ("reports.make", KILL, FORCE_DELAY_SECONDS),
        # Its supervisor kills the command after the grace, in either mode.
        ("shell", GRACEFUL, 7 + LAST_GRACE_SECONDS + FORCE_DELAY_SECONDS),
        ("shell", KILL, 7 + LAST_GRACE_SECONDS + FORCE_DELAY_SECONDS),
    ],
)
def test_the_process_of_the_run_itself_acts_first(
    task: str, mode: CancelMode, seconds: float
) -> None:
    request = CancelRequest(new_run_id(), 1, task, mode, RunLimits(kill_grace_seconds=7))

    assert grace_of(request) == seconds
