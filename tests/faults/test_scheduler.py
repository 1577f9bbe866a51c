"""Schedulers that die, freeze or meet: every fire has one run all the same."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from jobs_app.core import clock
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.definition import definition_of
from jobs_app.schedules.schedule import Schedule
from tests.faults.checker import FINAL, ON_TIME_SECONDS, Owed, check, interval_fires
from tests.faults.crash_points import TICK
from tests.faults.installation import Installation, as_row
from tests.integration.system import pause
from tests.profiles import sqlite_nightly
from tests.servers import ValkeyServer, crowding, wait_until

#: A dead leader's lock runs out, a standby looks once a second, and then it works.
TAKEOVER_SECONDS = 4.0


@sqlite_nightly
def test_a_scheduler_killed_at_any_step_of_its_tick_loses_and_doubles_nothing(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    # Several jobs due at once, so that there is a middle of the publish.
    jobs_due = [installation.record() for _ in range(3)]
    for step in TICK:
        with installation.fault(f"killed at {step}", recovery_seconds=TAKEOVER_SECONDS):
            # It starts while the lock of the one before it still has to run out.
            crashing = installation.start_crashing(f"scheduler-{step}", f"{step}:2")
            assert crashing.wait(timeout=20) == -signal.SIGKILL
            assert installation.was_reached(step)
    installation.start("scheduler")
    installation.wait_for_runs(jobs_due[0], 3)

    verdict = installation.assert_right(*jobs_due)

    assert verdict.started == verdict.owed


@sqlite_nightly
def test_a_standby_takes_over_from_a_frozen_leader_which_then_steps_down(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler-1")
    installation.start_ready("scheduler-2")
    job = installation.record()
    installation.wait_for_runs(job, 2)
    leader, standby = (installation.processes[f"scheduler-{n}"].pid for n in (1, 2))
    assert installation.schedulers() == {leader: True, standby: False}

    frozen_at = clock.now()
    with installation.fault("frozen leader", recovery_seconds=TAKEOVER_SECONDS):
        frozen = installation.freeze("scheduler-1")
        wait_until(lambda: installation.schedulers()[standby], "the standby is active")
        assert (clock.now() - frozen_at).total_seconds() < TAKEOVER_SECONDS * crowding()
    installation.wait_for_runs(job, 2)
    installation.thaw(frozen)
    wait_until(lambda: not installation.schedulers()[leader], "the old leader steps down")
    installation.wait_for_runs(job, 2)

    installation.assert_right(job)
    assert installation.schedulers() == {leader: False, standby: True}
    assert installation.processes["scheduler-1"].poll() is None


@sqlite_nightly
def test_a_leader_frozen_between_commit_and_publish_does_no_harm_when_it_goes_on(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    job = installation.record()
    with installation.fault("frozen leader", recovery_seconds=TAKEOVER_SECONDS):
        leader = installation.start_crashing("scheduler-1", "after-commit:3", whom="waits")
        frozen = installation.freeze_at("after-commit", "scheduler-1")
        installation.start_ready("scheduler-2")
        # The message that the frozen one did not send has gone out all the same.
        installation.wait_for_runs(job, 4)
    installation.thaw(frozen)
    wait_until(lambda: installation.schedulers().get(leader.pid) is False, "it stands by")
    installation.wait_for_runs(job, 2)

    installation.assert_right(job)


@sqlite_nightly
def test_schedulers_that_are_active_at_the_same_time_record_each_fire_once(
    installation: Installation, own_valkey: ValkeyServer
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler-1")
    installation.start_ready("scheduler-2")
    job = installation.record()

    with lock_always_free(installation, own_valkey):
        for _ in range(3):
            wait_until(
                lambda: list(installation.schedulers().values()) == [True, True],
                "both schedulers are active",
                timeout_seconds=30,
            )
            installation.wait_for_runs(job, 1, seconds=30)

    installation.assert_right(job)


@contextmanager
def lock_always_free(installation: Installation, valkey: ValkeyServer) -> Iterator[None]:
    """Delete RedBeat's lock as soon as a scheduler has it, for the length of the block.

    A standby tries the lock once a second. A leader that finds it gone takes it again.
    So both become active, and remain so, whatever the moment of their attempts.
    """
    key = f"{installation.settings.redis_prefix}redbeat::lock"
    is_over = threading.Event()

    def delete_repeatedly() -> None:
        with valkey.client() as redis:
            while not is_over.wait(0.002):
                redis.delete(key)

    with ThreadPoolExecutor(1) as executor:
        deletions = executor.submit(delete_repeatedly)
        try:
            yield
        finally:
            is_over.set()
        deletions.result()


@sqlite_nightly
def test_a_scheduler_that_ends_in_order_hands_over_at_once(installation: Installation) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler-1")
    installation.start_ready("scheduler-2")
    job = installation.record()
    installation.wait_for_runs(job, 1)

    installation.signal("scheduler-1", signal.SIGTERM)
    assert installation.processes["scheduler-1"].wait(timeout=10) == 0
    installation.wait_for_runs(job, 3)

    # Without a fault on the list: nothing was late.
    installation.assert_right(job)


@sqlite_nightly
def test_edits_that_race_with_ticks_lose_and_double_nothing(installation: Installation) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    steady, changing = installation.record(), installation.record()
    edits: list[tuple[datetime, datetime, int]] = []
    deadline = clock.now().timestamp() + 6

    for number in range(1_000_000):
        # On a crowded machine it takes longer until there were enough of them.
        if clock.now().timestamp() > deadline and len(edits) > 20:
            break
        edit(installation, steady, description=f"edit {number}")
        began_at = clock.now()
        seconds = 1 + number % 2
        edit(
            installation,
            changing,
            schedule=Schedule(interval_seconds=seconds, anchor_at=changing.anchor_at),
        )
        edits.append((began_at, clock.now(), seconds))
        pause(0.11)

    # The other job is due every two seconds at least: after this its last fire is on record.
    until = installation.settle(steady, seconds=20)
    changed = owed_with(edits, changing, until)
    wait_until(
        lambda: has_ended(installation.runs(changing), changed),
        "the runs of the changed job end",
        timeout_seconds=20,
    )
    owed = [installation.owed(steady, until), changed]
    rows = [as_row(run) for job in (steady, changing) for run in installation.runs(job)]
    on_time_seconds = ON_TIME_SECONDS * crowding()
    verdict = check(owed, rows, installation.effects(), on_time_seconds=on_time_seconds)
    assert not verdict.findings, f"{verdict}\n{installation.logs()}"


def has_ended(runs: list[Run], owed: Owed) -> bool:
    """Tell whether each owed fire is on record, and each run that is has ended."""
    recorded = {run.scheduled_for for run in runs}
    return recorded.issuperset(owed.fires) and all(run.state in FINAL for run in runs)


def edit(installation: Installation, job: Job, **changes: object) -> None:
    """Change a job as the API does: the row, then the projection."""
    with installation.database.session() as session:
        stored = service.get(session, job.name)
        # The keywords are of mixed types.
        definition = replace(definition_of(stored), **changes)  # type: ignore[arg-type]
        changed = service.change(
            session,
            stored,
            definition,
            version=None,
            app=installation.app,
            by="tester",
            at=clock.now(),
        )
    installation.projection.write([changed])


def owed_with(edits: list[tuple[datetime, datetime, int]], job: Job, until: datetime) -> Owed:
    """Return what an interval job owes that was 1 s at first, and each of *edits* from then on.

    A fire between the beginning and the end of an edit may go by either definition.
    """
    anchor_at = job.anchor_at
    assert anchor_at is not None

    def fires_of(seconds: int, after: datetime, until: datetime) -> tuple[datetime, ...]:
        return interval_fires(anchor_at, seconds, after=after, until=until)

    fires: list[datetime] = []
    optional: list[datetime] = []
    after, interval = job.created_at, 1
    for began_at, ended_at, seconds in [*edits, (until, until, 0)]:
        fires += fires_of(interval, after, began_at)
        optional += fires_of(1, began_at, ended_at)
        after, interval = ended_at, seconds
    return Owed(job.id, job.name, tuple(fires), max_attempts=4, optional=frozenset(optional))
