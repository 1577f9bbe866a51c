"""The processes below one are found, whatever they call themselves."""

import os
import subprocess
import sys
from pathlib import Path

from jobs_app.tasks.process_tree import descendants
from tests.servers import wait_until


def test_children_and_their_children_are_found_with_group_and_name(tmp_path: Path) -> None:
    program = tmp_path / "odd) R (x"
    program.symlink_to("/bin/sleep")
    code = f"import subprocess; subprocess.run([{str(program)!r}, '60'])"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        wait_until(lambda: any(name == "odd) R (x" for _, _, name in descendants()), "it runs")

        found = {pid: (group, name) for pid, group, name in descendants()}

        assert found[child.pid][0] == child.pid
        assert (child.pid, "odd) R (x") in found.values()
    finally:
        os.killpg(child.pid, 9)
        child.wait()
    assert child.pid not in {pid for pid, _, _ in descendants()}
