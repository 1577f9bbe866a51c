"""What a run changes of its process: the next run does not find it, or another process."""

import os
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from tests.faults.changing_tasks import CHANGES, CHANGES_OF_ROOT, DAMAGES, DAMAGES_OF_ROOT, LASTING
from tests.faults.installation import Installation
from tests.profiles import threads_nightly

TASKS = "tests.faults.changing_tasks"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def end_of(installation: Installation, task: str, /, **kwargs: Any) -> Run:
    run_id: UUID = installation.start_run(f"{TASKS}.{task}", **kwargs)
    return installation.wait_for_end(run_id, seconds=40)


def log_of(installation: Installation, run: Run) -> str:
    with installation.database.reading() as session:
        return "".join(chunk.text for chunk in history.log(session, run.id, attempt=1))


@pytest.mark.parametrize("pool", ["prefork", pytest.param("solo", marks=pytest.mark.nightly)])
def test_the_next_run_finds_its_process_as_it_was(
    make_worker: Callable[..., Installation], pool: str
) -> None:
    worker = make_worker(worker_pool=pool)
    before = end_of(worker, "reports")
    log = log_of(worker, before)
    assert log.count("record") == 2
    changes = CHANGES | (CHANGES_OF_ROOT if os.geteuid() == 0 else {})
    later = {"an alarm": 1.2} | {w: 0.5 for w in changes if "timer" in w or "delayed" in w}
    if pool == "solo":
        # There the streams are those of the worker itself, which leads its session.
        skipped = {"closed output", "a process group"}
        changes = {what: change for what, change in changes.items() if what not in skipped}

    for what in changes:
        changed = end_of(worker, "changes", what=what)
        after = end_of(worker, "reports", seconds=later.get(what, 0.0))

        assert changed.state is RunState.SUCCEEDED, (what, changed.error)
        assert changed.result == before.result["pid"], (what, worker.log("worker")[-2000:])
        assert after.state is RunState.SUCCEEDED, (what, after.reason, after.error)
        assert after.result == before.result, what
        assert log_of(worker, after) == log, what
    # And the worker's own log goes on.
    assert worker.log("worker").count("run_started") == 2 * len(changes) + 1


def test_a_process_that_cannot_be_as_it_was_is_replaced(
    make_worker: Callable[..., Installation],
) -> None:
    # Otherwise no process may gain rights from its start, and a task changes nothing by that.
    worker = make_worker(new_privileges=True)
    pid = end_of(worker, "reports").result["pid"]

    for what, (_, name) in LASTING.items():
        changed = end_of(worker, "changes", what=what)
        after = end_of(worker, "reports")

        assert (changed.state, changed.result) == (RunState.SUCCEEDED, pid), what
        assert after.state is RunState.SUCCEEDED, what
        assert after.result["pid"] != pid, what
        retired = [line for line in worker.log("worker").split("\n") if "process_retired" in line]
        assert name in retired[-1].partition("reason=")[2].split(","), what
        pid = after.result["pid"]


@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_process_that_cannot_write_any_more_leaves(
    make_worker: Callable[..., Installation], pool: str
) -> None:
    worker = make_worker(worker_pool=pool, fence_seconds=60, lost_seconds=90)
    damages = DAMAGES | (DAMAGES_OF_ROOT if os.geteuid() == 0 else {})
    if pool == "threads":
        # The process is the worker, which nobody starts again here.
        damages = {"closed descriptors": damages["closed descriptors"]}

    for what in damages:
        before = end_of(worker, "reports")
        run_id = worker.start_run(f"{TASKS}.changes", what=what)
        if pool == "threads":
            assert worker.processes["worker"].wait(30) != 0
            return
        changed = worker.wait_for_end(run_id, seconds=30)
        after = end_of(worker, "reports")

        # A limit that root may raise again is no damage.
        if changed.state is RunState.LOST:
            assert "could no longer write" in str(changed.reason), what
            assert after.result["pid"] != before.result["pid"], what
        else:
            assert what == "a hard limit"
        assert after.state is RunState.SUCCEEDED, what


def test_the_log_of_a_worker_goes_on_whatever_a_module_sets_up(
    make_worker: Callable[..., Installation],
) -> None:
    worker = make_worker(imports=f"tests.faults.logging_at_import,{TASKS}")

    run = end_of(worker, "changes", what="an alarm")

    assert f"run_started run={run.id}" in worker.log("worker")
    assert f"run_succeeded run={run.id}" in worker.log("worker")
