"""Runs that share a concurrency key: never more at once than the limit, and none is left over."""

import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from jobs_app.core.states import CancelMode, OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.runs import concurrency, outbox, workers
from jobs_app.runs.cancel import cancel
from jobs_app.runs.concurrency import claim_slot
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.messages import Message
from jobs_app.runs.retry import RetryPolicy
from tests.factories import (
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
from tests.servers import wait_until

KEY = "db-main"


def make_keyed(database: Database, *, limit: int = 2, key: str = KEY, **given: Any) -> UUID:
    return make_run(database, concurrency_key=key, concurrency_limit=limit, **given)


def unpark(database: Database, *, fill_all_slots: bool = False, key: str = KEY) -> list[UUID]:
    with database.session() as session:
        messages = concurrency.unpark(session, key, at=NOON + SECOND, fill_all_slots=fill_all_slots)
    return [message.run_id for message in messages]


def keys_with_free_slots(database: Database) -> list[str]:
    with database.reading() as session:
        return concurrency.keys_with_free_slots(session)


def states(database: Database, run_ids: Sequence[UUID]) -> list[RunState]:
    return [run(database, run_id).state for run_id in run_ids]


def parked(database: Database, count: int, **given: Any) -> list[UUID]:
    """Record runs of the key and have each find no place."""
    worker_id = make_worker(database)
    run_ids = [make_keyed(database, **given) for _ in range(count)]
    for run_id in run_ids:
        assert claim(database, run_id, worker_id) is None
    return run_ids


def fill(database: Database, *, limit: int = 2, **given: Any) -> list[UUID]:
    """Have as many runs of the key at work as it may have."""
    worker_id = make_worker(database)
    run_ids = [make_keyed(database, limit=limit, **given) for _ in range(limit)]
    assert all(claim(database, run_id, worker_id) for run_id in run_ids)
    return run_ids


def test_a_run_that_finds_no_place_stays_queued_and_says_why(database: Database) -> None:
    fill(database)

    (waits,) = parked(database, 1)

    row = run(database, waits)
    assert (row.state, row.send_at, row.worker_id) == (RunState.QUEUED, None, None)
    assert row.reason == (
        "Waits for a slot: 2 of 2 runs with the concurrency key 'db-main' are running."
    )


def test_the_only_slot_of_a_key_is_counted_in_the_singular(database: Database) -> None:
    fill(database, limit=1)

    (waits,) = parked(database, 1, limit=1)

    assert run(database, waits).reason == (
        "Waits for a slot: 1 of 1 run with the concurrency key 'db-main' is running."
    )


def test_keys_and_runs_without_one_do_not_hinder_each_other(database: Database) -> None:
    fill(database)
    worker_id = make_worker(database)

    assert claim(database, make_keyed(database, key="db-other"), worker_id) is not None
    assert claim(database, make_run(database), worker_id) is not None


def test_many_claims_at_once_fill_each_place_once(database: Database) -> None:
    worker_id = make_worker(database)
    run_ids = [make_keyed(database, limit=3) for _ in range(12)]
    barrier = threading.Barrier(len(run_ids))

    def race(run_id: UUID) -> None:
        barrier.wait()
        claim(database, run_id, worker_id)

    together(race, run_ids)

    rows = [run(database, run_id) for run_id in run_ids]
    running = [row for row in rows if row.state is RunState.RUNNING]
    assert sorted(row.concurrency_slot or 0 for row in running) == [1, 2, 3]
    assert all(row.send_at is None for row in rows if row.state is RunState.QUEUED)


def test_the_lowest_free_place_is_taken(database: Database) -> None:
    first, *_ = fill(database, limit=3)
    finish(database, first)
    follower = make_keyed(database, limit=3)

    claim(database, follower, make_worker(database))

    assert run(database, follower).concurrency_slot == 1


def test_the_database_itself_refuses_two_runs_in_one_place(database: Database) -> None:
    first, second = fill(database)

    with pytest.raises(IntegrityError):
        put_in_place(database, second, run(database, first).concurrency_slot)


def test_the_database_itself_refuses_a_place_above_the_limit(database: Database) -> None:
    _, second = fill(database)

    with pytest.raises(IntegrityError):
        put_in_place(database, second, 3)


def put_in_place(database: Database, run_id: UUID, place: int | None) -> None:
    with database.session() as session, session.begin():
        row = session.get_one(Run, run_id)
        row.concurrency_slot = place


def test_each_run_keeps_to_the_limit_of_its_own_job(database: Database) -> None:
    fill(database, limit=2)
    worker_id = make_worker(database)

    wide, narrow = make_keyed(database, limit=3), make_keyed(database, limit=1)

    assert claim(database, narrow, worker_id) is None
    assert claim(database, wide, worker_id) is not None


def test_a_message_that_comes_twice_does_not_take_a_second_place(database: Database) -> None:
    first, second = fill(database)
    before = run(database, second).started_at

    assert claim(database, second, make_worker(database), at=NOON + SECOND) is None

    assert (run(database, second).state, run(database, second).started_at) == (
        RunState.RUNNING,
        before,
    )
    assert run(database, first).concurrency_slot == 1


def test_a_worker_that_was_given_up_neither_claims_nor_parks(database: Database) -> None:
    worker_id, run_id = make_worker(database), make_keyed(database)
    with database.session() as session:
        workers.give_up(session, worker_id, beats=None, at=NOON)

    assert claim(database, run_id, worker_id) is None

    assert run(database, run_id).send_at is not None


def test_a_place_goes_to_the_first_by_priority_then_by_age(database: Database) -> None:
    fill(database)
    late, soon = parked(database, 2, priority=5)
    (urgent,) = parked(database, 1, priority=1)

    assert [hand_over_after_end(database) for _ in range(3)] == [[urgent], [late], [soon]]


def hand_over_after_end(database: Database) -> list[UUID]:
    """End a running run, hand over, and have whoever was called begin."""
    with database.reading() as session:
        statement = text("SELECT id FROM runs WHERE state = 'running' ORDER BY id LIMIT 1")
        found = session.execute(statement).scalar_one()
    finish(database, found if isinstance(found, UUID) else UUID(found))
    called = unpark(database)
    for run_id in called:
        assert claim(database, run_id, make_worker(database)) is not None
    return called


def test_who_is_called_is_sent_again_like_any_queued_run(database: Database) -> None:
    first, _ = fill(database)
    waits, _ = parked(database, 2)
    finish(database, first)

    unpark(database)

    row = run(database, waits)
    assert row.send_at is not None
    with database.session() as session:
        assert outbox.unsent_by_queue(session, at=row.send_at) == {"default": 1}
        again = outbox.take_unsent(session, "default", at=row.send_at, limit=10)
    assert [message.run_id for message in again] == [waits]


def test_nobody_is_called_while_all_places_are_taken(database: Database) -> None:
    fill(database)
    parked(database, 2)

    assert unpark(database) == []
    assert unpark(database, fill_all_slots=True) == []
    assert keys_with_free_slots(database) == []


def test_a_queue_that_nobody_serves_does_not_hold_up_the_others(database: Database) -> None:
    first, _ = fill(database)
    (unserved,) = parked(database, 1, queue="unserved", priority=0)
    (served,) = parked(database, 1)
    finish(database, first)

    assert set(unpark(database)) == {unserved, served}


def test_who_comes_too_late_for_a_place_is_parked_again(database: Database) -> None:
    first, _ = fill(database)
    (waits,) = parked(database, 1)
    finish(database, first)
    unpark(database)
    claim(database, make_keyed(database, priority=0), make_worker(database))

    assert claim(database, waits, make_worker(database)) is None

    assert run(database, waits).send_at is None


@pytest.mark.parametrize("is_called", [False, True])
def test_who_comes_later_lets_those_go_first_that_have_waited(
    database: Database, is_called: bool
) -> None:
    first, _ = fill(database)
    (waits,) = parked(database, 1)
    finish(database, first)
    if is_called:
        unpark(database)

    assert claim(database, make_keyed(database), make_worker(database)) is None
    assert claim(database, make_keyed(database, priority=0), make_worker(database)) is not None
    assert run(database, waits).state is RunState.QUEUED


def test_who_waits_in_another_queue_or_for_less_company_is_not_let_go_first(
    database: Database,
) -> None:
    first, _ = fill(database, limit=2)
    parked(database, 1, queue="unserved")
    parked(database, 1, limit=1)
    finish(database, first)

    assert claim(database, make_keyed(database), make_worker(database)) is not None


def test_with_room_for_both_who_comes_later_need_not_wait(database: Database) -> None:
    first, second, *_ = fill(database, limit=3)
    parked(database, 1, limit=3)
    finish(database, first)
    finish(database, second)

    assert claim(database, make_keyed(database, limit=3), make_worker(database)) is not None


def test_why_a_run_waited_is_forgotten_once_it_runs(database: Database) -> None:
    first, _ = fill(database)
    (waits,) = parked(database, 1)
    finish(database, first)

    claim(database, waits, make_worker(database))

    assert run(database, waits).reason is None


def test_parked_runs_are_not_taken_for_lost_messages(database: Database) -> None:
    fill(database)
    parked(database, 3)

    with database.session() as session:
        outbox.mark_queued_unsent(session, at=NOON + SECOND, is_everything_lost=True)
        assert outbox.unsent_by_queue(session, at=NOON + SECOND) == {}


def test_a_place_that_was_never_handed_over_is_found(database: Database) -> None:
    first, second = fill(database)
    run_ids = parked(database, 3)
    finish(database, first)
    finish(database, second)

    assert keys_with_free_slots(database) == [KEY]
    assert unpark(database, fill_all_slots=True) == run_ids[:2]


def test_nobody_is_called_to_a_place_that_somebody_is_on_the_way_to(database: Database) -> None:
    first, _ = fill(database)
    parked(database, 3)
    finish(database, first)
    unpark(database)

    assert keys_with_free_slots(database) == []
    assert unpark(database, fill_all_slots=True) == []


def test_a_narrow_limit_does_not_hide_the_wide_one_behind_it(database: Database) -> None:
    fill(database, limit=2)
    parked(database, 1, limit=1, priority=0)
    (wide,) = parked(database, 1, limit=2)
    with database.session() as session, session.begin():
        session.get_one(Run, wide).concurrency_limit = 3

    assert keys_with_free_slots(database) == [KEY]
    assert unpark(database) == [wide]


def test_a_run_that_is_to_be_tried_again_leaves_its_place(database: Database) -> None:
    again = RetryPolicy(max_attempts=3, delay_seconds=0, jitter=False)
    (first,) = fill(database, limit=1)
    (waits,) = parked(database, 1, limit=1)

    finish(database, first, RunState.FAILED, retry=again)
    assert unpark(database) == [waits]
    assert claim(database, waits, make_worker(database)) is not None
    with database.session() as session:
        assert [each.run_id for each in queue_due_retries(session, at=NOON + SECOND)] == [first]

    assert claim(database, first, make_worker(database), attempt=2) is None
    assert run(database, first).state is RunState.QUEUED


def test_a_parked_run_can_be_cancelled(database: Database) -> None:
    first, _ = fill(database)
    gone, stays = parked(database, 2)
    with database.session() as session:
        cancel(session, gone, mode=CancelMode.KILL, by="ann", reason="typo", at=NOON)
    finish(database, first)

    assert unpark(database) == [stays]


def test_a_hand_over_waits_for_a_claim_that_is_about_to_park(database: Database) -> None:
    first, _ = fill(database)
    waits, worker_id = make_keyed(database), make_worker(database)
    finish(database, first)
    follower = make_keyed(database)
    claim(database, follower, worker_id)
    called: list[UUID] = []

    def leave() -> None:
        finish(database, follower)
        called.extend(unpark(database))

    leaving = threading.Thread(target=leave)
    with database.session() as session:
        # It looks in vain; in the moment before it is parked, the place gets free.
        row = claim_slot(session, waits, 1, worker_id=worker_id, at=NOON, returning=(Run.task,))
        leaving.start()
        wait_until(lambda: is_held_up(database), "the hand-over to wait for the claim")
        session.commit()
    leaving.join()

    assert row is None
    assert called == [waits]


def is_held_up(database: Database) -> bool:
    """Tell whether somebody waits for a lock; of SQLite nobody can say, and all wait there."""
    if database.engine.dialect.name == "sqlite":
        return True
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with database.reading() as session:
        return bool(session.execute(waiting).scalar_one())


def test_a_run_takes_key_and_limit_from_its_job(database: Database) -> None:
    job = make_job(
        database,
        concurrency_key=KEY,
        concurrency_limit=2,
        overlap_policy=OverlapPolicy.ALLOW_ALL,
    )

    record(database, job, at=NOON)
    make_run(database, job)

    assert [(each.concurrency_key, each.concurrency_limit) for each in runs_of(database, job)] == [
        (KEY, 2)
    ] * 2


def test_a_key_without_a_limit_means_one_at_a_time(database: Database) -> None:
    assert make_job(database, concurrency_key=KEY).concurrency_limit == 1


@pytest.mark.parametrize(
    "values",
    [
        {"concurrency_key": KEY},
        {"concurrency_limit": 2},
        {"concurrency_key": KEY, "concurrency_limit": 0},
    ],
)
def test_the_database_itself_refuses_half_a_key(
    database: Database, values: dict[str, object]
) -> None:
    job = make_job(database)
    assigned = ", ".join(f"{name} = :{name}" for name in values)

    with database.session() as session, pytest.raises(IntegrityError):
        session.execute(text(f"UPDATE jobs SET {assigned} WHERE id = :id"), {"id": job.id} | values)


def test_the_messages_of_keyed_runs_say_no_more_than_others(database: Database) -> None:
    job = make_job(database, concurrency_key=KEY, concurrency_limit=2)

    (message,) = record(database, job, at=NOON).messages

    assert message == Message(message.run_id, 1, "sleep", "default", 5)


def together(call: Callable[[UUID], None], each: Sequence[UUID]) -> None:
    """Call with each of them at the same time, and wait for all."""
    threads = [threading.Thread(target=call, args=(one,)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
