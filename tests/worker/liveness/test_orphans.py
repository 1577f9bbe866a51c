"""The programs of a pool process that died are ended, and no other child of the worker."""

import os
import subprocess
import time

import pytest

from jobs_app.core.process_tree import become_subreaper, children
from jobs_app.worker.liveness.orphans import Orphans
from tests.running import in_child
from tests.servers import is_alive, wait_until


def after_a_death(script: str) -> tuple[Orphans, str]:
    """Kill a pool process that runs *script*, after its first line of output; return that too."""
    pool_process = subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert pool_process.stdout is not None
    line = pool_process.stdout.readline()
    pool = {pool_process.pid}
    orphans = Orphans(lambda: set(pool))
    orphans.check()
    pool_process.kill()
    pool_process.wait()
    pool.clear()
    return orphans, line


def test_only_the_children_of_a_dead_pool_process_are_ended() -> None:
    def act() -> tuple[bool, bool]:
        become_subreaper()
        sidecar = subprocess.Popen(["/bin/sleep", "60"])
        orphans, line = after_a_death("sleep 61 & echo $!; exec sleep 62")
        orphan = int(line)

        def is_over() -> bool:
            orphans.check()
            time.sleep(0.02)
            return not is_alive(orphan) and not orphans.is_ending

        wait_until(is_over, "the orphan has ended")
        result = is_alive(sidecar.pid), is_alive(orphan)
        sidecar.kill()
        return result

    assert in_child(act) == (True, False)


def test_a_supervisor_of_a_command_ends_it_by_itself() -> None:
    def act() -> bool:
        become_subreaper()
        pool = {os.getpid()}
        orphans = Orphans(lambda: set(pool))
        orphans.check()
        pool.clear()
        code = "import time; command_supervisor = time; command_supervisor.sleep(60)"
        supervisor = subprocess.Popen(["/usr/bin/env", "python3", "-c", code])
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            orphans.check()
            time.sleep(0.02)
        is_left = is_alive(supervisor.pid) and not orphans.is_ending
        supervisor.kill()
        return is_left

    assert in_child(act)


#: A crowd of programs that ignore TERM: more than a look per program could end.
CROWD = """
trap '' TERM
for i in $(seq 1500); do sleep 60 & done
echo started
exec sleep 61
"""


@pytest.mark.nightly
def test_a_crowd_of_programs_is_ended_and_reaped() -> None:
    def act() -> int:
        become_subreaper()
        orphans, _ = after_a_death(CROWD)

        def is_over() -> bool:
            orphans.check()
            return not children()

        wait_until(is_over, "all are gone", timeout_seconds=30)
        return len(children())

    assert in_child(act) == 0


def test_a_program_that_nobody_waits_for_is_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs_app.worker.liveness.orphans.LOOK_SECONDS", 0.1)

    def act() -> int:
        become_subreaper()
        # It leaves its child to this process, which has not started it and whose pool is well.
        subprocess.run(["/bin/sh", "-c", "sleep 0.1 &"], check=True)
        orphans = Orphans(lambda: {os.getpid()})

        def is_over() -> bool:
            orphans.check()
            time.sleep(0.02)
            return not children()

        wait_until(is_over, "it is reaped")
        return len(children())

    assert in_child(act) == 0
