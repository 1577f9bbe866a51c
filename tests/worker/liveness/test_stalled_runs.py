"""Stalled runs are found in the table of active runs."""

import os
import threading
from collections.abc import Callable
from uuid import uuid4

import pytest

from jobs_app.worker.liveness.active_runs import SLOTS, ActiveRuns, Attempt
from jobs_app.worker.liveness.stalled_runs import STALLED_POLL_SECONDS, STALLED_SECONDS, StalledRuns


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def active_runs() -> ActiveRuns:
    return ActiveRuns()


def in_child(work: Callable[[], object]) -> int:
    """Call *work* in a process of its own, wait for it, and return its number."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return pid


def work_in_slot(active_runs: ActiveRuns, place: int, attempt: Attempt) -> None:
    """Be the process at a *place* of the pool that works on *attempt*."""
    active_runs.take_slot(place)
    active_runs.begin(*attempt)


def test_a_process_writes_what_it_works_on_where_its_parent_reads_it(
    active_runs: ActiveRuns,
) -> None:
    first, second = (uuid4(), 1), (uuid4(), 2**31)

    pids = [
        in_child(lambda: work_in_slot(active_runs, 3, first)),
        in_child(lambda: work_in_slot(active_runs, 0, second)),
    ]
    assert active_runs.attempts() == {first: pids[0], second: pids[1]}

    # Another process in the place of one that is gone has nothing to do with its run.
    in_child(lambda: active_runs.take_slot(3))
    assert active_runs.attempts() == {second: pids[1]}


def test_an_attempt_is_active_while_a_process_that_took_it_lives(
    active_runs: ActiveRuns,
) -> None:
    twice, once = (uuid4(), 1), (uuid4(), 1)
    active_runs.begin(*twice)

    # The dead one comes last: what it noted does not hide the other.
    in_child(lambda: work_in_slot(active_runs, 0, twice))
    in_child(lambda: work_in_slot(active_runs, 1, once))

    assert active_runs.is_active(*twice)
    assert not active_runs.is_active(*once)
    assert not active_runs.is_active(twice[0], 2)


def test_an_attempt_is_active_until_it_ends(active_runs: ActiveRuns) -> None:
    def work() -> None:
        work_in_slot(active_runs, 0, (uuid4(), 1))
        active_runs.end()

    in_child(work)

    assert active_runs.attempts() == {}


def test_threads_of_one_process_work_on_an_attempt_each(active_runs: ActiveRuns) -> None:
    attempts = {(uuid4(), number) for number in range(1, 4)}
    all_begun, may_end = threading.Barrier(4), threading.Event()

    def work(attempt: Attempt) -> None:
        active_runs.begin(*attempt)
        all_begun.wait()
        may_end.wait()
        active_runs.end()

    threads = [threading.Thread(target=work, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    all_begun.wait()
    assert active_runs.attempts() == dict.fromkeys(attempts, os.getpid())

    may_end.set()
    for thread in threads:
        thread.join()
    assert active_runs.attempts() == {}


def test_what_nobody_works_on_is_stalled_when_it_has_been_so_for_a_while(
    active_runs: ActiveRuns,
) -> None:
    clock = Clock()
    stalled_runs = StalledRuns(active_runs, clock)
    worked_on, lost = (uuid4(), 1), (uuid4(), 1)
    active_runs.begin(*worked_on)

    assert stalled_runs.find([worked_on, lost]) == []
    clock.now += STALLED_SECONDS - 0.1
    assert stalled_runs.find([worked_on, lost]) == []
    clock.now += 0.1
    assert stalled_runs.find([worked_on, lost]) == [lost]


def test_a_check_is_due_from_time_to_time(active_runs: ActiveRuns) -> None:
    clock = Clock()
    stalled_runs = StalledRuns(active_runs, clock)
    due = [stalled_runs.is_due]
    stalled_runs.find([])
    for _ in range(2):
        due.append(stalled_runs.is_due)
        clock.now += STALLED_POLL_SECONDS / 2
    due.append(stalled_runs.is_due)

    assert due == [True, False, False, True]


def test_the_while_begins_anew_for_what_was_worked_on_or_ended_in_between(
    active_runs: ActiveRuns,
) -> None:
    clock = Clock()
    stalled_runs = StalledRuns(active_runs, clock)
    seen, ended = (uuid4(), 1), (uuid4(), 1)
    stalled_runs.find([seen, ended])

    clock.now += STALLED_POLL_SECONDS
    active_runs.begin(*seen)
    stalled_runs.find([seen])
    active_runs.end()
    clock.now += STALLED_SECONDS

    assert stalled_runs.find([seen, ended]) == []


def test_nothing_is_stalled_if_the_table_is_incomplete(active_runs: ActiveRuns) -> None:
    clock = Clock()
    stalled_runs = StalledRuns(active_runs, clock)

    in_child(lambda: work_in_slot(active_runs, SLOTS, (uuid4(), 1)))
    run = (uuid4(), 1)
    stalled_runs.find([run])
    clock.now += STALLED_SECONDS

    assert not active_runs.is_complete
    assert stalled_runs.find([run]) == []
