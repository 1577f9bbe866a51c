"""A dry run says exactly what the change then does."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.states import CatchupPolicy, JobState, OverlapPolicy, RunState, Trigger
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import dry_run, service
from jobs_app.jobs.definition import definition_of
from jobs_app.jobs.document import Definition
from tests.factories import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    TASKS,
    claim,
    definition,
    make_job,
    make_run,
    make_worker,
    runs_of,
)
from tests.factories import job as stored_job

_COMPARED = (
    *("state", "next_fire_at", "next_due_at", "runs_started", "version", "cron", "max_runs"),
    *("observe", "observing_since"),
)


def random_job(database: Database, rng: random.Random) -> tuple[Job, Definition]:
    """Make a job with random policies and unfinished runs; return it with a changed definition."""
    whens: list[dict[str, Any]] = [
        {"interval_seconds": 7},
        {"interval_seconds": 20},
        {"cron": "* * * * *"},
    ]
    values = rng.choice(whens) | {
        "name": f"job-{rng.getrandbits(40):x}",
        "overlap_policy": rng.choice(list(OverlapPolicy)),
        "catchup_policy": rng.choice(list(CatchupPolicy)),
        "starting_deadline_seconds": rng.choice([0, 30, 60, 600]),
        "catchup_max_runs": rng.choice([2, 50]),
        "max_runs": rng.choice([None, None, 3, 20]),
        "jitter_seconds": rng.choice([0, 0, 5]),
        "observe": rng.choice([False, False, True]),
    }
    job = make_job(database, at=NOON - SECOND, **values)
    if rng.random() < 0.5:
        run_id = make_run(database, job)
        if rng.random() < 0.5:
            claim(database, run_id, make_worker(database))
    for _ in range(rng.choice([0, 0, 1, 2])):
        make_run(database, job, state=RunState.WAITING)
    changes: list[dict[str, object]] = [{"cron": "30 2 * * *"}, {"max_runs": 4}, {"priority": 3}]
    changes.append({"observe": not values["observe"]})
    changed = values | rng.choice(changes)
    if "cron" in changed:
        changed.pop("interval_seconds", None)
    return job, definition(**changed)


def compare(effect: dry_run.DryRun, database: Database, job: Job, known: dict[UUID, str]) -> None:
    """Compare *effect* with what the change has made of *job* and its runs."""
    rows = runs_of(database, job)
    new = [row for row in rows if row.id not in known]
    starts = (RunState.QUEUED, RunState.WAITING)
    assert effect.recorded_runs == Counter(row.state for row in new)
    assert effect.would_run_now == any(row.state is RunState.QUEUED for row in new)
    late = [row for row in new if row.trigger is Trigger.CATCHUP and row.state in starts]
    assert effect.catchup_runs == len(late)
    asked = [row for row in rows if row.id in known and (row.cancelled_by or "") == "jobs-app"]
    assert effect.cancelled_runs == len(asked)
    now = stored_job(database, job.name)
    assert {name: getattr(effect.job, name) for name in _COMPARED} == {
        name: getattr(now, name) for name in _COMPARED
    }


@pytest.mark.parametrize("seed", range(30))
def test_an_edit_records_what_its_dry_run_said(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    job, changed = random_job(database, rng)
    at = NOON + timedelta(seconds=rng.choice([-1, 0, 3, 50, 200, 1000, 4000]))
    before = {row.id: str(row.state) for row in runs_of(database, job)}
    with database.reading() as session:
        current = service.get(session, job.name)
        effect = dry_run.dry_run_change(
            session, changed, job=current, version=None, app=TASKS, at=at
        )
    assert {row.id: str(row.state) for row in runs_of(database, job)} == before

    with database.session() as session:
        service.change(session, job, changed, version=None, app=TASKS, by="ann", at=at)

    compare(effect, database, job, before)


@pytest.mark.parametrize("on_missed", ["skip", "last", "all"])
@pytest.mark.parametrize("seed", range(8))
def test_a_resume_records_what_its_dry_run_said(
    database: Database, seed: int, on_missed: service.OnMissed
) -> None:
    rng = random.Random(seed)
    job, _ = random_job(database, rng)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON - SECOND)
    at = NOON + timedelta(seconds=rng.choice([0, 50, 1000]))
    before = {row.id: str(row.state) for row in runs_of(database, job)}
    with database.reading() as session:
        paused = service.get(session, job.name)
        effect = dry_run.dry_run_resume(session, paused, on_missed=on_missed, app=TASKS, at=at)

    with database.session() as session:
        service.resume(session, job, on_missed=on_missed, by="ann", at=at)

    compare(effect, database, job, before)


def test_fires_within_their_deadline_are_announced_by_a_dry_run(database: Database) -> None:
    job = make_job(
        database,
        interval_seconds=2,
        at=NOON - SECOND,
        overlap_policy=OverlapPolicy.BUFFER_ALL,
    )
    changed = definition(name=job.name, cron="0 3 * * *", overlap_policy=OverlapPolicy.BUFFER_ALL)

    with database.reading() as session:
        current = service.get(session, job.name)
        effect = dry_run.dry_run_change(
            session, changed, job=current, version=None, app=TASKS, at=NOON + 7 * SECOND
        )

    assert effect.would_run_now
    assert effect.recorded_runs == {RunState.QUEUED: 1, RunState.WAITING: 3}


def test_a_change_of_another_field_records_no_fire(database: Database) -> None:
    job = make_job(database, cron="* * * * *", at=NOON - SECOND)

    with database.reading() as session:
        current = service.get(session, job.name)
        same = definition_of(current)
        effect = dry_run.dry_run_change(
            session, same, job=current, version=None, app=TASKS, at=NOON + MINUTE
        )

    assert (effect.recorded_runs, effect.would_run_now) == ({}, False)
    assert (effect.job.next_fire_at, effect.job.state) == (NOON, JobState.ACTIVE)


def test_a_switch_to_running_announces_that_due_fires_are_observed(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", observe=True)
    wanted = definition(name=job.name, cron="0 * * * *")

    with database.reading() as session:
        current = service.get(session, job.name)
        effect = dry_run.dry_run_change(
            session, wanted, job=current, version=None, app=TASKS, at=NOON + SECOND
        )

    assert (effect.recorded_runs, effect.would_run_now) == ({RunState.OBSERVED: 1}, False)
    assert (effect.job.observe, effect.job.observing_since) == (False, None)
    assert effect.job.next_fire_at == NOON + HOUR
