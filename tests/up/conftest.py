"""Programs that note what happens to them, and `jobs-app up` with stand-ins for its processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.programs import ChildProcess, StopSignal
from jobs_app.up.supervisor import Signals, Supervisor
from jobs_app.up.valkey import free_port
from tests.servers import wait_until
from tests.up import stand_in

# Stand-ins for our processes: each notes in a file what becomes of it.
ENDS_ON_TERM = """
import os, signal, sys, time
def note(what):
    with open(sys.argv[1], "a") as log:
        log.write(f"{sys.argv[2]} {what} {os.getpid()}\\n")
def end(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("started")
while True:
    time.sleep(60)
"""
TAKES_A_WHILE = ENDS_ON_TERM.replace("def end(*_):", "def end(*_):\n    time.sleep(0.3)")
IGNORES_TERM = ENDS_ON_TERM.replace("signal.SIGTERM, end", "signal.SIGTERM, signal.SIG_IGN")
PRINTS = "import sys, time; print(1, flush=True); print(2, file=sys.stderr); time.sleep(60)"


class Scene:
    """A supervisor and what its programs wrote down."""

    def __init__(self, log: Path, signals: Signals) -> None:
        self.log = log
        self.death_pipe = ParentDeathPipe()
        self.signals = signals
        self.supervisor = Supervisor(signals)

    def child(
        self,
        name: str,
        program: str = ENDS_ON_TERM,
        *,
        grace: float = 5,
        is_base: bool = False,
    ) -> ChildProcess:
        """A program that has been started and is looked after, and runs already."""
        child = self.program(name, program, grace=grace)
        before = len(self.lines("started"))
        self.supervisor.start(child, stops_last=is_base)
        if "started" in program:
            wait_until(lambda: len(self.lines("started")) > before, f"{name} started")
        return child

    def program(self, name: str, program: str = ENDS_ON_TERM, *, grace: float = 5) -> ChildProcess:
        """A program that nobody has started yet."""
        call = [program, str(self.log), name]
        stop = [StopSignal(signal.SIGTERM, grace)]
        return ChildProcess(name, stand_in.TARGET, call, self.death_pipe, stop)

    def lines(self, what: str) -> list[str]:
        """The names of the programs that noted *what*, in order."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split()[0] for line in text.splitlines() if line.split()[1] == what]

    def look_after_until(self, claim: Callable[[], object], description: str) -> None:
        """Let the supervisor work until *claim* holds."""

        def look() -> object:
            self.supervisor.look_after(longest_seconds=0.05)
            return claim()

        wait_until(look, description)


@pytest.fixture
def scene(tmp_path):
    # Under nohup SIGHUP is ignored, and the supervisor would not see it.
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with Signals() as signals:
        scene = Scene(tmp_path / "log", signals)
        yield scene
        scene.supervisor.stop()
        scene.death_pipe.close()
    signal.signal(signal.SIGHUP, hangup)


def pid_of(child: ChildProcess) -> int:
    assert child.process is not None
    return child.process.pid


PROJECT = Path(__file__).parents[2]
UP = """
import json, sys
from jobs_app.core import fork_server
if (call := fork_server.start()) is not None:
    sys.exit(call())
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.up.command import up
options = {'demo': '--demo' in sys.argv, 'reloads': '--reload' in sys.argv}
try:
    sys.exit(up(Settings(), **options, calls=json.loads(sys.argv[1]), shared_modules=()))
except ConfigurationError as error:
    print(error.detail)
    sys.exit(2)
"""
STAND_IN = """
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from jobs_app.up.parent_death import die_with_parent

data_dir, port = Path(os.environ["JOBS_DATA_DIR"]), int(os.environ["JOBS_PORT"])
name = sys.argv[1]
die_with_parent()

def note(what):
    with open(data_dir / "notes", "a") as notes:
        notes.write(f"{name} {what} {os.getpid()}\\n")

def end(*_):
    note("stopped")
    os._exit(0)

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, signal.SIG_IGN if "--stubborn" in sys.argv else end)
(data_dir / f"{name}.environment").write_text(json.dumps(dict(os.environ)))
note("started")
if name == "web":
    HTTPServer((os.environ.get("JOBS_HOST", "127.0.0.1"), port), Ready).serve_forever()
while True:
    time.sleep(60)
"""


class Up:
    """One `jobs-app up` in a process of its own, and everything it printed."""

    def __init__(self, data_dir: Path, *arguments: str, worker: tuple[str, ...] = ()) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        calls = {
            name: (stand_in.TARGET, [STAND_IN, name], False)
            for name in ("worker", "scheduler", "web")
        }
        calls["worker"][1].extend(worker)
        self._arguments = [sys.executable, "-c", UP, json.dumps(calls), *arguments]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "JOBS_DATA_DIR": str(data_dir),
            "JOBS_PORT": str(self.port),
        }
        self.printed = ""

    def start(self) -> "Up":
        """Start it; `printed` grows from now on."""
        self.process = subprocess.Popen(
            self._arguments,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def start_and_wait(self) -> "Up":
        """Start it and return once it says that it runs, and its processes do."""
        self.start()
        already = len(self.notes())

        def runs() -> bool:
            started = [what for _, what, _ in self.notes()[already:]].count("started")
            return "is running" in self.printed and started == 3

        wait_until(lambda: runs() or self.has_ended(), "everything runs", timeout_seconds=30)
        assert not self.has_ended(), self.printed
        return self

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def exit_code(self) -> int:
        """Wait for the end."""
        code = self.process.wait(20)
        self._reader.join(10)
        return code

    def pids(self, name: str) -> list[int]:
        """The process ids under which a stand-in has been started, oldest first."""
        return [int(pid) for who, what, pid in self.notes() if (who, what) == (name, "started")]

    def notes(self) -> list[tuple[str, str, str]]:
        """What the stand-ins noted: name, what, pid."""
        path = self.data_dir / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(name, what, pid) for name, what, pid in map(str.split, lines)]

    def redis_url(self) -> str:
        """The address of the embedded Valkey."""
        return (self.data_dir / "redis-url").read_text().strip()

    def valkey_pid(self) -> int:
        """The process id of the embedded Valkey."""
        with redis.Redis.from_url(self.redis_url()) as client:
            return int(client.info("server")["process_id"])

    def family(self) -> list[int]:
        """The process ids of all that it has started and that lives."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def close(self) -> None:
        """Kill it, if it was started and still runs."""
        if not hasattr(self, "process"):
            return
        self.process.kill()
        self.exit_code()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.printed += line


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory whose path leaves room for a socket; pytest's own is often too long."""
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as directory:
        yield Path(directory) / "data"


@pytest.fixture
def make_up(data_dir):
    """Make `up`s that end with the test."""
    with contextlib.ExitStack() as stack:

        def make(*arguments: str, worker: tuple[str, ...] = ()) -> Up:
            made = Up(data_dir, *arguments, worker=worker)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture(scope="package")
def running() -> Iterator[Up]:
    """An `up` that runs, for tests that leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as directory:
        up = Up(Path(directory) / "data").start_and_wait()
        yield up
        up.close()
