"""Processes that are forked together share modules, which no other process keeps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs_app.core import fork_server
from tests.core.test_fork_server import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the server imports them")

#: The first argument is a directory with the module `imported_once`.
START = """
import os, sys
import psutil
sys.path.insert(0, sys.argv[1])
from jobs_app.core import fork_server
if (call := fork_server.start()) is not None:
    sys.exit(call())
from tests.core import test_fork_server_main as tests

def forked(target, *fds):
    reading, writing = os.pipe()
    target = f"tests.core.test_fork_server_main:{target}"
    process = fork_server.spawn(target, fds=[writing, *fds], environment={}, title="jobs-app x")
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return process, pipe.read()

def sharing():
    [process] = server.children()
    return process

server = psutil.Process(psutil.Process().children()[0].pid)
fork_server.share(["broken", "imported_once"], {"MARK": "seen"})
"""


def lines_of(program: str, tmp_path: Path) -> list[str]:
    """Run START and *program* in a process of their own, and return the lines that it prints."""
    (tmp_path / "broken.py").write_text("raise RuntimeError\n")
    (tmp_path / "imported_once.py").write_text(
        "import os\nPID, MARK = os.getpid(), os.environ['MARK']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", START + program, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def tell(fd: int) -> None:
    """In a forked process: write who imported the module; exit with 7."""
    module = sys.modules.get("imported_once")
    text = f"{module.PID} {module.MARK}" if module else "nobody"
    os.write(fd, f"{text} {'MARK' in os.environ}".encode())
    os._exit(7)


def stay(fd: int, until: int) -> None:
    """In a forked process: write the number of its parent; exit with 5 when *until* is closed."""
    os.write(fd, str(os.getppid()).encode())
    os.close(fd)
    os.read(until, 1)
    os._exit(5)


def fork_by_lent(fd: int, connection: int) -> None:
    """In a forked process: have a process forked by the server that was lent to this one."""
    fork_server.use(connection)
    target = "tests.core.test_fork_server_main:tell"
    process = fork_server.spawn(target, fds=[fd], environment={}, title="jobs-app x")
    os._exit(process.wait(10))


def test_modules_are_imported_once_until_they_are_given_up(tmp_path: Path) -> None:
    lines = lines_of(
        """
first, told = forked("tell")
print(first.wait(10), told == f"{sharing().pid} seen False")
second, told_again = forked("tell")
print(told_again == told, second.wait(10))
fork_server.unshare()
third, told = forked("tell")
print(told, third.wait(10))
""",
        tmp_path,
    )

    assert lines == ["7 True", "True 7", "nobody False 7"]


def test_the_importing_process_ends_and_its_processes_go_on(tmp_path: Path) -> None:
    lines = lines_of(
        """
reading, writing = os.pipe()
process, parent = forked("stay", reading)
importer = next(child for child in server.children() if child.pid != process.pid)
print(int(parent) == server.pid)
fork_server.unshare()
importer.wait(10)
print(process.poll(), [child.pid for child in server.children()] == [process.pid])
os.close(writing)
print(process.wait(10))
""",
        tmp_path,
    )

    assert lines == ["True", "None True", "5"]


def test_the_server_forks_by_itself_when_the_importing_process_was_killed(tmp_path: Path) -> None:
    lines = lines_of(
        """
first, told = forked("tell")
first.wait(10)
sharing().kill()
second, told = forked("tell")
print(told, second.wait(10))
""",
        tmp_path,
    )

    assert lines == ["nobody False 7"]


def test_a_lent_server_forks_without_the_shared_modules(tmp_path: Path) -> None:
    lines = lines_of(
        """
with fork_server.lend() as connection:
    process, told = forked("fork_by_lent", connection.fileno())
others = server.children()
print(told, process.wait(10))
fork_server.unshare()
psutil.wait_procs(others, 10)
print(server.children())
""",
        tmp_path,
    )

    assert lines == ["nobody False 7", "[]"]
