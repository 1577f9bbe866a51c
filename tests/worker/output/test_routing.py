"""A thread's output belongs to the run of its context, or to the only run of the process."""

import threading
from collections.abc import Callable

from jobs_app.worker.output import routing
from tests.worker.output.sinks import Memory


def in_thread(call: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(10)
    return found[0]


def test_only_the_thread_of_a_run_writes_to_it() -> None:
    sink = Memory()

    with routing.route_to(sink):
        assert routing.sink_here() is sink
        assert in_thread(routing.sink_here) is None
    assert routing.sink_here() is None


def test_later_threads_belong_to_the_only_run_and_earlier_ones_do_not() -> None:
    sink, may_look = Memory(), threading.Event()
    found: list[object] = []

    def look() -> None:
        may_look.wait(10)
        found.append(routing.sink_here())

    earlier = threading.Thread(target=look)
    earlier.start()

    routing.begin_only_run(sink)
    try:
        assert in_thread(routing.sink_here) is sink
        may_look.set()
        earlier.join(10)
    finally:
        routing.end_only_run()

    assert found == [None]
    assert in_thread(routing.sink_here) is None


def test_a_thread_that_leaves_belongs_to_the_worker() -> None:
    def leave() -> object:
        routing.leave_run_output()
        return routing.sink_here()

    routing.begin_only_run(Memory())
    try:
        assert in_thread(leave) is None
    finally:
        routing.end_only_run()


def test_a_thread_that_outlives_the_only_run_writes_to_no_log() -> None:
    stages = [threading.Event(), threading.Event()]
    seen: list[object] = []

    def look() -> None:
        for stage in stages:
            stage.wait(10)
            seen.append(routing.sink_here())

    left = threading.Thread(target=look)
    routing.begin_only_run(Memory())
    left.start()
    routing.end_only_run()

    stages[0].set()
    while not seen:
        left.join(0.01)
    routing.begin_only_run(Memory())
    try:
        stages[1].set()
        left.join(10)
    finally:
        routing.end_only_run()

    assert seen == [routing.NO_SINK] * 2
    assert in_thread(routing.sink_here) is None
