"""Runs that nobody works on, found in the table of what a worker's processes work on."""

import os
import threading
from collections.abc import Callable
from uuid import uuid4

import pytest

from jobs_app.worker.liveness.active_runs import PLACES, Attempt, AtWork
from jobs_app.worker.liveness.stalled_runs import LOOK_SECONDS, STRAY_SECONDS, Strays


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def at_work() -> AtWork:
    return AtWork()


def in_child(work: Callable[[], object]) -> int:
    """Call *work* in a process of its own, wait for it, and return its number."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return pid


def work_at(at_work: AtWork, place: int, attempt: Attempt) -> None:
    """Be the process at a *place* of the pool that works on *attempt*."""
    at_work.take_place(place)
    at_work.begin(*attempt)


def test_a_process_writes_what_it_works_on_where_its_parent_reads_it(at_work: AtWork) -> None:
    first, second = (uuid4(), 1), (uuid4(), 2**31)

    pids = [
        in_child(lambda: work_at(at_work, 3, first)),
        in_child(lambda: work_at(at_work, 0, second)),
    ]
    assert at_work.attempts() == {first: pids[0], second: pids[1]}

    # Another process in the place of one that is gone has nothing to do with its run.
    in_child(lambda: at_work.take_place(3))
    assert at_work.attempts() == {second: pids[1]}


def test_an_attempt_is_in_hand_while_one_of_the_processes_that_took_it_lives(
    at_work: AtWork,
) -> None:
    twice, once = (uuid4(), 1), (uuid4(), 1)
    at_work.begin(*twice)

    # The dead one comes last: what it noted does not hide the other.
    in_child(lambda: work_at(at_work, 0, twice))
    in_child(lambda: work_at(at_work, 1, once))

    assert at_work.is_in_hand(*twice)
    assert not at_work.is_in_hand(*once)
    assert not at_work.is_in_hand(twice[0], 2)


def test_an_attempt_is_at_work_until_it_ends(at_work: AtWork) -> None:
    def work() -> None:
        work_at(at_work, 0, (uuid4(), 1))
        at_work.end()

    in_child(work)

    assert at_work.attempts() == {}


def test_threads_of_one_process_work_on_an_attempt_each(at_work: AtWork) -> None:
    attempts = {(uuid4(), number) for number in range(1, 4)}
    all_begun, may_end = threading.Barrier(4), threading.Event()

    def work(attempt: Attempt) -> None:
        at_work.begin(*attempt)
        all_begun.wait()
        may_end.wait()
        at_work.end()

    threads = [threading.Thread(target=work, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    all_begun.wait()
    assert at_work.attempts() == dict.fromkeys(attempts, os.getpid())

    may_end.set()
    for thread in threads:
        thread.join()
    assert at_work.attempts() == {}


def test_what_nobody_works_on_is_a_stray_when_it_has_been_so_for_a_while(at_work: AtWork) -> None:
    clock = Clock()
    strays = Strays(at_work, clock)
    worked_on, lost = (uuid4(), 1), (uuid4(), 1)
    at_work.begin(*worked_on)

    assert strays.look([worked_on, lost]) == []
    clock.now += STRAY_SECONDS - 0.1
    assert strays.look([worked_on, lost]) == []
    clock.now += 0.1
    assert strays.look([worked_on, lost]) == [lost]


def test_a_look_is_due_from_time_to_time(at_work: AtWork) -> None:
    clock = Clock()
    strays = Strays(at_work, clock)
    due = [strays.is_due]
    strays.look([])
    for _ in range(2):
        due.append(strays.is_due)
        clock.now += LOOK_SECONDS / 2
    due.append(strays.is_due)

    assert due == [True, False, False, True]


def test_the_while_begins_anew_for_what_was_worked_on_or_ended_in_between(
    at_work: AtWork,
) -> None:
    clock = Clock()
    strays = Strays(at_work, clock)
    seen, ended = (uuid4(), 1), (uuid4(), 1)
    strays.look([seen, ended])

    clock.now += LOOK_SECONDS
    at_work.begin(*seen)
    strays.look([seen])
    at_work.end()
    clock.now += STRAY_SECONDS

    assert strays.look([seen, ended]) == []


def test_nothing_is_a_stray_where_the_table_does_not_hold_all(at_work: AtWork) -> None:
    clock = Clock()
    strays = Strays(at_work, clock)

    in_child(lambda: work_at(at_work, PLACES, (uuid4(), 1)))
    run = (uuid4(), 1)
    strays.look([run])
    clock.now += STRAY_SECONDS

    assert not at_work.is_complete
    assert strays.look([run]) == []
