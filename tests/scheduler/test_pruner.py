"""Retention: what goes, what stays, and that nothing is lost count of."""

import threading
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, select

from jobs_app.core.settings import Settings
from jobs_app.core.states import ACTIVE, RunState, Trigger
from jobs_app.db.columns import first_id_at, new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent, IdempotencyKey
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import ReportedTask, SchedulerProcess, Worker
from jobs_app.db.models.runs import LogChunk, PrunedRuns, Run
from jobs_app.jobs import service
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.insert import NewRun, insert_runs, new_run
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.scheduler import pruner, pruner_thread
from jobs_app.scheduler.pruner import MAX_BATCH, MIN_BATCH, SLOW_SECONDS, Pruner
from jobs_app.scheduler.pruner_thread import PrunerThread
from tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    claim,
    finish,
    job,
    make_job,
    make_run,
    make_worker,
    run,
    runs_of,
)
from tests.profiles import postgresql_nightly

OK, FAILED = RunState.SUCCEEDED, RunState.FAILED


def ended(database: Database, owner: Job | None, state: RunState, *, ago: timedelta) -> UUID:
    """Record a run that was due, and ended, so long before noon."""
    at = NOON - ago
    scheduled_for = at if owner is not None else None
    run_id = make_run(
        database, owner, state=state, at=at, scheduled_for=scheduled_for, trigger=Trigger.SCHEDULE
    )
    with database.session() as session, session.begin():
        session.get_one(Run, run_id).finished_at = at
    return run_id


def prune(database: Database, *, at: datetime = NOON, **settings: Any) -> Pruner:
    """Do one whole pass."""
    pruner = Pruner(database, Settings(**settings))
    for _ in pruner.steps(at=at):
        pass
    return pruner


def is_kept(database: Database, run_id: UUID) -> bool:
    with database.reading() as session:
        return session.get(Run, run_id) is not None


def an_old_job(database: Database, **said: Any) -> Job:
    """Create a job that was made years ago, and fires next in an hour."""
    owner = make_job(database, at=NOON - 3000 * DAY, retention=Retention(**said))
    with database.session() as session, session.begin():
        session.get_one(Job, owner.id).next_fire_at = NOON + HOUR
        session.get_one(Job, owner.id).next_due_at = NOON + HOUR
    return owner


def a_job(database: Database, **said: Any) -> Job:
    """Create an old job whose newest run of each outcome is about an hour old."""
    owner = an_old_job(database, **said)
    for minutes, state in enumerate((OK, FAILED, RunState.LOST, RunState.MISSED)):
        ended(database, owner, state, ago=HOUR + minutes * MINUTE)
    return owner


@pytest.mark.parametrize(
    "state, days", [(OK, 90), (RunState.MISSED, 90), (FAILED, 365), (RunState.LOST, 365)]
)
def test_a_run_goes_when_it_is_too_old(database: Database, state: RunState, days: int) -> None:
    owner = a_job(database)
    younger = ended(database, owner, state, ago=days * DAY - HOUR)
    older = ended(database, owner, state, ago=days * DAY + HOUR)

    prune(database)

    assert (is_kept(database, younger), is_kept(database, older)) == (True, False)


def test_a_run_goes_when_it_is_one_of_too_many_and_pushes_out_no_failure(
    database: Database,
) -> None:
    owner = a_job(database, keep_runs=6)
    newer = ended(database, owner, OK, ago=2 * DAY)
    bad = [ended(database, owner, FAILED, ago=day * DAY) for day in range(3, 10)]
    older = ended(database, owner, OK, ago=11 * DAY)

    prune(database)

    # Four of the last hour, this one and one failure are the newest six.
    assert (is_kept(database, newer), is_kept(database, older)) == (True, False)
    # Of the failures alone six: one of the last hour and five of these.
    assert [is_kept(database, each) for each in bad] == [True] * 5 + [False] * 2


def test_the_newest_run_of_each_outcome_stays(database: Database) -> None:
    owner = an_old_job(database)
    states = (OK, FAILED, RunState.CANCELLED)
    ages = [(each, minutes * MINUTE) for minutes, each in enumerate(states)]
    newest = [ended(database, owner, each, ago=2000 * DAY + age) for each, age in ages]
    for each, age in ages:
        ended(database, owner, each, ago=2001 * DAY + age)

    prune(database)

    assert {each.id for each in runs_of(database, owner)} == set(newest)


