"""A command of another account gets at nothing of the installation that runs it as root."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

import jobs_app
from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.jobs.start import TaskStart, start_task
from jobs_app.runs import history, messages
from jobs_app.up.valkey import free_port
from tests.integration import user_tasks
from tests.integration.system import System

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

POOLS = ("prefork", "threads", "solo")

#: Prints what it gets at: files, processes, places to write. It damages nothing.
ATTACK = """
for f in $FILES; do head -c 1 "$f" >/dev/null 2>&1 && echo "reads file"; done
for p in $PIDS $PPID; do
    for x in environ mem maps; do
        ( : </proc/$p/$x ) 2>/dev/null && echo "reads $x"
    done
    ls /proc/$p/fd/ >/dev/null 2>&1 && echo "reads fd"
    ls /proc/$p/cwd/ /proc/$p/root/ >/dev/null 2>&1 && echo "reads cwd"
    kill -0 $p 2>/dev/null && echo "signals"
    $PYTHON -c "$TRACE" $p
done
for w in $PLACES; do [ -w "$w" ] && echo "writes place"; done
( : >"$DATA/planted" ) 2>/dev/null && echo "writes data"
echo "left with $(id -un)"
"""

#: Attaches to a process for a moment.
TRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
if libc.ptrace(16, int(sys.argv[1]), 0, 0) == 0:
    os.waitpid(int(sys.argv[1]), 0x40000000)
    libc.ptrace(17, int(sys.argv[1]), 0, 0)
    print("traces")
"""


@pytest.fixture
def sqlite_folder() -> Iterator[Path]:
    """A data directory that only its own mode keeps closed: those of pytest are closed above it."""
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        data = Path(directory) / "data"
        data.mkdir(mode=0o700)
        yield data


@pytest.fixture
def installation(make_system: Callable[..., System], sqlite_folder: Path) -> System:
    """An installation with a web server and a worker of each pool, each with its own queue."""
    system = make_system(
        data_dir=sqlite_folder,
        imports="tests.integration.user_tasks",
        shell_users="daemon,root",
        shell_default_user="nobody",
    )
    ensure_admin_token(system.settings)
    system.start("web", "--port", str(free_port()))
    for pool in POOLS:
        system.start(f"worker-{pool}", "--pool", pool, "--queues", pool)
    for pool in POOLS:
        system.wait_until_ready(f"worker-{pool}")
    return system


def pids_of(system: System) -> list[int]:
    """Return the processes of an installation, while it runs no command."""
    processes = [psutil.Process(process.pid) for process in system.processes.values()]
    return [one.pid for p in processes for one in (p, *p.children(recursive=True))]


def attack(system: System, pids: list[int], pool: str, user: str | None) -> UUID:
    """Start the attack on *pids* as *user* in *pool*."""
    modules = [user_tasks.__file__, jobs_app.__file__]
    places = [*modules, *(str(Path(module).parent) for module in modules), "$DATA", "$DATA/jobs.db"]
    names = ("secret-key", "admin-token", "admin-token.header", "jobs.db", "jobs.db-wal")
    values = {
        "PIDS": " ".join(map(str, pids)),
        "FILES": " ".join(str(system.settings.data_dir / name) for name in names),
        "PLACES": " ".join(places).replace("$DATA", str(system.settings.data_dir)),
        "DATA": str(system.settings.data_dir),
        "PYTHON": shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable,
        "TRACE": TRACE,
    }
    kwargs = {"command": ATTACK, "env": values} | ({} if user is None else {"user": user})
    with system.database.session() as session:
        start = TaskStart("shell", kwargs, queue=pool)
        started = start_task(session, start, app=system.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(system.app, [started.message])
    return started.run.id


def printed(system: System, run_id: UUID) -> list[str]:
    """Return what a run has printed."""
    assert system.wait_for_end(run_id, seconds=40).state is RunState.SUCCEEDED
    with system.database.reading() as session:
        text = "".join(chunk.text for chunk in history.log(session, run_id, attempt=1))
    return text.splitlines()


def test_a_command_of_another_account_gets_at_nothing_in_any_pool(installation: System) -> None:
    pids = pids_of(installation)
    runs = {
        (pool, user): attack(installation, pids, pool, user)
        for pool in POOLS
        for user in (None, "daemon")
    }
    control = attack(installation, pids, "threads", "root")

    for (pool, user), run_id in runs.items():
        assert printed(installation, run_id) == [f"left with {user or 'nobody'}"], pool
    # The attack is a real one: root gets at all of it.
    assert set(printed(installation, control)) == {
        *(
            "reads file",
            "reads environ",
            "reads mem",
            "reads maps",
            "reads fd",
            "reads cwd",
            "signals",
            "traces",
        ),
        *("writes place", "writes data", "left with root"),
    }
