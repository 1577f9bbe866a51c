"""A program runs in a group of its own, and its output carries its name."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from jobs_app.up import programs
from tests.servers import is_alive, wait_until
from tests.up.conftest import PRINTS, pid_of


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


def test_a_program_can_be_killed_in_its_first_moment(scene):
    for _ in range(20):
        child = scene.program("worker")
        child.start()

        child.kill()

        assert child.exit_code() == -signal.SIGKILL


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


def test_with_json_each_line_is_an_object_whatever_a_program_prints(scene, capfd, monkeypatch):
    monkeypatch.setattr(programs, "_are_lines_json", True)
    scene.child("web", "print('plain', flush=True); print('{\"a\": 1}', flush=True)")
    seen: list[Any] = []

    def has_printed() -> bool:
        seen.extend(map(json.loads, capfd.readouterr().err.splitlines()))
        return len(seen) >= 2

    wait_until(has_printed, "both lines arrived")

    assert (seen[0]["process"], seen[0]["message"], seen[1]) == ("web", "plain", {"a": 1})
