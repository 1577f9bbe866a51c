"""The programs of a pool process that died are ended, and no other child of the worker."""

import os
import subprocess
import time

from jobs_app.core.process_tree import become_subreaper
from jobs_app.worker.liveness.orphans import Orphans
from tests.running import in_child
from tests.servers import is_alive, wait_until


def test_only_the_children_of_a_dead_pool_process_are_ended() -> None:
    def act() -> tuple[bool, bool]:
        become_subreaper()
        sidecar = subprocess.Popen(["/bin/sleep", "60"])
        pool_process = subprocess.Popen(
            ["/bin/sh", "-c", "sleep 61 & echo $!; exec sleep 62"], stdout=-1
        )
        assert pool_process.stdout is not None
        orphan = int(pool_process.stdout.readline())
        pool = {pool_process.pid}
        orphans = Orphans(lambda: set(pool))
        orphans.check()
        pool_process.kill()
        pool_process.wait()
        pool.clear()

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
