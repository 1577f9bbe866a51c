"""Runs that must end are interrupted, and their programs are ended."""

import subprocess
import threading
import time
from uuid import uuid4

import pytest

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode
from jobs_app.tasks.context import TaskOutcome
from jobs_app.worker.liveness.cancellation import CancellableRun, CancelListener, LimitReached
from jobs_app.worker.pool_process import Process
from jobs_app.worker.run_programs import RunPrograms

#: A program that says when it is ready, and lasts longer than any test.
PROGRAM = "{trap}echo ready; while :; do sleep 0.1; done"

LIMITS = RunLimits(soft_time_limit_seconds=None, time_limit_seconds=None, kill_grace_seconds=0)


class Listener(CancelListener):
    """A cancel listener without threads."""

    def enforce(self, run: CancellableRun) -> None:
        """Look at one run."""
        self._runs = {run.run_id: run}
        self._enforce([run])


@pytest.mark.parametrize("trap", ["", 'trap "" TERM; '])
@pytest.mark.parametrize("why", ["limit", "cancel"])
def test_a_task_that_waits_for_a_program_ends_also_where_no_process_is_killed(
    process: Process, why: str, trap: str
) -> None:
    programs = RunPrograms()
    program = subprocess.Popen(["/bin/sh", "-c", PROGRAM.format(trap=trap)], stdout=subprocess.PIPE)
    ended_by: list[str] = []

    def task() -> None:
        try:
            program.wait()
            time.sleep(10)
        except TaskOutcome as error:
            ended_by.append(type(error).__name__)

    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    thread = threading.Thread(target=task)
    thread.start()
    run = CancellableRun(
        uuid4(), 1, thread.ident or 0, LIMITS, is_cooperative=False, programs=programs
    )
    if why == "limit":
        run.interrupts = [(0.0, LimitReached)]
    else:
        run.cancel_mode = CancelMode.GRACEFUL
    listener = Listener(process.database, process.lease, may_kill_process=False)

    try:
        while thread.is_alive():
            listener.enforce(run)
            thread.join(0.05)
    finally:
        program.kill()
        program.communicate()

    assert ended_by == ["LimitReached" if why == "limit" else "Interrupted"]


@pytest.mark.parametrize("mode", CancelMode)
@pytest.mark.parametrize("grace, left_alone", [(0, 0.0), (2, 1.0), (10, 8.0)])
def test_an_abortable_task_has_the_grace_of_its_run_to_end_by_itself(
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
    mode: CancelMode,
    grace: int,
    left_alone: float,
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limits = RunLimits(None, None, kill_grace_seconds=grace)
    run = CancellableRun(uuid4(), 1, 0, limits, is_cooperative=False, is_abortable=True)
    listener = Listener(process.database, process.lease, may_kill_process=False)
    assert not run.is_aborted()

    run.cancel_mode = mode
    interrupted_after: list[float] = []
    for tenths in range(120):
        now = 100 + tenths / 10
        # Its thread has no number of ours: the exception reaches nobody.
        listener.enforce(run)
        if run.is_interrupted:
            interrupted_after.append(round(now - 100, 1))

    assert run.is_aborted()
    assert interrupted_after[0] == (left_alone if mode is CancelMode.GRACEFUL else 0.0)
