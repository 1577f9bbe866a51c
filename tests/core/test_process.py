"""A process starts without the garbage collector, and never works without it."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

#: Runs a command until it begins to work; says then, and while it was imported, who collects.
BEGUN = """
import gc, os, sys
from importlib import import_module

class Witness:
    def find_spec(self, name, *_):
        if name == module:
            print("importing", gc.isenabled())

def begin(*_, **__):
    print("working", gc.isenabled(), gc.get_freeze_count() > 10_000, flush=True)
    os._exit(0)

command, module, name, method = sys.argv[1:]
sys.meta_path.insert(0, Witness())
import jobs_app.core.process
end = jobs_app.core.process.resume_gc
def end_and_watch():
    end()
    setattr(getattr(import_module(module), name), method, begin)
jobs_app.core.process.resume_gc = end_and_watch
sys.argv = ["jobs-app", command]
from jobs_app.cli import main
main()
"""


@pytest.mark.parametrize(
    "command, place",
    [
        pytest.param(
            *("web", ("waitress.server", "TcpWSGIServer", "run")),
            id="web",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            *("worker", ("celery.apps.worker", "Worker", "start")),
            id="worker",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "scheduler",
            ("jobs_app.scheduler.beat", "JobsScheduler", "tick"),
            id="scheduler",
        ),
    ],
)
def test_the_collector_is_off_until_a_process_begins_to_work(
    tmp_path: Path, migrated_sqlite: Path, command: str, place: tuple[str, str, str]
) -> None:
    shutil.copyfile(migrated_sqlite, tmp_path / "jobs.db")

    output = subprocess.run(
        [sys.executable, "-c", BEGUN, command, *place],
        env=os.environ
        | {
            "JOBS_DATA_DIR": str(tmp_path),
            "JOBS_REDIS_URL": "redis://127.0.0.1:1",
            "JOBS_SECRET_KEY": Fernet.generate_key().decode(),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    # The web server also prints its link for the first admin.
    lines = [line for line in output.splitlines() if line.startswith(("importing", "working"))]
    assert lines == ["importing False", "working True True"]


#: Prints the state of the C library's memory after six threads have used it at once.
THREADS = """
import ctypes, threading
from jobs_app.core import process
if {most}:
    process.limit_arenas({most})
together = threading.Barrier(6)
def work():
    together.wait()
    kept = [bytes(600 + n) for n in range(2000)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
def test_threads_share_the_arenas_that_there_may_be() -> None:
    def heaps(most: int) -> int:
        command = [sys.executable, "-c", THREADS.format(most=most)]
        return subprocess.run(command, capture_output=True, check=True).stdout.count(b"<heap nr=")

    assert heaps(0) > 2
    assert heaps(2) <= 2
