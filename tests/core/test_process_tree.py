"""The descendants of a process, as /proc has them."""

import os
import subprocess

from jobs_app.core.process_tree import become_subreaper, children, descendants, has_children
from tests.running import in_child
from tests.servers import wait_until


def test_a_process_without_children_knows_it() -> None:
    assert in_child(lambda: (has_children(), children(), descendants())) == (False, [], [])


def test_descendants_are_found_also_those_that_lost_their_parent() -> None:
    def act() -> tuple[list[str], list[str], list[str]]:
        become_subreaper()
        below = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"])
        subprocess.run(["/bin/sh", "-c", "sleep 61 & exit"], check=True)
        wait_until(lambda: len(descendants()) == 3, "all have started")
        found = [entry.name for entry in descendants()]
        own = [entry.name for entry in children()]
        keep = frozenset(entry.key for entry in children() if entry.pid == below.pid)
        others = [entry.name for entry in descendants(keep)]
        for entry in descendants():
            os.kill(entry.pid, 9)
        return sorted(found), sorted(own), others

    found, own, others = in_child(act)

    assert found == ["sh", "sleep", "sleep"]
    assert own == ["sh", "sleep"]
    assert others == ["sleep"]
