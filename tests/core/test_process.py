"""A process starts without the garbage collector, and never works without it."""

import os
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
        pytest.param("web", ("waitress.server", "TcpWSGIServer", "run"), id="web"),
        pytest.param("worker", ("celery.apps.worker", "Worker", "start"), id="worker"),
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

    assert output.splitlines() == ["importing False", "working True True"]
