"""Programs are kept running, and stop in order."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.supervisor import ChildProcess, Signals, StopSignal, Supervisor
from tests.servers import is_alive, wait_until

# Stand-ins for our processes: each notes in a file what becomes of it.
ENDS_ON_TERM = """
import os, signal, sys, time
def note(what):
    with open(sys.argv[1], "a") as log:
        log.write(f"{sys.argv[2]} {what} {os.getpid()}\\n")
def end(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("started")
while True:
    time.sleep(60)
"""
TAKES_A_WHILE = ENDS_ON_TERM.replace("def end(*_):", "def end(*_):\n    time.sleep(0.3)")
IGNORES_TERM = ENDS_ON_TERM.replace("signal.SIGTERM, end", "signal.SIGTERM, signal.SIG_IGN")
PRINTS = "import sys, time; print(1, flush=True); print(2, file=sys.stderr); time.sleep(60)"


class Scene:
    """A supervisor and what its programs wrote down."""

    def __init__(self, log: Path, signals: Signals) -> None:
        self.log = log
        self.death_pipe = ParentDeathPipe()
        self.signals = signals
        self.supervisor = Supervisor(signals)

    def child(
        self, name: str, program: str = ENDS_ON_TERM, *, patience: float = 5, is_base: bool = False
    ) -> ChildProcess:
        """A program that has been started and is looked after, and runs already."""
        command = [sys.executable, "-c", program, str(self.log), name]
        child = ChildProcess(name, command, self.death_pipe, [StopSignal(signal.SIGTERM, patience)])
        before = len(self.lines("started"))
        self.supervisor.start(child, is_needed_to_the_end=is_base)
        if "started" in program:
            wait_until(lambda: len(self.lines("started")) > before, f"{name} started")
        return child

    def lines(self, what: str) -> list[str]:
        """The names of the programs that noted *what*, in order."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split()[0] for line in text.splitlines() if line.split()[1] == what]

    def look_after_until(self, claim: Callable[[], object], description: str) -> None:
        """Let the supervisor work until *claim* holds."""

        def look() -> object:
            self.supervisor.look_after(longest_seconds=0.05)
            return claim()

        wait_until(look, description)


@pytest.fixture
def scene(tmp_path):
    with Signals() as signals:
        scene = Scene(tmp_path / "log", signals)
        yield scene
        scene.supervisor.stop()
        scene.death_pipe.close()


def pid_of(child: ChildProcess) -> int:
    assert child.process is not None
    return child.process.pid


def test_what_others_need_is_stopped_when_they_have_ended(scene):
    scene.child("base", is_base=True)
    for name in ("first", "second"):
        scene.child(name, TAKES_A_WHILE)

    scene.supervisor.stop()

    assert sorted(scene.lines("stopped")[:2]) == ["first", "second"]
    assert scene.lines("stopped")[2:] == ["base"]


def test_programs_stop_together_and_none_takes_the_time_of_another(scene):
    for name in ("first", "second", "third"):
        scene.child(name, IGNORES_TERM, patience=2)

    began = time.monotonic()
    scene.supervisor.stop()

    assert 2 <= time.monotonic() - began < 4


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


def test_what_a_crashed_program_leaves_behind_is_killed(scene, tmp_path):
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1] + '.pid', 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    child = scene.child("worker", program)
    pid_file = Path(f"{scene.log}.pid")
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), "the program has a child")

    os.kill(pid_of(child), signal.SIGKILL)

    scene.look_after_until(
        lambda: not is_alive(int(pid_file.read_text())), "the child of the program was killed"
    )


def test_a_program_that_does_not_stop_in_time_is_killed(scene, capfd):
    child = scene.child("stubborn", IGNORES_TERM, patience=0.2)

    scene.supervisor.stop()

    assert not is_alive(pid_of(child))
    assert "stubborn did not stop in time: killed" in capfd.readouterr().err


def test_what_comes_after_the_first_demand_is_announced(scene, capfd):
    child = scene.child("worker", IGNORES_TERM)
    child.stop_signals = [StopSignal(signal.SIGTERM, 0.2), StopSignal(signal.SIGQUIT, 5)]

    scene.supervisor.stop()

    said = capfd.readouterr().err
    assert "worker is still busy: what it does is ended now" in said
    assert "did not stop in time" not in said


def test_a_second_wish_kills_at_once(scene, monkeypatch):
    monkeypatch.setattr("jobs_app.up.supervisor.SIGNAL_DEBOUNCE_SECONDS", 0.0)
    child = scene.child("stubborn", IGNORES_TERM, patience=600)
    os.kill(os.getpid(), signal.SIGINT)
    impatience = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))

    impatience.start()
    scene.supervisor.stop()

    assert not is_alive(pid_of(child))


def test_a_ctrl_c_that_arrives_twice_is_one_wish(scene):
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


def test_a_terminals_ctrl_c_does_not_reach_the_programs(scene):
    child = scene.child("worker")

    assert os.getpgid(pid_of(child)) == pid_of(child)


def test_output_is_passed_on_line_by_line_with_its_name(scene, capfd):
    scene.child("web", PRINTS)
    seen: list[str] = []

    def has_printed() -> bool:
        seen.extend(capfd.readouterr().err.splitlines())
        return len(seen) >= 2

    wait_until(has_printed, "both lines arrived")

    assert sorted(seen) == ["web       | 1", "web       | 2"]
