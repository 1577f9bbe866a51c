"""Moves of a run: every one is settled by the row, whoever comes first."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.run_error import RunError
from jobs_app.core.states import CancelMode, OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.runs import Attempt
from jobs_app.jobs import service
from jobs_app.runs import cancel as runs_cancel
from jobs_app.runs import history, job_groups, outbox, overlap, rescue, workers
from jobs_app.runs.claim import reclaim
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.progress import report_progress
from jobs_app.runs.retry import RetryPolicy
from tests.factories import (
    DAY,
    NOON,
    SECOND,
    claim,
    finish,
    make_job,
    make_run,
    make_worker,
    record,
    run,
    runs_of,
)


def cancel(
    database: Database,
    run_id: UUID,
    mode: CancelMode = CancelMode.GRACEFUL,
    *,
    reason: str = "typo",
) -> object:
    with database.session() as session:
        return runs_cancel.cancel(session, run_id, mode=mode, by="ann", reason=reason, at=NOON)


def test_a_claim_makes_the_worker_the_owner(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database, kwargs={"duration": 3})

    claimed = claim(database, run_id, worker_id)

    assert claimed is not None
    assert (claimed.task, claimed.kwargs, claimed.attempt) == ("sleep", {"duration": 3}, 1)
    assert run(database, run_id).state is RunState.RUNNING
    assert run(database, run_id).worker_id == worker_id


def test_a_message_that_comes_twice_starts_nothing_the_second_time(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)

    assert claim(database, run_id, worker_id) is not None
    assert claim(database, run_id, worker_id) is None


@pytest.mark.parametrize("attempt", [0, 2, 99])
def test_a_claim_wants_exactly_the_attempt_of_its_message(database: Database, attempt: int) -> None:
    run_id = make_run(database)

    assert claim(database, run_id, make_worker(database), attempt=attempt) is None


def test_a_worker_that_was_given_up_claims_nothing(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    with database.session() as session:
        workers.give_up(session, worker_id, beats=None, at=NOON)

    assert claim(database, run_id, worker_id) is None


def test_a_claim_whose_answer_was_lost_is_found_again(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id, at=NOON)

    with database.session() as session:
        ours = reclaim(session, run_id, 1, worker_id=worker_id, at=NOON)
        others = reclaim(session, run_id, 1, worker_id=worker_id, at=NOON + SECOND)

    assert ours is not None
    assert others is None


def test_many_workers_at_once_start_a_run_once(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    barrier = threading.Barrier(6)
    claims: list[object] = []

    def race() -> None:
        barrier.wait()
        claims.append(claim(database, run_id, worker_id))

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(claims) == 6
    assert sum(claimed is not None for claimed in claims) == 1


def test_a_result_is_written_once_and_stays(database: Database) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))

    assert finish(database, run_id, result={"rows": 3})
    assert not finish(database, run_id, RunState.FAILED, error=RunError("Late", ""))

    ended = run(database, run_id)
    assert (ended.state, ended.result, ended.error) == (RunState.SUCCEEDED, {"rows": 3}, None)


@pytest.mark.parametrize(
    "state, own_reason, why, reason",
    [
        (
            RunState.SUCCEEDED,
            None,
            "cancelled",
            "It was asked to end, and succeeded all the same.",
        ),
        (
            RunState.SUCCEEDED,
            "NaN became null.",
            "typo",
            "It was asked to end (typo), and succeeded all the same. NaN became null.",
        ),
        (RunState.FAILED, None, "typo", "It was asked to end (typo), and failed all the same."),
        (
            RunState.TIMED_OUT,
            None,
            "cancelled",
            "It was asked to end, and reached its time limit all the same.",
        ),
        (RunState.CANCELLED, None, "typo", "typo"),
        (RunState.LOST, "fenced", "typo", "fenced"),
    ],
)
def test_the_reason_of_a_run_that_goes_on_after_a_cancel_says_so(
    database: Database, state: RunState, own_reason: str | None, why: str, reason: str
) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    cancel(database, run_id, reason=why)

    assert finish(database, run_id, state, reason=own_reason)

    ended = run(database, run_id)
    assert (ended.state, ended.cancelled_by, ended.reason) == (state, "ann", reason)


def test_a_failure_within_its_attempts_is_tried_again_when_its_delay_is_over(
    database: Database,
) -> None:
    policy = RetryPolicy(max_attempts=2, delay_seconds=40, backoff="constant", jitter=False)
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))

    finish(database, run_id, RunState.FAILED, retry=policy, at=NOON, error=RunError("Boom", ""))
    with database.session() as session:
        early = queue_due_retries(session, at=NOON + 39 * SECOND)
        due = queue_due_retries(session, at=NOON + 40 * SECOND)

    assert early == []
    assert [(message.run_id, message.attempt) for message in due] == [(run_id, 2)]
    assert run(database, run_id).state is RunState.QUEUED


AGAIN = RetryPolicy(max_attempts=3, delay_seconds=0, jitter=False)


def test_a_run_that_was_asked_to_end_gets_no_other_attempt(database: Database) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    cancel(database, run_id)

    # It failed by itself before it saw that.
    finish(database, run_id, RunState.FAILED, retry=AGAIN)

    assert run(database, run_id).state is RunState.FAILED


def test_a_run_of_a_deleted_job_gets_no_other_attempt(database: Database) -> None:
    job = make_job(database)
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))
    with database.session() as session:
        service.remove(session, job, version=None, by="tester", at=NOON)

    finish(database, run_id, RunState.FAILED, retry=AGAIN)

    assert run(database, run_id).state is RunState.FAILED


def test_the_reason_of_one_attempt_is_not_that_of_the_next(database: Database) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    finish(database, run_id, RunState.LOST, retry=AGAIN, reason="The worker vanished.", at=NOON)
    with database.session() as session:
        queue_due_retries(session, at=NOON)
    claim(database, run_id, make_worker(database), attempt=2)

    finish(database, run_id, attempt=2)

    ended = run(database, run_id)
    assert (ended.state, ended.reason) == (RunState.SUCCEEDED, None)


def test_the_last_attempt_is_final(database: Database) -> None:
    policy = RetryPolicy(max_attempts=1)
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))

    finish(database, run_id, RunState.FAILED, retry=policy)

    assert run(database, run_id).state is RunState.FAILED


def test_a_fenced_worker_cannot_overwrite_the_newer_attempt(database: Database) -> None:
    policy = RetryPolicy(max_attempts=2, delay_seconds=0)
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    finish(database, run_id, RunState.LOST, retry=policy, at=NOON)
    with database.session() as session:
        queue_due_retries(session, at=NOON)
    claim(database, run_id, make_worker(database), attempt=2)

    assert not finish(database, run_id, RunState.SUCCEEDED, attempt=1, result="late")
    assert finish(database, run_id, RunState.SUCCEEDED, attempt=2, result="new")

    assert run(database, run_id).result == "new"
    with database.reading() as session:
        first = session.get_one(Attempt, (run_id, 1))
    assert first.state is RunState.LOST
    assert first.note is not None
    assert first.note["state"] == "succeeded"


@pytest.mark.parametrize("state", [RunState.WAITING, RunState.QUEUED])
def test_what_has_not_begun_is_cancelled_at_once(database: Database, state: RunState) -> None:
    run_id = make_run(database, make_job(database), state=state)

    assert cancel(database, run_id) is RunState.CANCELLED

    ended = run(database, run_id)
    assert (ended.state, ended.cancelled_by, ended.reason) == (RunState.CANCELLED, "ann", "typo")
    assert claim(database, run_id, make_worker(database)) is None


def test_who_cancelled_is_in_the_audit_once(database: Database) -> None:
    run_id = make_run(database)
    cancel(database, run_id)
    cancel(database, run_id)

    with database.reading() as session:
        events = audit.page(session, audit.EventFilter(), before=None, limit=10)
    assert [(event.action, event.actor, event.run_id) for event in events] == [
        ("cancel", "ann", run_id)
    ]


def test_a_running_run_is_asked_to_end_and_a_kill_may_follow(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id)

    assert cancel(database, run_id) is RunState.RUNNING
    assert cancel(database, run_id, CancelMode.KILL) is RunState.RUNNING

    with database.session() as session:
        [asked] = runs_cancel.cancel_requests(session, worker_id)
        assert (asked.run_id, asked.attempt, asked.mode) == (run_id, 1, CancelMode.KILL)
        assert runs_cancel.running_on(session, worker_id) == [(run_id, 1)]


def test_a_run_that_is_to_be_killed_is_not_asked_gently_by_a_newer_one(database: Database) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.CANCEL_OTHER)
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))
    cancel(database, run_id, CancelMode.KILL)

    with database.session() as session:
        overlap.make_room(session, job.id, CancelMode.GRACEFUL, drop_waiting=True, at=NOON)
        session.commit()

    assert run(database, run_id).cancel_mode is CancelMode.KILL


def test_what_is_over_cannot_be_cancelled(database: Database) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    finish(database, run_id)

    assert cancel(database, run_id) is None
    assert run(database, run_id).state is RunState.SUCCEEDED


def test_the_database_refuses_a_second_active_run_of_an_exclusive_job(
    database: Database,
) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.SKIP)
    make_run(database, job)

    with pytest.raises(IntegrityError):
        make_run(database, job)


def test_allow_all_lets_a_job_run_many_times_at_once(database: Database) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.ALLOW_ALL)
    make_run(database, job)
    make_run(database, job)

    assert len(runs_of(database, job)) == 2


def test_the_oldest_waiting_run_takes_the_place_that_is_free(database: Database) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.BUFFER_ALL)
    first = make_run(database, job)
    second = make_run(database, job, state=RunState.WAITING)
    third = make_run(database, job, state=RunState.WAITING)

    with database.session() as session:
        assert overlap.promote(session, job.id, at=NOON) is None
    claim(database, first, make_worker(database))
    finish(database, first)
    with database.session() as session:
        assert overlap.promotable_jobs(session) == [job.id]
        message = overlap.promote(session, job.id, at=NOON)

    assert message is not None
    assert message.run_id == second
    assert run(database, third).state is RunState.WAITING


def test_a_run_that_may_overlap_keeps_the_waiting_ones_out_too(database: Database) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.BUFFER_ALL)
    beside = make_run(database, job, policy=OverlapPolicy.ALLOW_ALL)
    waiting = make_run(database, job, state=RunState.WAITING)

    with database.session() as session:
        assert overlap.promotable_jobs(session) == []
        assert overlap.promote(session, job.id, at=NOON) is None
    claim(database, beside, make_worker(database))
    finish(database, beside)
    with database.session() as session:
        message = overlap.promote(session, job.id, at=NOON)

    assert message is not None
    assert message.run_id == waiting


#: What is done at each tick, at each end of a run, and by the janitor all the time.
OFTEN: dict[str, tuple[Callable[[Session], object], str]] = {
    "plan": (lambda session: job_groups.unfinished(session, [1, 2]), "ix_runs_awaited"),
    "promote": (lambda session: overlap.promote(session, 1, at=NOON), "ix_runs_waiting"),
    "beside": (lambda session: overlap.promote(session, 1, at=NOON), "ix_runs_beside"),
    "awaited": (
        lambda session: session.execute(select(overlap.may_have_waiting_run(1))),
        "ix_runs_awaited",
    ),
    "promotable": (overlap.promotable_jobs, "ix_runs_awaited"),
    "unsent": (lambda session: outbox.unsent_by_queue(session, at=NOON), "ix_runs_send_at"),
    "send": (
        lambda session: outbox.take_unsent(session, "default", at=NOON, limit=9),
        "ix_runs_send_at",
    ),
    "mark_queued_unsent": (
        lambda session: outbox.mark_queued_unsent(session, at=NOON),
        "ix_runs_send_at",
    ),
    "retries": (lambda session: queue_due_retries(session, at=NOON), "ix_runs_not_before"),
    "orphans": (rescue.orphans, "ix_runs_unfinished"),
}


@pytest.mark.parametrize("name", OFTEN)
def test_what_is_done_often_reads_no_history(database: Database, name: str) -> None:
    work, index = OFTEN[name]
    sent: list[tuple[str, Any]] = []

    def note(_: Connection, _cursor: object, statement: str, given: object, *_rest: object) -> None:
        sent.append((statement, given))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.session() as session:
        work(session)
    event.remove(database.engine, "before_cursor_execute", note)

    if database.engine.dialect.name == "sqlite":
        plans = []
        with database.engine.connect() as connection:
            for statement, given in sent:
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
                plans += [row[-1] for row in rows]
        # Neither by the index of fires, nor all of what some worker ever had.
        of_history = ("sqlite_autoindex_runs_2", "USING INDEX ix_runs_worker", "ix_runs_instant")
        assert not [plan for plan in plans if any(each in plan for each in of_history)], plans
        assert not [plan for plan in plans if plan.startswith("SCAN runs") and " USING" not in plan]
        assert [plan for plan in plans if index in plan], plans


def test_messages_are_repeated_with_growing_pauses(database: Database) -> None:
    run_id = make_run(database, at=NOON)

    def sent_at(seconds: int) -> list[UUID]:
        at = NOON + timedelta(seconds=seconds)
        with database.session() as session:
            return [m.run_id for m in outbox.take_unsent(session, "default", at=at, limit=10)]

    assert sent_at(14) == []
    assert sent_at(15) == [run_id]
    assert sent_at(44) == []
    assert sent_at(45) == [run_id]
    assert sent_at(104) == []
    assert sent_at(105) == [run_id]


def test_a_claimed_run_is_not_sent_again(database: Database) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))

    with database.session() as session:
        assert outbox.take_unsent(session, "default", at=NOON + DAY, limit=10) == []


def finish_lost(database: Database, run_id: UUID, retry: RetryPolicy | None = None) -> bool:
    row = run(database, run_id)
    row.retry = (retry or RetryPolicy()).as_json()
    with database.session() as session:
        return rescue.finish_lost(session, row, 1, reason="gone", at=NOON + SECOND)


@pytest.mark.parametrize(
    "retry, state",
    [
        (RetryPolicy(), RunState.LOST),
        (RetryPolicy(max_attempts=2), RunState.RETRYING),
        (RetryPolicy(max_attempts=2, on=(RunState.FAILED,)), RunState.LOST),
    ],
)
def test_a_run_of_a_gone_worker_is_lost_or_tried_again_by_policy(
    database: Database, retry: RetryPolicy, state: RunState
) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id)
    with database.session() as session:
        assert rescue.orphans(session) == []
        workers.give_up(session, worker_id, beats=None, at=NOON)
        assert [orphan.id for orphan in rescue.orphans(session)] == [run_id]

    assert finish_lost(database, run_id, retry)

    assert run(database, run_id).state is state


def test_a_lost_run_of_a_task_that_others_have_says_that_it_may_go_on(database: Database) -> None:
    run_ids = [make_run(database, task=task) for task in ("celery", "sleep")]
    for run_id in run_ids:
        claim(database, run_id, make_worker(database))
        finish_lost(database, run_id)

    elsewhere, here = (run(database, run_id) for run_id in run_ids)

    assert elsewhere.error is not None
    assert here.error is not None
    assert elsewhere.error["message"].startswith("gone The task may still run in your workers")
    assert (here.error["message"], elsewhere.reason) == ("gone", "gone")


def test_a_late_result_of_a_run_that_is_lost_for_good_is_kept_too(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id)
    finish(database, run_id, RunState.LOST, error=RunError("WorkerLost", ""))

    assert not finish(database, run_id, RunState.SUCCEEDED, result="late", exit_code=0)
    assert not finish(database, run_id, RunState.FAILED, exit_code=1)

    with database.reading() as session:
        [attempt] = history.get(session, run_id).attempts
    assert (attempt.attempt, attempt.state, attempt.worker) == (1, RunState.LOST, "worker@test")
    assert attempt.note is not None
    assert attempt.note["state"] == "failed"
    assert run(database, run_id).state is RunState.LOST


@pytest.mark.parametrize("retry", [RetryPolicy(), RetryPolicy(max_attempts=2)])
def test_an_end_that_is_written_twice_because_its_answer_got_lost_is_not_late(
    database: Database, retry: RetryPolicy
) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    assert finish(database, run_id, RunState.FAILED, retry=retry, exit_code=1)

    assert not finish(database, run_id, RunState.FAILED, retry=retry, exit_code=1)

    with database.reading() as session:
        assert [each.note for each in session.scalars(select(Attempt))] == (
            [None] if retry.max_attempts > 1 else []
        )


def test_a_janitor_that_comes_second_leaves_no_note_of_a_late_result(database: Database) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))

    assert finish_lost(database, run_id, RetryPolicy(max_attempts=2))
    assert not finish_lost(database, run_id, RetryPolicy(max_attempts=2))

    with database.reading() as session:
        assert session.get_one(Attempt, (run_id, 1)).note is None


def test_a_run_that_was_to_be_cancelled_when_its_process_died_is_cancelled(
    database: Database,
) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    cancel(database, run_id, CancelMode.KILL)

    assert finish_lost(database, run_id)

    assert run(database, run_id).state is RunState.CANCELLED


def test_a_job_pauses_after_its_failures_in_a_row(database: Database) -> None:
    job = make_job(
        database, at=NOON, pause_after_failures=2, overlap_policy=OverlapPolicy.ALLOW_ALL
    )
    worker_id = make_worker(database)

    def fail() -> None:
        run_id = make_run(database, job)
        claim(database, run_id, worker_id)
        finish(database, run_id, RunState.FAILED)

    fail()
    with database.reading() as session:
        assert session.get_one(type(job), job.id).state == "active"
    fail()
    with database.reading() as session:
        paused = session.get_one(type(job), job.id)
    assert (paused.state, paused.next_fire_at, paused.paused_by) == ("paused", None, "jobs-app")


def test_a_job_that_was_deleted_is_not_paused_for_its_last_failure(database: Database) -> None:
    job = make_job(database, at=NOON, pause_after_failures=1)
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))
    with database.session() as session:
        service.remove(session, job, version=None, by="ann", at=NOON + SECOND)

    finish(database, run_id, RunState.FAILED, at=NOON + 2 * SECOND)

    with database.reading() as session:
        deleted = session.get_one(type(job), job.id)
        actions = list(session.scalars(select(AuditEvent.action)))
    assert (deleted.state, deleted.paused_at) == ("active", None)
    assert "pause" not in actions


def test_a_job_with_a_fire_to_record_pauses_at_the_failure_after_it(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", pause_after_failures=1)
    worker_id, run_id = make_worker(database), make_run(database, job)
    claim(database, run_id, worker_id)

    finish(database, run_id, RunState.FAILED, at=NOON + SECOND)
    with database.reading() as session:
        assert session.get_one(type(job), job.id).next_fire_at == NOON
    record(database, job, at=NOON + SECOND)
    of_fire = next(each.id for each in runs_of(database, job) if each.scheduled_for == NOON)
    claim(database, of_fire, worker_id, at=NOON + 2 * SECOND)
    finish(database, of_fire, RunState.FAILED, at=NOON + 3 * SECOND)

    with database.reading() as session:
        assert session.get_one(type(job), job.id).state == "paused"


Race = Callable[[Database, UUID, UUID], object]


def _claim(database: Database, run_id: UUID, worker_id: UUID) -> object:
    return claim(database, run_id, worker_id) is not None


def _cancel(database: Database, run_id: UUID, worker_id: UUID) -> object:
    return cancel(database, run_id) is RunState.CANCELLED


@pytest.mark.parametrize("round_number", range(5))
def test_a_cancel_that_races_a_claim_has_one_winner(database: Database, round_number: int) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    barrier = threading.Barrier(2)
    won: dict[str, object] = {}

    def race(name: str, act: Race) -> None:
        barrier.wait()
        won[name] = act(database, run_id, worker_id)

    threads = [
        threading.Thread(target=race, args=(name, act))
        for name, act in (("claim", _claim), ("cancel", _cancel))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(bool, won.values())) == [False, True]


def report(database: Database, run_id: UUID, fraction: float, *, attempt: int = 1) -> bool:
    progress = {"fraction": fraction, "message": None, "meta": None, "at": "2026-06-15T12:00:00Z"}
    with database.session() as session:
        return report_progress(session, run_id, attempt, progress)


def fraction(database: Database, run_id: UUID) -> float | None:
    progress = run(database, run_id).progress
    return None if progress is None else progress["fraction"]


def test_progress_is_that_of_the_attempt_that_runs(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    assert not report(database, run_id, 0.1)
    claim(database, run_id, worker_id)

    assert report(database, run_id, 0.2)
    assert not report(database, run_id, 0.9, attempt=2)
    assert fraction(database, run_id) == 0.2

    finish(database, run_id)
    assert not report(database, run_id, 0.3)
    assert fraction(database, run_id) == 0.2


def test_the_end_of_a_run_brings_its_last_progress_along(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id)
    report(database, run_id, 0.2)

    finish(database, run_id, progress={"fraction": 1.0})

    assert fraction(database, run_id) == 1.0
