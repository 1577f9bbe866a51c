"""Nothing outlives the process that started it on a parent-death pipe."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from jobs_app.up.parent_death import DEATH_PIPE_VARIABLE, ParentDeathPipe, die_with_parent
from tests.servers import is_alive, wait_until

# A parent that starts one child on a parent-death pipe and then waits; prints the child's pid.
GUARDED_PARENT = """
import subprocess, sys, threading, time
from jobs_app.up.parent_death import ParentDeathPipe
death_pipe = ParentDeathPipe()
def start():
    command = death_pipe.guarded_command(sys.argv[1:])
    child = subprocess.Popen(command, pass_fds=[death_pipe.read_fd], start_new_session=True)
    print(child.pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(600)
"""
LISTENING_PARENT = """
import os, subprocess, sys, time
from jobs_app.up.parent_death import ParentDeathPipe
death_pipe = ParentDeathPipe()
child = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]],
    env=os.environ | death_pipe.environment(),
    pass_fds=[death_pipe.read_fd],
    start_new_session=True,
)
time.sleep(600)
"""
LISTENING_CHILD = """
import os, subprocess, time
from jobs_app.up.parent_death import die_with_parent
die_with_parent()
grandchild = subprocess.Popen(["sleep", "600"])
print(os.getpid(), grandchild.pid, "JOBS_DEATH_PIPE_FD" in os.environ, flush=True)
time.sleep(600)
"""


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_guarded_program_has_the_pid_that_was_started():
    with start(GUARDED_PARENT, "sh", "-c", "echo $$; exec sleep 600") as parent:
        lines = {first_line(parent), first_line(parent)}
        parent.kill()

    assert len(lines) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["sleep", "600"],
        ["env", "--ignore-signal=TERM", "sleep", "600"],
    ],
    ids=["obedient", "ignoring TERM"],
)
def test_a_guarded_program_ends_when_its_parent_is_killed(command):
    with start(GUARDED_PARENT, *command) as parent:
        pid = int(first_line(parent))
        # Started by a thread that has long ended: that must not matter.
        wait_until(lambda: psutil.Process(pid).name() == "sleep", "the program runs")

        parent.kill()

        wait_until(lambda: not is_alive(pid), "the program ended with its parent")


def test_a_frozen_guarded_program_ends_when_its_parent_is_killed():
    with start(GUARDED_PARENT, "sleep", "600") as parent:
        pid = int(first_line(parent))
        wait_until(lambda: psutil.Process(pid).name() == "sleep", "the program runs")
        os.kill(pid, signal.SIGSTOP)

        parent.kill()

        wait_until(lambda: not is_alive(pid), "the frozen program ended with its parent")


def test_the_guard_ends_with_its_program():
    death_pipe = ParentDeathPipe()
    try:
        command = death_pipe.guarded_command(["sleep", "0.1"])
        subprocess.run(command, pass_fds=[death_pipe.read_fd], check=True)

        marker = ["-I", "-S", command[3], str(death_pipe.read_fd), "-1", "-1", "", "sleep", "0.1"]
        wait_until(
            lambda: (
                not any(
                    (process.info["cmdline"] or [])[1:] == marker and is_alive(process.pid)
                    for process in psutil.process_iter(["cmdline"])
                )
            ),
            "the guard ended",
        )
    finally:
        death_pipe.close()


def test_a_listening_child_and_its_group_end_when_the_parent_is_killed():
    with start(LISTENING_PARENT, LISTENING_CHILD) as parent:
        child, grandchild, sees_death_pipe = first_line(parent).split()

        parent.kill()

        wait_until(lambda: not is_alive(int(child)), "the child ended with its parent")
        wait_until(lambda: not is_alive(int(grandchild)), "the grandchild ended too")
    assert sees_death_pipe == "False"


def test_a_process_without_a_death_pipe_is_left_alone(monkeypatch):
    monkeypatch.delenv(DEATH_PIPE_VARIABLE, raising=False)
    threads = threading.active_count()

    die_with_parent()

    assert threading.active_count() == threads