@pytest.mark.parametrize("state", [*ACTIVE, RunState.WAITING])
def test_a_run_that_is_not_over_is_never_deleted(database: Database, state: RunState) -> None:
    owner = a_job(database, keep_runs=1)
    of_job = make_run(database, owner, state=state, at=NOON - 900 * DAY)
    of_none = make_run(database, state=state, at=NOON - 900 * DAY)

    prune(database)

    assert is_kept(database, of_job)
    assert is_kept(database, of_none)


def test_what_a_job_says_stands_above_the_settings_and_the_rest_follows_them(
    database: Database,
) -> None:
    says, says_nothing = a_job(database, keep_days=10), a_job(database)
    own = ended(database, says, OK, ago=8 * DAY)
    too_old = ended(database, says, OK, ago=11 * DAY)
    others = ended(database, says_nothing, OK, ago=8 * DAY)

    prune(database, keep_days=30)
    assert (is_kept(database, own), is_kept(database, too_old)) == (True, False)
    assert is_kept(database, others)
    prune(database, keep_days=7)

    assert is_kept(database, own)
    assert not is_kept(database, others)


def test_fires_that_a_catch_up_may_reach_are_not_forgotten(database: Database) -> None:
    owner = a_job(database, keep_runs=1)
    within = ended(database, owner, OK, ago=DAY - MINUTE)
    beyond = ended(database, owner, OK, ago=DAY + MINUTE)

    prune(database)

    assert (is_kept(database, within), is_kept(database, beyond)) == (True, False)


def test_fires_ahead_of_a_clock_that_was_put_back_are_not_forgotten(database: Database) -> None:
    owner = a_job(database, keep_runs=1)
    ahead = ended(database, owner, OK, ago=3 * DAY)
    with database.session() as session, session.begin():
        session.get_one(Job, owner.id).next_fire_at = NOON - 4 * DAY

    prune(database)

    assert is_kept(database, ahead)


def test_a_job_without_a_schedule_keeps_just_its_number(database: Database) -> None:
    owner = make_job(database, schedule=None, retention=Retention(keep_runs=2))
    made = [ended(database, owner, OK, ago=minutes * MINUTE) for minutes in range(5)]

    prune(database)

    assert [is_kept(database, each) for each in made] == [True, True, False, False, False]


def test_a_run_without_a_job_goes_by_its_age(database: Database) -> None:
    younger = ended(database, None, OK, ago=89 * DAY)
    older = ended(database, None, OK, ago=91 * DAY)

    prune(database, keep_runs=1)

    assert (is_kept(database, younger), is_kept(database, older)) == (True, False)


def test_with_a_run_go_its_log_and_attempts_and_the_name_that_a_repetition_has_for_it(
    database: Database,
) -> None:
    worker_id, run_id = make_worker(database), make_run(database, at=NOON - 91 * DAY)
    claim(database, run_id, worker_id)
    retry = RetryPolicy(max_attempts=2)
    finish(database, run_id, FAILED, retry=retry, at=NOON - 91 * DAY)
    with database.session() as session:
        queue_due_retries(session, at=NOON)
    claim(database, run_id, worker_id, attempt=2)
    finish(database, run_id, attempt=2)
    with database.session() as session, session.begin():
        session.add(a_chunk(run_id))
    again = make_run(database, retry_of=run_id)

    prune(database)

    assert not is_kept(database, run_id)
    assert run(database, again).retry_of is None
    with database.reading() as session:
        assert session.scalars(select(LogChunk)).all() == []


def a_chunk(run_id: UUID, seq: int = 0) -> LogChunk:
    return LogChunk(run_id=run_id, attempt=1, seq=seq, stream="stdout", at=NOON, text="hello")


def logged(database: Database, owner: Job | None, state: RunState, *, ago: timedelta) -> UUID:
    """Record a run with a log, with an id of the time at which it ran."""
    at = NOON - ago
    run_id = UUID(int=first_id_at(at).int + (new_run_id().int & 0xFFFFFFFF))
    with database.session() as session, session.begin():
        made = NewRun(
            id=run_id,
            job_id=None if owner is None else owner.id,
            state=state,
            trigger=Trigger.MANUAL,
            task="sleep",
            kwargs={},
            queue="default",
            priority=5,
            created_at=at,
        )
        insert_runs(session, [made])
        found = session.get_one(Run, run_id)
        found.finished_at = None if state in ACTIVE else at
        found.log_bytes = 10
        session.add_all(a_chunk(run_id, seq) for seq in range(3))
    return run_id


def chunks_of(database: Database, run_id: UUID) -> int:
    with database.reading() as session:
        mine = select(func.count()).where(LogChunk.run_id == run_id)
        return session.scalars(mine).one()


