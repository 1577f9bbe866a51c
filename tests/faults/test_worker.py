"""Workers and their processes that die or freeze: each attempt starts once, none is forgotten."""

import signal
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from jobs_app.core import clock
from jobs_app.core.states import FINAL, OverlapPolicy, RunState
from jobs_app.runs.history import get
from jobs_app.runs.retry import RetryPolicy
from tests.faults.crash_points import WORK
from tests.faults.installation import AGAIN, Installation
from tests.integration.system import pause
from tests.profiles import sqlite_nightly, threads_nightly
from tests.servers import ValkeyServer, crowding, wait_until

#: The worker sees its child die; the next attempt is queued and sent within two looks.
CHILD_SECONDS = 6.0

#: The deadline of a silent worker, the janitor's looks, the next worker's start, or,
#: for a message that died with its worker, the time after which it is sent again.
MAIN_SECONDS = 20.0

#: What runs again after a freeze finds out that it is too late; seconds.
THAW_SECONDS = 0.5


@pytest.mark.nightly
@sqlite_nightly
def test_a_pool_process_killed_at_any_step_of_a_run_loses_and_doubles_nothing(
    installation: Installation,
) -> None:
    installation.start_ready("scheduler")
    crash_points = ",".join(f"{step}:{3 + 4 * number}" for number, step in enumerate(WORK))
    with installation.fault("kills", recovery_seconds=CHILD_SECONDS):
        installation.start_crashing("worker", crash_points)
        installation.wait_until_ready("worker")
        free = installation.record()
        exclusive = installation.record(seconds=0.2, overlap_policy=OverlapPolicy.BUFFER_ALL)
        wait_until(
            lambda: all(map(installation.was_reached, WORK)), "all have died", timeout_seconds=60
        )
    installation.wait_for_runs(free, 3)

    verdict = installation.assert_right(free, exclusive)

    assert verdict.started == verdict.owed
    assert installation.processes["worker"].poll() is None
    # Two of the five died with a claim and two more with work: no other attempt was needed.
    assert sum(run.attempt - 1 for run in installation.runs()) == 3


@sqlite_nightly
def test_a_process_that_is_killed_while_it_holds_back_an_end_leaves_no_run_running(
    installation: Installation,
) -> None:
    # The process may die with a message that it has not looked at: the janitor sends it again.
    installation.start_ready("scheduler")
    installation.start_crashing("worker", "held:1")
    installation.wait_until_ready("worker")
    ids = [
        installation.start_run("shell", command=f"echo {number} >> {installation.directory}/done")
        for number in range(12)
    ]

    wait_until(lambda: installation.was_reached("held"), "it has died", timeout_seconds=30)
    ended = [installation.wait_for_end(run_id) for run_id in ids]

    lost = [run for run in ended if run.state is not RunState.SUCCEEDED]
    assert [run.state for run in lost] == [RunState.LOST]
    assert lost[0].reason == "The process of the run died before its end was on record."
    done = (installation.directory / "done").read_text().split()
    assert sorted(map(int, done)) == list(range(12))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_run_whose_end_its_worker_has_forgotten_is_lost_and_no_other_one(
    make_installation: Callable[..., Installation],
    own_valkey: ValkeyServer,
    database_url: str,
    pool: str,
) -> None:
    installation = make_installation(database_url, worker_pool=pool)
    installation.start_crashing("worker", "unwritten:1", whom="forgets")
    installation.wait_until_ready("worker")
    long = installation.start_run("sleep", duration=60)
    installation.wait_for(long, lambda run: run.state is RunState.RUNNING, "it runs")
    # What Celery knows of the runs that are under way is not sure after that.
    own_valkey.restart()

    forgotten = installation.start_run("sleep", duration=0)
    wait_until(lambda: installation.was_reached("unwritten"), "it has forgotten it")
    run = installation.wait_for_end(forgotten)
    pause(3)

    assert (run.state, run.reason) == (
        RunState.LOST,
        "No process of the worker worked on the run any more.",
    )
    assert installation.run(long).state is RunState.RUNNING


@sqlite_nightly
def test_a_worker_killed_at_any_step_of_a_run_loses_and_doubles_nothing(
    installation: Installation,
) -> None:
    installation.start_ready("scheduler")
    with installation.fault("kills", recovery_seconds=MAIN_SECONDS):
        free = installation.record()
        exclusive = installation.record(seconds=0.2, overlap_policy=OverlapPolicy.BUFFER_ALL)
        for step in WORK:
            crashing = installation.start_crashing(f"worker-{step}", f"{step}:2", whom="parent")
            assert crashing.wait(timeout=30) == -signal.SIGKILL, step
            assert installation.was_reached(step)
        installation.start_ready("worker")
    installation.wait_for_runs(free, 3)

    verdict = installation.assert_right(free, exclusive, settle_seconds=40)

    assert verdict.started == verdict.owed


