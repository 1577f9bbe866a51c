"""Processes that are forked from a protected one: nobody reads them, at no time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs_app.core.fork_server import spawn
from jobs_app.core.forked_process import ForkedProcess
from tests.servers import is_alive, wait_until

ROOT = Path(__file__).parents[2]


def report(word: str, fd: int) -> None:
    """Write what this process has to the pipe *fd*, and exit with 7."""
    streams = [os.readlink(f"/proc/self/fd/{standard}") for standard in (0, 1, 2)]
    others = sorted(int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2)
    # The directory that lists them is one of them.
    is_alone = len(others) == 2
    lines = [word, *streams, str(is_alone), *sorted(os.environ), str(os.getsid(0) == os.getpid())]
    os.write(fd, "\n".join(lines).encode())
    sys.exit(7)


def sleep() -> None:
    """Sleep until somebody ends this process."""
    time.sleep(600)


def fork_another(fd: int) -> None:
    """Fork a process from a forked one, and write its exit code to the pipe *fd*."""
    process = spawn("os:_exit", fds=(fd,), environment={}, title="jobs-app exit")
    os.write(fd, str(process.wait(10) > 2).encode())


def forked(target: str, *arguments: str, fds: tuple[int, ...] = ()) -> ForkedProcess:
    name = f"tests.core.test_fork_server:{target}"
    return spawn(name, *arguments, fds=fds, environment={"WORD": "x"}, title=f"jobs-app {target}")


def test_a_forked_process_has_what_it_was_given_and_nothing_else(monkeypatch) -> None:
    monkeypatch.setenv("PASSWORD", "canary")
    reading, writing = os.pipe()

    process = forked("report", "hello", fds=(writing,))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()

    assert lines == ["hello", *["/dev/null"] * 3, "True", "WORD", "True"]
    assert process.wait(10) == 7


def test_a_forked_process_may_fork_others() -> None:
    reading, writing = os.pipe()

    process = forked("fork_another", fds=(writing,))
    os.close(writing)

    with os.fdopen(reading) as pipe:
        assert pipe.read() == "True", "the exit code of the other is its descriptor's number"
    assert process.wait(10) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_environment_and_arguments_of_its_parent_are_overwritten(monkeypatch) -> None:
    process = forked("sleep")
    try:
        title = Path(f"/proc/{process.pid}/cmdline")
        wait_until(lambda: b"sleep" in title.read_bytes(), "the child has its title")
        of_child = Path(f"/proc/{process.pid}")
        of_server = Path(f"/proc/{psutil.Process(process.pid).ppid()}")
        shown = [path / name for path in (of_child, of_server) for name in ("environ", "cmdline")]
        texts = [path.read_bytes().rstrip(b"\0") for path in shown]
    finally:
        process.kill()
        process.wait(10)

    assert texts == [b"", b"jobs-app sleep", b"", b"jobs-app fork-server"]


def test_no_signal_to_a_new_process_is_lost(monkeypatch) -> None:
    older = forked("sleep")
    server = psutil.Process(psutil.Process(older.pid).ppid())
    before = server.children()
    encode = json.dumps

    def end_new(order: Any) -> str:
        """End the new process before it has its order."""
        wait_until(lambda: len(server.children()) > len(before), "the process is forked")
        [new] = set(server.children()) - set(before)
        new.terminate()
        return encode(order)

    monkeypatch.setattr(json, "dumps", end_new)
    new = forked("sleep")
    try:
        assert new.wait(2) == -signal.SIGTERM
    finally:
        for process in (older, new):
            process.kill()
            process.wait(10)


def test_a_killed_process_comes_back_with_its_signal() -> None:
    process = forked("sleep")
    assert process.poll() is None

    process.kill()

    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_server_without_room_refuses_and_goes_on() -> None:
    first = forked("sleep")
    server = psutil.Process(psutil.Process(first.pid).ppid())
    limits = server.rlimit(psutil.RLIMIT_NOFILE)
    # One number is free: 0, 1 and 2 are taken.
    server.rlimit(psutil.RLIMIT_NOFILE, (4, limits[1]))
    try:
        with pytest.raises(OSError, match="short of processes or files"):
            forked("sleep")
    finally:
        server.rlimit(psutil.RLIMIT_NOFILE, limits)
    second = forked("sleep")

    assert psutil.Process(second.pid).ppid() == server.pid
    for process in (first, second):
        process.kill()
        process.wait(10)


def test_a_killed_server_is_replaced() -> None:
    process = forked("sleep")
    psutil.Process(psutil.Process(process.pid).ppid()).kill()
    wait_until(lambda: process.poll() is not None, "the end of the server is seen")
    os.kill(process.pid, signal.SIGKILL)

    again = forked("sleep")

    assert again.poll() is None
    again.kill()
    again.wait(10)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_server_ends_with_its_last_client() -> None:
    program = (
        "from jobs_app.core.fork_server import spawn\n"
        "import psutil\n"
        "name = 'tests.core.test_fork_server:sleep'\n"
        "process = spawn(name, environment={}, title='x')\n"
        "print(psutil.Process(process.pid).ppid())\n"
        "process.kill()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )

    # Nobody may reap it: not every container has an init process that does.
    wait_until(lambda: not is_alive(int(done.stdout)), "the server has ended")


def test_processes_share_what_the_server_has_imported(tmp_path: Path) -> None:
    (tmp_path / "imported_once.py").write_text(
        "import os\nPID, MARK = os.getpid(), os.environ['MARK']\n"
    )
    (tmp_path / "broken.py").write_text("raise RuntimeError\n")
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from jobs_app.core import fork_server\n"
        "from tests.core import test_fork_server as names\n"
        "fork_server.preload(['broken', 'imported_once'], {'MARK': 'seen'})\n"
        "for _ in range(2):\n"
        "    assert names.forked('tell_what_was_imported', sys.argv[1]).wait(10) == 0\n"
    )
    noted = tmp_path / "noted"

    subprocess.run(
        [sys.executable, "-c", program, str(noted)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )

    first, second = (line.split() for line in noted.read_text().splitlines())
    assert first[1] == second[1] != first[0] != second[0]
    assert first[2:] == second[2:] == ["seen", "None"]


def tell_what_was_imported(noted: str) -> None:
    """In a forked process: note who it is, who imported, and what of the environment is left."""
    imported: Any = sys.modules["imported_once"]
    with open(noted, "a") as file:
        print(os.getpid(), imported.PID, imported.MARK, os.environ.get("MARK"), file=file)
