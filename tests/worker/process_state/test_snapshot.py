"""The whole state of a process: restored, quickly, with the names of what stays changed."""

import os
import sys
import time

from jobs_app.worker.process_state.descriptors import Descriptors
from jobs_app.worker.process_state.snapshot import ProcessState
from tests.faults.changing_tasks import LASTING
from tests.running import in_child


def test_what_stays_changed_is_named_and_the_rest_is_restored() -> None:
    def act() -> tuple[list[str], str | None]:
        state = ProcessState(Descriptors())
        os.environ["CHANGED"] = "yes"
        LASTING["another session"][0]()
        return state.restore(), os.environ.get("CHANGED")

    names, variable = in_child(act)

    assert names[-1] == "session"
    assert variable is None


def test_a_part_that_cannot_be_restored_does_not_stop_the_others() -> None:
    def act() -> tuple[list[str], str | None]:
        state = ProcessState(Descriptors())
        os.environ["CHANGED"] = "yes"
        del sys.argv
        return state.restore(), os.environ.get("CHANGED")

    assert in_child(act) == (["Interpreter (AttributeError)"], None)


def test_a_check_without_a_change_takes_a_fraction_of_a_short_run() -> None:
    def act() -> float:
        state = ProcessState(Descriptors())
        state.restore()
        times = []
        for _ in range(200):
            began = time.thread_time()
            state.restore()
            times.append(time.thread_time() - began)
        return min(times)

    # A run that does nothing takes about 700 µs of a processor.
    assert in_child(act) < 0.0005