def test_a_log_may_go_before_its_run_which_says_so(database: Database) -> None:
    owner = make_job(database, retention=Retention(keep_log_days=60))
    old = [logged(database, None, FAILED, ago=(31 + day) * DAY) for day in range(MIN_BATCH + 5)]
    young = logged(database, None, FAILED, ago=29 * DAY)
    of_job = logged(database, owner, FAILED, ago=59 * DAY)
    too_old = logged(database, owner, FAILED, ago=61 * DAY)
    running = logged(database, None, RunState.RUNNING, ago=40 * DAY)

    prune(database, keep_log_days=30)

    assert [chunks_of(database, each) for each in old] == [0] * len(old)
    assert [chunks_of(database, each) for each in (young, of_job, too_old, running)] == [3, 3, 0, 3]
    assert run(database, old[0]).log_deleted
    assert not run(database, of_job).log_deleted


def test_a_deleted_job_goes_with_its_last_run(database: Database) -> None:
    owner, kept = make_job(database, at=NOON - 400 * DAY), make_job(database)
    ended(database, owner, OK, ago=100 * DAY)
    bad = ended(database, owner, FAILED, ago=300 * DAY)
    with database.session() as session:
        service.remove(session, owner, version=None, by="ann", at=NOON - 99 * DAY)

    prune(database)
    assert [each.id for each in runs_of(database, owner)] == [bad]
    prune(database, at=NOON + 100 * DAY)

    with database.reading() as session:
        assert list(session.scalars(select(Job.id))) == [kept.id]
        assert session.scalars(select(PrunedRuns)).all() == []


def test_the_audit_is_kept_for_its_time(database: Database) -> None:
    make_job(database, name="old", at=NOON - 401 * DAY)
    make_job(database, name="new", at=NOON - 399 * DAY)

    prune(database)

    with database.reading() as session:
        (left,) = session.scalars(select(AuditEvent))
        assert left.at == NOON - 399 * DAY


def test_a_worker_that_is_gone_and_that_no_run_names_is_forgotten(database: Database) -> None:
    named, idle, lately, living = (make_worker(database) for _ in range(4))
    run_id = make_run(database)
    claim(database, run_id, named)
    finish(database, run_id)
    with database.session() as session, session.begin():
        for worker_id, gone_at in (
            (named, NOON - 8 * DAY),
            (idle, NOON - 8 * DAY),
            (lately, NOON - 6 * DAY),
        ):
            session.get_one(Worker, worker_id).gone_at = gone_at

    prune(database)

    with database.reading() as session:
        assert set(session.scalars(select(Worker.id))) == {named, lately, living}


def total(database: Database) -> int:
    """Return how many runs there are, and ever were."""
    with database.reading() as session:
        gone = session.scalars(select(func.sum(PrunedRuns.count))).one() or 0
        return int(gone) + session.scalars(select(func.count(Run.id))).one()


