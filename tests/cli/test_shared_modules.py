"""What the processes of `up` share in memory is imported before they are forked."""

import subprocess
import sys

PROGRAM = """
import sys, threading
import jobs_app.cli.shared_modules
assert threading.active_count() == 1, threading.enumerate()
for name in ("sqlalchemy.orm", "jobs_app.scheduler.beat", "jobs_app.worker.main"):
    assert name in sys.modules
# All processes would wait for what the web server alone needs.
assert not sys.modules.keys() & {"flask", "jobs_app.web.server"}
"""


def test_they_can_be_imported_before_a_fork() -> None:
    # A thread would not be there in the forked processes, and a lock that it holds would.
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)


def test_up_itself_does_without_them() -> None:
    heavy = "'sqlalchemy', 'celery', 'flask', 'redis'"
    program = f"import sys, jobs_app.up.command\nassert not sys.modules.keys() & {{{heavy}}}"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
