"""Many jobs share one concurrency key: never more at work than the limit, and none left over."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import start
from jobs_app.runs import messages
from jobs_app.runs.status import worker_states
from tests.faults.checker import OVERLAP_SECONDS, Effect, recording_command
from tests.faults.installation import AGAIN, Installation
from tests.profiles import sqlite_nightly
from tests.servers import wait_until

LIMIT = 2
JOBS = 10

#: From the end of a run to the start of the next one: the janitor alone would take up to one.
HAND_OVER_SECONDS = 0.5


def jobs_of_one_key(installation: Installation, *, seconds: float) -> list[Job]:
    command = recording_command(installation.effects_file, seconds=seconds)
    said = {"task": "shell", "kwargs": {"command": command}, "schedule": None, "retry": AGAIN}
    key = {"concurrency_key": "db-main", "concurrency_limit": LIMIT}
    return [installation.create(**said, **key) for _ in range(JOBS)]


def start_all(installation: Installation, jobs: Iterable[Job]) -> None:
    """Start a run of each, as a person would."""
    for job in jobs:
        with installation.database.session() as session:
            started = start.start_job(
                session, job, app=installation.app, by="tester", at=clock.now()
            )
        assert started.message is not None
        messages.publish(installation.app, [started.message])


def have_all_succeeded(installation: Installation) -> bool:
    runs = installation.runs()
    return len(runs) == JOBS and all(run.state is RunState.SUCCEEDED for run in runs)


def is_at_work(installation: Installation, worker: str) -> bool:
    """Tell whether a worker runs something, after some have succeeded."""
    pid = installation.processes[worker].pid
    with installation.database.reading() as session:
        (state,) = [each for each in worker_states(session) if each.worker.pid == pid]
    done = sum(run.state is RunState.SUCCEEDED for run in installation.runs())
    return bool(state.runs) and done >= 3


def spans(effects: Iterable[Effect]) -> list[tuple[datetime, datetime]]:
    """Return from when to when each attempt was at work, by what it wrote itself."""
    by_attempt: dict[tuple[str, int], list[datetime]] = defaultdict(list)
    for effect in effects:
        by_attempt[effect.run_id, effect.attempt].append(effect.at)
    return [(min(times), max(times)) for times in by_attempt.values()]


def most_at_once(found: list[tuple[datetime, datetime]]) -> int:
    """Return how many of the spans lie over each other, those apart that only touch."""
    slack = timedelta(seconds=OVERLAP_SECONDS)
    return max(sum(begin <= at < end - slack for begin, end in found) for at, _ in found)


@sqlite_nightly
def test_workers_hand_a_place_over_at_once_and_take_no_more_than_there_are(
    installation: Installation,
) -> None:
    # No scheduler, so no janitor either: what is parked is called by the workers alone.
    installation.start_ready("worker-1")
    installation.start_ready("worker-2")

    start_all(installation, jobs_of_one_key(installation, seconds=0.4))
    wait_until(lambda: have_all_succeeded(installation), "all succeed", timeout_seconds=60)

    found = spans(installation.effects())
    assert len(found) == JOBS
    assert most_at_once(found) == LIMIT
    runs = installation.runs()
    began = sorted(run.started_at for run in runs if run.started_at)
    ended = sorted(run.finished_at for run in runs if run.finished_at)
    gaps = [(begin - end).total_seconds() for begin, end in zip(began[LIMIT:], ended, strict=False)]
    print(f"hand-over: median {median(gaps):.3f} s, most {max(gaps):.3f} s")
    assert median(gaps) < HAND_OVER_SECONDS


@sqlite_nightly
def test_a_worker_killed_with_places_of_a_key_leaves_them_to_others(
    installation: Installation,
) -> None:
    installation.start_ready("scheduler")
    installation.start_ready("worker-1")
    installation.start_ready("worker-2")

    start_all(installation, jobs_of_one_key(installation, seconds=1))
    wait_until(lambda: is_at_work(installation, "worker-1"), "worker-1 works", timeout_seconds=60)
    installation.kill("worker-1")
    wait_until(lambda: have_all_succeeded(installation), "all succeed", timeout_seconds=60)

    found = spans(installation.effects())
    assert len(found) >= JOBS
    assert most_at_once(found) <= LIMIT