def test_no_count_falls_though_two_sweep_at_a_time(database: Database) -> None:
    owner = a_job(database, keep_runs=1)
    for minutes in range(150):
        ended(database, owner, (OK, FAILED)[minutes % 2], ago=2 * DAY + minutes * MINUTE)
    before = total(database)

    threads = [threading.Thread(target=prune, args=(database,)) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert total(database) == before
    # The newest of each outcome, and nothing else.
    assert len(runs_of(database, owner)) == 4


def test_a_purged_job_leaves_no_counts(database: Database) -> None:
    owner = a_job(database, keep_runs=1)
    ended(database, owner, OK, ago=2 * DAY)
    prune(database)
    with database.session() as session:
        removed = service.remove(
            session, job(database, owner.name), version=None, by="ann", at=NOON, to_purge=True
        )
        service.purge(session, removed, by="ann", at=NOON)

    assert total(database) == 0


def test_a_transaction_deletes_a_few_hundred_rows_at_most(database: Database) -> None:
    owner = make_job(database, schedule=None)
    with database.session() as session, session.begin():
        new_runs = [
            new_run(
                owner, run_id=new_run_id(), state=OK, trigger=Trigger.MANUAL, at=NOON - 91 * DAY
            )
            for _ in range(3 * MAX_BATCH)
        ]
        insert_runs(session, new_runs)
    make_run(database, owner, state=OK)
    deleted: list[int] = []
    pruner = Pruner(database, Settings())

    before = 0
    for _ in pruner.steps(at=NOON):
        deleted.append(pruner.deleted - before)
        before = pruner.deleted

    assert sum(deleted) == 3 * MAX_BATCH
    assert max(deleted) <= MAX_BATCH


@postgresql_nightly
def test_a_slow_database_is_asked_for_less_at_a_time(database: Database) -> None:
    pruner = Pruner(database, Settings())
    pruner._batch = MAX_BATCH
    asked: list[int] = []

    def slowly(_session: object, limit: int) -> int:
        asked.append(limit)
        deadline = time.monotonic() + 2 * SLOW_SECONDS
        while time.monotonic() < deadline:
            pass
        return limit if len(asked) < 8 else 0

    for _ in pruner._repeat(slowly):
        pass

    assert asked == [500, 250, 125, 62, 50, 50, 50, 50]


def test_jobs_without_old_runs_are_not_read(database: Database) -> None:
    recent, old = a_job(database), a_job(database)
    named = a_job(database, keep_days=5)
    ended(database, old, OK, ago=91 * DAY)
    read: list[str] = []

    @event.listens_for(Job, "load")
    def note(job: Job, _context: object) -> None:
        read.append(job.name)

    prune(database)
    event.remove(Job, "load", note)

    assert recent.name not in read
    assert {*read} == {old.name, named.name}


def test_a_pass_meets_each_job_however_many_one_look_reads(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner, "MIN_JOBS", 2)
    monkeypatch.setattr(pruner, "MAX_JOBS", 3)
    olds = [ended(database, a_job(database), OK, ago=91 * DAY) for _ in range(8)]

    prune(database)

    assert [is_kept(database, each) for each in olds] == [False] * 8


def test_a_standby_does_not_sweep_and_a_sweep_can_be_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner_thread, "SETTLING_SECONDS", 0.01)
    looked, may_sweep = threading.Event(), threading.Event()
    statements: list[str] = []

    def is_active() -> bool:
        looked.set()
        return may_sweep.is_set()

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    event.listen(database.engine, "before_cursor_execute", note)
    noted: list[datetime] = []
    thread = PrunerThread(Pruner(database, Settings()), is_active, noted.append)
    thread.start()

    assert looked.wait(10)
    looked.clear()
    assert looked.wait(10)
    assert (statements, noted) == ([], [])
    may_sweep.set()
    deadline = time.monotonic() + 10
    while not statements:
        assert time.monotonic() < deadline, "it never swept"
        looked.wait(0.01)
    thread.stop()
    assert len(noted) == 1

    event.remove(database.engine, "before_cursor_execute", note)
    assert not thread._thread.is_alive()


def test_answers_to_old_requests_are_pruned(database: Database) -> None:
    def keep(key: str, created_at: datetime) -> None:
        with database.session() as session, session.begin():
            answer = {"status": 201, "headers": {}, "body": {}}
            session.add(
                IdempotencyKey(
                    principal="ann", key=key, fingerprint="", created_at=created_at, **answer
                )
            )

    keep("old", NOON - DAY - SECOND)
    keep("young", NOON - DAY + SECOND)

    prune(database)

    with database.reading() as session:
        assert session.get(IdempotencyKey, ("ann", "old")) is None
        assert session.get(IdempotencyKey, ("ann", "young")) is not None


def test_a_scheduler_that_has_not_ticked_for_a_day_is_pruned(database: Database) -> None:
    with database.session() as session, session.begin():
        for name, silence in [("old", DAY + SECOND), ("young", DAY - SECOND)]:
            row = {"name": name, "pid": 1, "started_at": NOON - 2 * DAY, "is_active": False}
            session.add(SchedulerProcess(id=new_run_id(), ticked_at=NOON - silence, **row))

    prune(database)

    with database.reading() as session:
        assert session.scalars(select(SchedulerProcess.name)).all() == ["young"]


def test_a_reported_task_goes_once_no_worker_has_had_it_for_a_month(database: Database) -> None:
    reports = {"old": 31 * DAY, "young": 29 * DAY, "had": 400 * DAY, "gone": 31 * DAY}
    with database.session() as session, session.begin():
        for name, age in reports.items():
            session.add(ReportedTask(name=name, report={}, reported_at=NOON - age))
        for task, gone_at in (("had", None), ("gone", NOON - DAY)):
            names = ["first", task]
            row = {"name": "w", "pid": 1, "started_at": NOON - 400 * DAY, "seen_at": NOON}
            session.add(Worker(tasks=names, gone_at=gone_at, **row))

    prune(database)

    with database.reading() as session:
        assert set(session.scalars(select(ReportedTask.name))) == {"young", "had"}
