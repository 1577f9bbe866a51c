"""The programs of a run are found and ended; those from before it are left alone."""

import signal
import subprocess
import time
from collections.abc import Callable

from jobs_app.worker.run_programs import RunPrograms, ended_text
from tests.running import in_child
from tests.servers import is_alive


def _sleep() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["/bin/sleep", "60"])


def test_only_the_programs_of_the_run_are_ended() -> None:
    def act() -> tuple[bool, bool, int]:
        earlier = _sleep()
        programs = RunPrograms()
        own = _sleep()
        subprocess.run(["/bin/sh", "-c", "setsid sleep 60 & echo $!"], check=True)
        names = programs.end(1.0)
        result = is_alive(earlier.pid), is_alive(own.pid), len(names)
        earlier.kill()
        return result

    assert in_child(act) == (True, False, 2)


def test_without_programs_nothing_is_done_quickly() -> None:
    def act() -> float:
        programs = RunPrograms()
        began = time.thread_time()
        assert programs.end(1.0) == []
        return time.thread_time() - began

    assert in_child(act) < 0.005


def _after(end: Callable[[RunPrograms], object]) -> Callable[[], bool]:
    def act() -> bool:
        programs = RunPrograms()
        program = _sleep()
        end(programs)
        program.wait(5)
        return is_alive(program.pid)

    return act


def test_a_signal_and_a_kill_reach_the_programs() -> None:
    assert not in_child(_after(lambda programs: programs.signal(signal.SIGTERM)))
    assert not in_child(_after(lambda programs: programs.kill()))


def test_the_line_of_the_log_names_the_programs_and_their_number() -> None:
    assert "1 program of this run was still running and was ended: sleep (7)" in ended_text(
        ["sleep (7)"]
    )
    many = ended_text([f"sleep ({number})" for number in range(30)])
    assert many.startswith("[jobs-app: 30 programs of this run were")
    assert many.endswith("sleep (19), …]\n")
