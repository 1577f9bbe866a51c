"""Nobody reads memory or environment of our processes: no job, and no job that has them started."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from cryptography.fernet import Fernet

from jobs_app.up.valkey import free_port
from tests.servers import wait_until

PROJECT = Path(__file__).parents[2]

#: Part of our secrets: another process of the tests may have the same test at the same time.
CANARY = f"canary-{uuid4().hex}"

#: Root may read everything; root without its capabilities may read no more than a user.
WITHOUT_PRIVILEGES = """
import ctypes, os, sys
PR_CAPBSET_DROP = 24
if os.geteuid() == 0:
    for capability in range(64):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

#: Prints each process whose environment has one of two words, and whether memory is readable.
LOOK = """
grep -la {key} /proc/[0-9]*/environ 2>/dev/null
grep -la {open} /proc/[0-9]*/environ 2>/dev/null
pid=$PPID
while [ "$pid" -gt 1 ]; do
    echo "above $pid $(tr '\\0' ' ' < /proc/$pid/cmdline | cut -c1-60)"
    head -c 1 /proc/$pid/mem 2>&1 >/dev/null | grep -o 'Permission denied'
    pid=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$pid/status)
done
env
"""


def unprivileged(
    *command: str, environment: dict[str, str], pipe: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", WITHOUT_PRIVILEGES, *command],
        env={name: os.environ[name] for name in os.environ if name[:5] != "JOBS_"} | environment,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


#: Opens the memory of each process that starts as soon as it can, and reads it at the end, when
#: the process may have got secrets. Prints the secrets, and the processes that it could open.
#: It looks each millisecond: a Python takes ten times as long to run its first line.
RACE = """
import os, re, select, sys
words = [word.encode() for word in sys.argv[1:]]
opened, hits = {}, set()
older = set(os.listdir("/proc"))
print("racing", flush=True)
while not select.select([0], [], [], 0.001)[0]:
    for name in set(os.listdir("/proc")) - older - set(opened):
        try:
            fds = [os.open(f"/proc/{name}/{file}", os.O_RDONLY) for file in ("mem", "maps")]
            with open(f"/proc/{name}/environ", "rb") as file:
                text = file.read()
        except OSError:
            continue
        opened[name] = fds
        hits.update(word for word in words if word in text)
for name, (memory, maps) in opened.items():
    try:
        text = b"".join(iter(lambda: os.read(maps, 65536), b"")).decode()
    except OSError:
        continue
    for low, high in re.findall("([0-9a-f]+)-([0-9a-f]+) r", text):
        low, high = int(low, 16), int(high, 16)
        try:
            data = os.pread(memory, high - low, low)
        except (OSError, OverflowError):
            continue
        hits.update(word for word in words if word in data)
print(*opened)
print(*(word.decode() for word in hits), flush=True)
"""


class Server:
    """A `jobs-app up` with a key in its environment."""

    def __init__(self, data_dir: Path) -> None:
        self.key, self.port, self.data_dir = Fernet.generate_key().decode(), free_port(), data_dir
        self.process = unprivileged(
            sys.executable,
            "-m",
            "jobs_app",
            "up",
            environment={
                "JOBS_SECRET_KEY": self.key,
                "JOBS_SMTP_URL": f"smtp://u:{CANARY}-smtp@localhost",
                "PGPASSWORD": f"{CANARY}-variable",
                "JOBS_DATA_DIR": str(data_dir),
                "JOBS_PORT": str(self.port),
                "PYTHONPATH": str(PROJECT),
            },
        )

    def ask(
        self, path: str, body: dict[str, Any] | None = None, method: str | None = None
    ) -> bytes:
        """Return the answer to a request."""
        token = (self.data_dir / "admin-token").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: bytes = response.read()
            return answer

    def is_ready(self) -> bool:
        """Whether all parts work."""
        assert self.process.poll() is None
        try:
            return json.loads(self.ask("/readyz"))["status"] == "ready"
        except OSError:
            return False

    def pids(self) -> set[int]:
        """Its workers, scheduler and web server."""
        names = {"worker", "scheduler", "web"}
        family = psutil.Process(self.process.pid).children(recursive=True)
        found = set()
        for one in family:
            with suppress(psutil.NoSuchProcess):
                if names.intersection(" ".join(one.cmdline()).split()):
                    found.add(one.pid)
        return found

    def output_of(self, command: str, **kwargs: object) -> str:
        """Return what a shell job prints."""
        start = {"task": "shell", "kwargs": {"command": command} | kwargs}
        run = f"/api/v1/runs/{json.loads(self.ask('/api/v1/runs', start))['id']}"
        wait_until(
            lambda: json.loads(self.ask(run))["finished_at"], "the job ends", timeout_seconds=30
        )
        return self.ask(f"{run}/log").decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # A path of pytest's own may be too long for Valkey's socket.
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as directory:
        server = Server(Path(directory) / "data")
        wait_until(server.is_ready, "it is ready", timeout_seconds=40)
        yield server
        server.process.terminate()
        server.process.wait(30)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells by /proc")
def test_a_job_reads_neither_environment_nor_memory_of_the_processes_it_runs_under(
    server: Server,
) -> None:
    word = f"open-{time.monotonic_ns()}"
    other = unprivileged("/bin/sleep", "60", environment={"WORD": word})
    try:
        # At first it is Python; what counts is the program that it becomes.
        line = Path(f"/proc/{other.pid}/cmdline")
        wait_until(lambda: line.read_bytes().startswith(b"/bin/sleep"), "it sleeps")
        printed = server.output_of(LOOK.format(key=server.key, open=word)).splitlines()
    finally:
        other.kill()
        other.wait()

    # A process that does not protect itself is read: the job sees what there is to be seen.
    assert [line for line in printed if line.startswith("/proc/")] == [f"/proc/{other.pid}/environ"]
    above = [line for line in printed if line.startswith("above ")]
    assert len(above) >= 4, "supervisor, pool process, worker and the one that looks after it"
    assert printed.count("Permission denied") >= 4
    assert not any(server.key in line for line in printed)
    assert {line.partition("=")[0] for line in printed if line.startswith("JOBS_")} == {
        "JOBS_RUN_ID",
        "JOBS_ATTEMPT",
        "JOBS_JOB",
        "JOBS_SCHEDULED_FOR",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells by /proc")
def test_nobody_reads_a_process_that_he_makes_start(server: Server) -> None:
    words = [server.key, *(f"{CANARY}-{word}" for word in ("smtp", "variable", "hook", "run"))]
    webhook = {"url": f"http://127.0.0.1:9/{CANARY}-hook", "secret": "s" * 24}
    server.ask("/api/v1/channels", {"name": "hook", "webhook": webhook})
    server.ask("/api/v1/secrets/S", {"value": f"{CANARY}-run"}, method="PUT")
    racer = unprivileged(sys.executable, "-c", RACE, *words, environment={}, pipe=subprocess.PIPE)
    assert racer.stdout is not None
    assert racer.stdout.readline() == b"racing\n"
    other = unprivileged("/bin/sleep", "60", environment={})

    pids = server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not pids & server.pids() and server.is_ready(), "it is back", timeout_seconds=60
    )
    # The secret goes to the supervisor of the command, the address of the channel to a sender.
    # The command does not start, for its own environment is readable.
    server.output_of("exit", env={"S": "${secret:S}"}, cwd="/nowhere")
    server.ask("/api/v1/channels/hook/test", {})
    output, _ = racer.communicate(timeout=60)
    other.kill()
    other.wait()
    opened, hits = output.decode().split("\n")[:2]

    assert hits == ""
    assert str(other.pid) in opened.split(), "a process that does not protect itself is read"
