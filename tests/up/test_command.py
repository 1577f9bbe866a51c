"""`jobs-app up`, with stand-ins for the worker, the scheduler and the web server."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from jobs_app.secrets.encryption import Cipher
from jobs_app.up.command import GRACE_SECONDS
from jobs_app.up.supervisor import SIGNAL_DEBOUNCE_SECONDS
from jobs_app.up.valkey import free_port
from tests.servers import is_alive, wait_until

PROJECT = Path(__file__).parents[2]
UP = """
import json, sys
from jobs_app.core.settings import Settings
from jobs_app.up.command import up
sys.exit(up(Settings(), demo="--demo" in sys.argv, commands=json.loads(sys.argv[1])))
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
        commands = {
            name: [sys.executable, "-c", STAND_IN, name] for name in ("worker", "scheduler", "web")
        }
        commands["worker"] += worker
        self._arguments = [sys.executable, "-c", UP, json.dumps(commands), *arguments]
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


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    """An `up` that runs, for tests that leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as directory:
        up = Up(Path(directory) / "data").start_and_wait()
        yield up
        up.close()


def test_it_says_where_it_is_and_how_to_sign_in(running):
    wait_until(lambda: "curl" in running.printed, "the whole banner")

    token_file = running.data_dir / "admin-token"
    assert f"http://127.0.0.1:{running.port}" in running.printed
    assert f'"Authorization: Bearer $(cat {token_file})"' in running.printed
    assert token_file.read_text().strip() not in running.printed


def test_its_example_works_for_another_directory_and_port(running):
    wait_until(lambda: "job list" in running.printed, "the whole banner")

    variables = f"JOBS_DATA_DIR={running.data_dir} JOBS_PORT={running.port}"
    assert re.search(rf"^  {variables} .*jobs.app job list$", running.printed, re.MULTILINE)


def test_what_it_keeps_is_its_owners_alone(running):
    assert stat.S_IMODE(running.data_dir.stat().st_mode) == 0o700
    for path in running.data_dir.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_password_of_valkey_is_in_no_environment_and_no_command_line(running):
    password = redis.connection.parse_url(running.redis_url())["password"]

    assert password not in (running.data_dir / "web.environment").read_text()
    for pid in running.family():
        assert password not in " ".join(psutil.Process(pid).cmdline())


def test_the_key_of_the_secrets_is_made_and_is_in_no_environment(running):
    key = (running.data_dir / "secret-key").read_text()

    assert Cipher(key).keys == 1
    for name in ("web", "worker", "scheduler"):
        assert key not in (running.data_dir / f"{name}.environment").read_text()


def test_a_key_that_is_none_is_refused_before_anything_starts(make_up):
    up = make_up()
    up.environment["JOBS_SECRET_KEY"] = "c4n4ry"
    up.start()

    assert up.exit_code() != 0
    assert "JOBS_SECRET_KEY is no key" in up.printed
    assert "c4n4ry" not in up.printed
    assert up.notes() == []


def test_without_the_demo_every_route_is_closed(running):
    environment = json.loads((running.data_dir / "web.environment").read_text())

    assert environment["JOBS_DEMO_OPEN"] == "False"
    assert "without a token" not in running.printed


def test_a_second_one_on_the_same_directory_is_refused(running):
    second = Up(running.data_dir).start()

    assert second.exit_code() == 1
    holder = f"already runs on {running.data_dir}, as process {running.process.pid}"
    assert holder in second.printed
    assert not running.has_ended()


def test_ctrl_c_stops_everything_valkey_last(make_up):
    up = make_up().start_and_wait()
    family = up.family()

    up.process.send_signal(signal.SIGINT)

    assert up.exit_code() == 0
    stopped = [name for name, what, _ in up.notes() if what == "stopped"]
    assert sorted(stopped) == ["scheduler", "web", "worker"]
    assert not any(map(is_alive, family))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_worker_is_asked_at_once_and_waited_for_last(make_up, number):
    up = make_up(worker=("--stubborn",)).start_and_wait()
    family, began = up.family(), time.monotonic()
    up.process.send_signal(number)

    wait_until(lambda: "worker is still busy" in up.printed, "its time is over", timeout_seconds=15)
    is_over = time.monotonic() - began
    assert up.exit_code() == 0

    stopped = [name for name, what, _ in up.notes() if what == "stopped"]
    assert sorted(stopped) == ["scheduler", "web"]
    # Counted from the signal on, and not from the end of the others.
    assert GRACE_SECONDS <= is_over < GRACE_SECONDS + 2
    assert not any(map(is_alive, family))


def test_what_valkey_held_survives_a_stop(make_up):
    up = make_up().start_and_wait()
    with redis.Redis.from_url(up.redis_url()) as client:
        client.set("key", "value")
    up.process.send_signal(signal.SIGTERM)
    up.exit_code()

    again = make_up().start_and_wait()

    with redis.Redis.from_url(again.redis_url()) as client:
        assert client.get("key") == b"value"


def test_a_second_ctrl_c_does_not_wait_for_the_worker(make_up):
    up = make_up(worker=("--stubborn",)).start_and_wait()
    family = up.family()
    up.process.send_signal(signal.SIGINT)
    wait_until(lambda: ("scheduler", "stopped") in [n[:2] for n in up.notes()], "it stops")
    first_at = time.monotonic()
    wait_until(
        lambda: time.monotonic() - first_at > SIGNAL_DEBOUNCE_SECONDS, "that counts as a second"
    )

    up.process.send_signal(signal.SIGINT)

    wait_until(up.has_ended, "it ended at once", timeout_seconds=3)
    assert not any(map(is_alive, family))


@pytest.mark.parametrize("name", ["worker", "scheduler", "web"])
def test_a_dead_process_is_started_again(make_up, name):
    up = make_up().start_and_wait()

    os.kill(up.pids(name)[0], signal.SIGKILL)

    wait_until(lambda: len(up.pids(name)) == 2, f"the {name} was started again")
    assert f"{name} was ended by SIGKILL; starting it again in 1 s" in up.printed


def test_a_dead_valkey_is_started_again_at_the_same_address(make_up):
    up = make_up().start_and_wait()
    pid, url = up.valkey_pid(), up.redis_url()

    os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return up.valkey_pid() != pid
        return False

    wait_until(answers, "Valkey was started again")
    assert up.redis_url() == url


def test_nothing_outlives_a_killed_up(make_up):
    up = make_up(worker=("--stubborn",)).start_and_wait()
    family = up.family()

    up.process.kill()

    assert len(family) == 4
    wait_until(lambda: not any(map(is_alive, family)), "all of it ended")


def test_it_starts_again_right_after_it_was_killed(make_up):
    up = make_up().start_and_wait()

    up.process.kill()

    make_up().start_and_wait()


def test_a_taken_port_is_refused_before_anything_starts(make_up, data_dir):
    up = make_up()
    with socket.create_server(("127.0.0.1", up.port)):
        up.start()

        assert up.exit_code() == 1

    assert f"Port {up.port} on 127.0.0.1 is taken" in up.printed
    assert not (data_dir / "redis-url").exists()


def test_a_module_that_is_nowhere_is_refused_before_anything_starts(make_up):
    up = make_up()
    up.environment["JOBS_IMPORTS"] = "reprots.monthly"
    up.start()

    assert up.exit_code() != 0
    assert "JOBS_IMPORTS: there is no module 'reprots'" in up.printed
    assert up.notes() == []


def test_a_module_of_the_present_directory_is_found(make_up, data_dir, monkeypatch):
    data_dir.mkdir()
    (data_dir / "reports.py").write_text("")
    monkeypatch.chdir(data_dir)
    up = make_up()
    up.environment["JOBS_IMPORTS"] = "reports"

    up.start_and_wait()

    assert "JOBS_IMPORTS" not in up.printed


def test_a_variable_with_a_typo_is_pointed_out(make_up):
    up = make_up()
    up.environment |= {"JOBS_IMPORT": "reports", "JOBS_URL": "http://127.0.0.1:1"}

    up.start_and_wait()

    assert "JOBS_IMPORT is no setting and is ignored; did you mean JOBS_IMPORTS?" in up.printed
    assert "JOBS_URL" not in up.printed


def test_an_address_that_is_not_ours_is_refused(make_up):
    up = make_up()
    up.environment["JOBS_HOST"] = "192.0.2.1"
    up.start()

    assert up.exit_code() != 0
    assert "JOBS_HOST 192.0.2.1" in up.printed


def test_a_redis_of_ones_own_replaces_the_embedded_one(make_up, data_dir, redis_url):
    up = make_up()
    up.environment["JOBS_REDIS_URL"] = redis_url

    up.start_and_wait()

    assert not (data_dir / "redis-url").exists()
    assert len(up.family()) == 3


def test_any_free_port_can_be_asked_for(make_up):
    up = make_up()
    up.environment["JOBS_PORT"] = "0"

    up.start_and_wait()

    assert re.search(r"http://127\.0\.0\.1:[1-9]\d+$", up.printed, re.MULTILINE)


def test_the_demo_opens_its_two_routes_on_loopback(make_up, data_dir):
    make_up("--demo").start_and_wait()

    assert json.loads((data_dir / "web.environment").read_text())["JOBS_DEMO_OPEN"] == "True"


def test_the_demo_opens_nothing_to_the_network(make_up, data_dir):
    up = make_up("--demo")
    up.environment["JOBS_HOST"] = "0.0.0.0"
    up.start_and_wait()

    wait_until(lambda: "0.0.0.0 is not loopback" in up.printed, "it says why")
    assert json.loads((data_dir / "web.environment").read_text())["JOBS_DEMO_OPEN"] == "False"