@pytest.mark.parametrize(
    "database_url, with_jobs, retry, state, attempts",
    [
        pytest.param(
            *("sqlite", False, AGAIN, RunState.SUCCEEDED, 2),
            id="its job goes on",
            marks=pytest.mark.nightly,
        ),
        pytest.param("postgresql", True, AGAIN, RunState.SUCCEEDED, 2, id="all frozen"),
        pytest.param(
            *("sqlite", True, RetryPolicy(), RunState.LOST, 1),
            id="all frozen, no retry",
            marks=pytest.mark.nightly,
        ),
    ],
    indirect=["database_url"],
)
def test_a_frozen_worker_and_its_job_do_no_harm_when_they_go_on(
    installation: Installation,
    with_jobs: bool,
    retry: RetryPolicy,
    state: RunState,
    attempts: int,
) -> None:
    installation.start_ready("worker-1")
    installation.start_ready("scheduler")
    soon = clock.now() + timedelta(seconds=1)
    # Longer than the fence allows, so that only its supervisor can have ended it in time.
    job = installation.record(
        seconds=6,
        interval_seconds=3600,
        anchor_at=soon - timedelta(hours=1),
        # A job that was frozen itself runs for a moment more when it is thawed: see below.
        overlap_policy=OverlapPolicy.ALLOW_ALL if with_jobs else OverlapPolicy.SKIP,
        retry=retry,
    )
    wait_until(lambda: len(installation.effects()) >= 2, "the job works")

    with installation.fault("frozen worker", recovery_seconds=10, excuses=["lost"]):
        frozen = installation.freeze("worker-1", with_jobs=with_jobs)
        installation.start_ready("worker-2")
        run = installation.wait_for_end(installation.runs(job)[0].id, seconds=30)
        thawed_at = clock.now()
        installation.thaw(frozen)
        log = partial(installation.log, "worker-1")
        wait_until(lambda: "worker_was_given_up" in log(), "it learns of its fate")
    thaw_seconds = THAW_SECONDS * crowding()
    pause(thaw_seconds)
    written = len(installation.effects())
    pause(1)

    assert len(installation.effects()) == written, "the old attempt goes on"
    last = max(effect.at for effect in installation.effects() if effect.attempt == 1)
    assert (last - thawed_at).total_seconds() < thaw_seconds
    assert (run.state, run.attempt) == (state, attempts)
    after = installation.run(run.id)
    assert (after.state, after.attempt, after.finished_at) == (state, attempts, run.finished_at)
    installation.assert_right(job)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_result_that_a_frozen_worker_brings_late_is_kept_with_its_attempt(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    # It ends before its supervisor has to end it; and it has begun, or it would never begin.
    begun = installation.directory / "begun"
    run_id = installation.start_run("shell", command=f"touch {begun}; sleep 1; exit 3")
    wait_until(begun.exists, "it runs")

    frozen = installation.freeze("worker")
    lost = installation.wait_for_end(run_id, seconds=30)
    installation.thaw(frozen)
    wait_until(
        lambda: "late_result" in installation.log("worker"),
        "its result is refused",
        timeout_seconds=20,
    )

    with installation.database.reading() as session:
        run = get(session, run_id)
    assert (lost.state, run.state, run.exit_code) == (RunState.LOST, RunState.LOST, None)
    [attempt] = run.attempts
    assert attempt.note is not None
    assert (attempt.note["state"], attempt.note["exit_code"]) == ("failed", 3)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_job_that_kills_its_worker_each_time_ends_after_its_attempts_and_harms_no_other(
    make_installation: Callable[..., Installation], database_url: str
) -> None:
    installation = make_installation(
        database_url, imports="tests.faults.bad_tasks", fence_seconds=3, lost_seconds=5
    )
    installation.start_ready("scheduler")
    installation.start_ready("worker-1")
    healthy = installation.record()
    soon = clock.now() + timedelta(seconds=1)
    poison = installation.create(
        task="tests.faults.bad_tasks.kills_its_worker",
        kwargs={},
        queue="poison",
        once_at=soon,
        retry=RetryPolicy(max_attempts=2, delay_seconds=0, jitter=False),
    )
    victims = 0

    def is_over() -> bool:
        nonlocal victims
        victim = installation.processes.get("worker-2")
        if victim is None or victim.poll() is not None:
            victims += 1
            installation.start("worker-2", "--queues", "poison")
        return any(run.finished_at is not None for run in installation.runs(poison))

    wait_until(is_over, "the poison has had its attempts", timeout_seconds=60)
    [run] = installation.runs(poison)
    assert (run.state, run.attempt) == (RunState.LOST, 2)
    assert victims >= 2
    verdict = installation.assert_right(healthy)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs(healthy))


@pytest.mark.nightly
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_workers_that_are_restarted_in_turn_under_load_lose_no_run_shorter_than_the_grace(
    installation: Installation,
) -> None:
    installation.start_ready("scheduler")
    installation.start_ready("worker-1")
    installation.start_ready("worker-2")
    free = installation.record(seconds=0.5)
    exclusive = installation.record(
        seconds=0.7, interval_seconds=4, overlap_policy=OverlapPolicy.BUFFER_ALL
    )
    installation.wait_for_runs(free, 2)

    with installation.fault("rolling restart", recovery_seconds=5):
        # In order; twice in order, as an impatient service manager does; and at once.
        for number, signals in enumerate(
            [[signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM], [signal.SIGQUIT]]
        ):
            name = f"worker-{number % 2 + 1}"
            worker = installation.processes[name]
            for each in signals:
                worker.send_signal(each)
            assert worker.wait(timeout=40) >= 0
            installation.start(name)
            installation.wait_for_runs(free, 2)

    verdict = installation.assert_right(free, exclusive)
    assert verdict.started == verdict.owed
    # What has not ended was due after the verdict.
    ended = [run for run in installation.runs() if run.state in FINAL]
    assert {(run.state, run.attempt) for run in ended} == {(RunState.SUCCEEDED, 1)}
