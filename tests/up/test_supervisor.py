"""Programs are kept running, and stop in order."""

import os
import signal
import threading
import time

import pytest

from jobs_app.up.programs import StopSignal
from tests.servers import is_alive
from tests.up.conftest import IGNORES_TERM, TAKES_A_WHILE, pid_of


def test_what_others_need_is_stopped_when_they_have_ended(scene):
    scene.child("base", is_base=True)
    for name in ("first", "second"):
        scene.child(name, TAKES_A_WHILE)

    scene.supervisor.stop()

    assert sorted(scene.lines("stopped")[:2]) == ["first", "second"]
    assert scene.lines("stopped")[2:] == ["base"]


def test_programs_stop_together_and_none_takes_the_time_of_another(scene):
    for name in ("first", "second", "third"):
        scene.child(name, IGNORES_TERM, grace=3)

    began = time.monotonic()
    scene.supervisor.stop()

    # One after the other they take 9 s; two of them, 6 s.
    assert 3 <= time.monotonic() - began < 6


def test_a_program_that_was_killed_is_started_again(scene, capfd):
    child = scene.child("worker")
    first = pid_of(child)

    os.kill(first, signal.SIGKILL)
    scene.look_after_until(lambda: len(scene.lines("started")) == 2, "the worker started again")

    assert pid_of(child) != first
    assert "worker was ended by SIGKILL; starting it again in 1 s" in capfd.readouterr().err


def test_the_pause_before_a_start_grows_to_its_limit(scene, capfd, monkeypatch):
    monkeypatch.setattr("jobs_app.up.supervisor.LONGEST_PAUSE_SECONDS", 0.04)
    monkeypatch.setattr("jobs_app.up.supervisor.FIRST_PAUSE_SECONDS", 0.01)
    scene.child("broken", "import sys; sys.exit(3)")
    seen: list[str] = []

    def has_ended_four_times() -> bool:
        seen.extend(capfd.readouterr().err.splitlines())
        return len(seen) >= 4

    scene.look_after_until(has_ended_four_times, "it ended four times")

    assert seen[:4] == [
        f"up        | broken ended with exit code 3; starting it again in {pause} s"
        for pause in ("0.01", "0.02", "0.04", "0.04")
    ]


def test_the_pause_is_short_again_after_a_healthy_time(scene, capfd, monkeypatch):
    child = scene.child("worker")
    monkeypatch.setattr("jobs_app.up.supervisor.HEALTHY_SECONDS", 0.0)
    for count in (2, 3):
        os.kill(pid_of(child), signal.SIGKILL)
        scene.look_after_until(
            lambda count=count: len(scene.lines("started")) == count, "it started again"
        )

    assert capfd.readouterr().err.count("starting it again in 1 s") == 2


def test_a_program_that_does_not_stop_in_time_is_killed(scene, capfd):
    child = scene.child("stubborn", IGNORES_TERM, grace=0.2)

    scene.supervisor.stop()

    assert not is_alive(pid_of(child))
    assert "stubborn did not stop in time: killed" in capfd.readouterr().err


def test_what_comes_after_the_first_signal_is_announced(scene, capfd):
    child = scene.child("worker", IGNORES_TERM)
    child.stop_signals = [StopSignal(signal.SIGTERM, 0.2), StopSignal(signal.SIGQUIT, 5)]

    scene.supervisor.stop()

    output = capfd.readouterr().err
    assert "worker is still busy: what it does is ended now" in output
    assert "did not stop in time" not in output


def test_a_second_stop_request_kills_at_once(scene, monkeypatch):
    monkeypatch.setattr("jobs_app.up.supervisor.SIGNAL_DEBOUNCE_SECONDS", 0.0)
    child = scene.child("stubborn", IGNORES_TERM, grace=600)
    os.kill(os.getpid(), signal.SIGINT)
    second_ctrl_c = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))

    second_ctrl_c.start()
    scene.supervisor.stop()

    assert not is_alive(pid_of(child))


def test_a_ctrl_c_that_arrives_twice_is_one_stop_request(scene):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)

    assert scene.signals.stop_requests == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run(scene, number):
    scene.child("worker")
    timer = threading.Timer(0.1, os.kill, (os.getpid(), number))

    timer.start()
    scene.supervisor.run()

    assert scene.signals.stop_requests == 1
