"""The janitor's rules: each mends one promise that a crash broke, and nothing else."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.core.settings import Settings
from jobs_app.core.states import Event, OverlapPolicy, RunState
from jobs_app.db.counters import PendingCounts
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import workers
from jobs_app.runs.messages import Message
from jobs_app.runs.retry import RetryPolicy
from jobs_app.scheduler.heartbeat_monitor import HeartbeatMonitor
from jobs_app.scheduler.janitor import Janitor, Rule
from jobs_app.scheduler.janitor_schedule import JanitorSchedule
from jobs_app.scheduler.pending_work import Work
from tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    claim,
    finish,
    make_job,
    make_run,
    make_worker,
    run,
)
from tests.notification_checks import make_channel, notified_events
from tests.plans import captured
from tests.redbeat_scores import scores


class Publisher:
    """Takes messages, or refuses them."""

    def __init__(self) -> None:
        self.sent: list[UUID] = []
        self.is_down = False

    def __call__(self, messages: Sequence[Message]) -> None:
        if self.is_down:
            raise BrokerUnavailable("down")
        self.sent += [message.run_id for message in messages]


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def janitor(database: Database, projection: Projection, publisher: Publisher) -> Janitor:
    monitor = HeartbeatMonitor(lost_seconds=30)
    return Janitor(database, projection, publisher, monitor, queue_prefix="test-none:")


def test_a_message_that_never_went_out_is_sent_when_it_is_overdue(
    database: Database, janitor: Janitor, publisher: Publisher
) -> None:
    run_id = make_run(database, at=NOON)

    janitor.resend(at=NOON + 14 * SECOND)
    assert publisher.sent == []
    janitor.resend(at=NOON + 15 * SECOND)

    assert publisher.sent == [run_id]


def test_messages_that_lie_in_the_queue_are_not_doubled(
    database: Database, janitor: Janitor, publisher: Publisher, redis_url: str
) -> None:
    queue, prefix = "busy", f"test-{uuid4()}:"
    projection = Projection(Settings(redis_url=redis_url, redis_prefix=prefix))
    crowded = Janitor(
        database, projection, publisher, HeartbeatMonitor(lost_seconds=30), queue_prefix=prefix
    )
    for _ in range(5):
        make_run(database, at=NOON, queue=queue)
    projection._redis.lpush(f"{prefix}{queue}", *["message"] * 3)

    crowded.resend(at=NOON + MINUTE)
    projection.close()

    assert len(publisher.sent) == 2


def test_a_scheduler_that_takes_over_sends_what_the_one_before_it_left(
    database: Database, janitor: Janitor, publisher: Publisher
) -> None:
    run_id = make_run(database, at=NOON)
    janitor.take_over(at=NOON + SECOND)
    # That one died as well, before its message arrived.
    janitor.take_over(at=NOON + 2 * SECOND)

    janitor.resend(at=NOON + 3 * SECOND)

    assert publisher.sent == [run_id, run_id]


def test_what_redis_refuses_stays_due(
    database: Database, janitor: Janitor, publisher: Publisher
) -> None:
    run_id = make_run(database, at=NOON)
    publisher.is_down = True
    janitor.resend(at=NOON + 15 * SECOND)
    publisher.is_down = False

    janitor.resend(at=NOON + 16 * SECOND)

    assert publisher.sent == [run_id]


@pytest.mark.parametrize(
    "silent_seconds, is_given_up", [(29, False), (30, True)], ids=["too young", "old enough"]
)
def test_a_worker_is_given_up_when_its_counter_stood_still(
    database: Database, janitor: Janitor, silent_seconds: int, is_given_up: bool
) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id)

    for second in range(silent_seconds + 1):
        janitor.give_up_workers(at=NOON, monotonic=1000.0 + second)
    janitor.finish_orphans(at=NOON)

    assert run(database, run_id).state is (RunState.LOST if is_given_up else RunState.RUNNING)


def test_a_worker_that_beats_is_left_alone(database: Database, janitor: Janitor) -> None:
    worker_id = make_worker(database)

    for second in range(0, 200, 5):
        with database.session() as session:
            assert workers.beat(session, worker_id, dropped=0, at=NOON)
        janitor.give_up_workers(at=NOON, monotonic=1000.0 + second)


def test_time_that_the_janitor_was_frozen_counts_for_little(
    database: Database, janitor: Janitor
) -> None:
    worker_id = make_worker(database)
    janitor.give_up_workers(at=NOON, monotonic=1000.0)

    janitor.give_up_workers(at=NOON, monotonic=9000.0)

    with database.reading() as session:
        assert worker_id in workers.living(session)


@pytest.mark.parametrize("jump", [-DAY, DAY, 3650 * DAY])
def test_no_change_of_the_date_gives_a_worker_up(
    database: Database, janitor: Janitor, jump: timedelta
) -> None:
    worker_id = make_worker(database)
    janitor.give_up_workers(at=NOON, monotonic=1000.0)

    janitor.give_up_workers(at=NOON + jump, monotonic=1001.0)

    with database.reading() as session:
        assert worker_id in workers.living(session)


@pytest.mark.parametrize(
    "max_attempts, after, state",
    [(2, 29, RunState.RETRYING), (2, 30, RunState.QUEUED), (1, 30, RunState.FAILED)],
    ids=["too young", "old enough", "out of attempts"],
)
def test_a_retry_is_queued_when_it_is_due(
    database: Database,
    janitor: Janitor,
    publisher: Publisher,
    max_attempts: int,
    after: int,
    state: RunState,
) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))
    policy = RetryPolicy(max_attempts=max_attempts, delay_seconds=30, jitter=False)
    finish(database, run_id, RunState.FAILED, retry=policy, at=NOON)

    janitor.queue_retries(at=NOON + after * SECOND)

    assert run(database, run_id).state is state
    assert publisher.sent == ([run_id] if state is RunState.QUEUED else [])


def test_a_run_that_waits_for_nobody_is_let_in(
    database: Database, janitor: Janitor, publisher: Publisher
) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.BUFFER_ALL)
    first, second = make_run(database, job), make_run(database, job, state=RunState.WAITING)
    claim(database, first, make_worker(database))

    janitor.promote_waiting(at=NOON)
    assert publisher.sent == []
    finish(database, first)  # and its worker dies before it promotes
    janitor.promote_waiting(at=NOON)

    assert publisher.sent == [second]


def test_runs_that_an_interrupted_deletion_left_are_cancelled(
    database: Database, janitor: Janitor
) -> None:
    job, other = make_job(database), make_job(database)
    left = [make_run(database, job), make_run(database, job, state=RunState.WAITING)]
    kept = make_run(database, other)
    with database.session() as session:
        values = {"deleted_at": NOON, "next_fire_at": None, "next_due_at": None}
        session.execute(update(Job).where(Job.id == job.id).values(**values))
        session.commit()

    assert janitor.cancel_of_deleted_jobs(at=NOON) == 2
    assert janitor.cancel_of_deleted_jobs(at=NOON) == 0

    assert [run(database, run_id).state for run_id in left] == [RunState.CANCELLED] * 2
    assert run(database, kept).state is RunState.QUEUED


def test_what_was_queued_for_long_is_sent_at_once_after_redis_lost_everything(
    database: Database, janitor: Janitor, publisher: Publisher
) -> None:
    run_id = make_run(database, at=NOON)
    for minutes in (1, 5, 20, 40):
        janitor.resend(at=NOON + minutes * MINUTE)
    publisher.sent.clear()

    janitor.recover(at=NOON + 41 * MINUTE)

    assert publisher.sent == [run_id]


def test_a_run_that_takes_much_longer_than_usual_is_notified_of_once(
    database: Database, janitor: Janitor
) -> None:
    make_channel(database, events=(Event.OVERRUN,))
    job, worker_id = make_job(database), make_worker(database)
    for days in range(1, 6):
        run_id = make_run(database, job, at=NOON - days * DAY)
        claim(database, run_id, worker_id, at=NOON - days * DAY)
        finish(database, run_id, at=NOON - days * DAY + MINUTE)
    claim(database, make_run(database, job, at=NOON), worker_id, at=NOON)

    found = [janitor.notify_overruns(at=NOON + minutes * MINUTE) for minutes in (9, 11, 12)]

    assert found == [0, 1, 0]
    assert notified_events(database) == [("ops", "overrun")]


def test_a_rule_that_fails_does_not_keep_the_later_ones_waiting(
    database: Database, janitor: Janitor
) -> None:
    retry = {"max_attempts": 2, "of_a_newer_version": True}
    unreadable = make_run(database, at=NOON)
    worker_id = make_worker(database)
    claim(database, unreadable, worker_id)
    with database.session() as session, session.begin():
        session.execute(update(Run).where(Run.id == unreadable).values(retry=retry))
        workers.give_up(session, worker_id, beats=None, at=NOON)
    job = make_job(database, overlap_policy=OverlapPolicy.BUFFER_ALL)
    waiting = make_run(database, job, state=RunState.WAITING)

    JanitorSchedule(janitor, PendingCounts()).run(at=NOON, monotonic=1000.0, now=lambda: 0.0)

    assert run(database, waiting).state is RunState.QUEUED


def test_rules_that_take_long_take_turns_with_the_clock(
    janitor: Janitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    clock = {"now": 0.0}

    def slow(name: str) -> int:
        done.append(name)
        clock["now"] += 1.0
        return 0

    rules = [Rule(name, 1.0, lambda *_, name=name: slow(name)) for name in "abc"]
    monkeypatch.setattr(janitor, "rules", lambda: rules)
    schedule = JanitorSchedule(janitor, PendingCounts())

    for look in range(6):
        schedule.run(at=NOON, monotonic=1000.0 + look, now=lambda: clock["now"])

    assert "".join(done) == "abcabc"


def test_a_second_without_work_takes_two_statements(database: Database, janitor: Janitor) -> None:
    make_job(database)
    make_worker(database)
    schedule = JanitorSchedule(janitor, PendingCounts())
    schedule.run(at=NOON, monotonic=1000.0, now=lambda: 0.0)

    with captured(database, "") as statements:
        for second in range(1, 10):
            at = NOON + second * SECOND
            schedule.run(at=at, monotonic=1000.0 + second, now=lambda: 0.0)

    # BEGIN is one of SQLite's.
    asked = [statement for statement, _ in statements if statement != "BEGIN"]
    assert len(asked) == 2 * 9


def test_the_runs_of_a_worker_are_finished_in_the_second_in_which_it_is_given_up(
    database: Database, janitor: Janitor
) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    claim(database, run_id, worker_id)
    schedule = JanitorSchedule(janitor, PendingCounts())

    for second in range(31):
        assert run(database, run_id).state is RunState.RUNNING
        schedule.run(at=NOON, monotonic=1000.0 + second, now=lambda: 0.0)

    assert run(database, run_id).state is RunState.LOST


def test_all_rules_are_applied_when_nobody_knows_what_work_there_is(
    database: Database,
    janitor: Janitor,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: object) -> frozenset[Work]:
        raise ArithmeticError

    run_id = make_run(database, at=NOON)
    monkeypatch.setattr(janitor, "pending_work", fail)

    JanitorSchedule(janitor, PendingCounts()).run(
        at=NOON + MINUTE, monotonic=1000.0, now=lambda: 0.0
    )

    assert publisher.sent == [run_id]


def test_a_job_whose_pause_ends_gets_its_entry_back(
    database: Database, janitor: Janitor, projection: Projection
) -> None:
    job = make_job(database, cron="0 * * * *")
    with database.session() as session:
        job = service.pause(
            session, job, reason=None, by="ann", at=NOON - SECOND, until=NOON + MINUTE
        )
    projection.write([job])

    early, ended = (janitor.end_pauses(at=at) for at in (NOON, NOON + MINUTE))

    assert (early, ended) == (0, 1)
    assert scores(projection) == {job.id: (NOON + HOUR).timestamp()}
