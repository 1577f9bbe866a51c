"""deploy/supervisord.conf, in a real supervisord: it starts again what dies, and stops in order."""

import configparser
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.up.valkey import free_port
from tests.integration.system import System
from tests.servers import ValkeyServer, wait_until

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy/supervisord.conf"
WORKERS = ("worker:worker_0", "worker:worker_1")


def test_each_process_has_a_program_that_never_gives_up() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(CONFIGURATION.read_text())

    programs = {
        name.partition(":")[2]: dict(parser[name])
        for name in parser.sections()
        if name.startswith("program:")
    }

    assert programs.keys() == {"migrate", "web", "scheduler", "worker"}
    for name, program in programs.items():
        assert program["command"] == f"/opt/jobs-app/bin/jobs-app {name}"
        assert program["user"] == "jobs-app"
        if name != "migrate":
            assert program["autorestart"] == "true"
            assert int(program["startretries"]) > 100_000


class Supervisor:
    """A running supervisord."""

    def __init__(self, configuration: Path, environment: dict[str, str]) -> None:
        self._configuration = str(configuration)
        self._environment = environment
        self.process = subprocess.Popen(
            ["supervisord", "--nodaemon", "--configuration", self._configuration],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    def control(self, *arguments: str) -> str:
        """Return what supervisorctl prints."""
        return subprocess.run(
            ["supervisorctl", "--configuration", self._configuration, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    def states(self) -> dict[str, str]:
        """Return the state of each program."""
        lines = (line.split() for line in self.control("status").splitlines())
        return {words[0]: words[1] for words in lines if len(words) > 1}

    def pid(self, name: str) -> int:
        """Return the process id of a program, 0 while it has none."""
        answer = self.control("pid", name).strip()
        return int(answer) if answer.isdigit() else 0

    def close(self) -> None:
        """Stop it, and all its programs."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture
def system(database_url: str, tmp_path: Path) -> Iterator[System]:
    """An installation without processes, on servers of this test alone."""
    valkey = ValkeyServer()
    valkey.start()
    data_dir = tmp_path / "data"
    settings = Settings(data_dir=data_dir, database_url=database_url, redis_url=valkey.url)
    system = System(settings, tmp_path)
    yield system
    system.stop()
    valkey.close()


@pytest.fixture
def supervisor(system: System, tmp_path: Path) -> Iterator[Supervisor]:
    """The configuration as it stands, but for accounts, and paths that it may write here."""
    if shutil.which("supervisord") is None:
        pytest.skip("Debian's package supervisor is not installed")
    for name in ("bin", "log", "run", "settings"):
        (tmp_path / name).mkdir()
    program = tmp_path / "bin/jobs-app"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jobs_app "$@"\n')
    program.chmod(0o755)
    settings = {
        "jobs_database_url": system.settings.effective_database_url,
        "jobs_redis_url": system.settings.effective_redis_url,
        "jobs_secret_key": (system.settings.data_dir / "secret-key").read_text(),
    }
    for name, value in settings.items():
        (tmp_path / "settings" / name).write_text(value)
    text = CONFIGURATION.read_text()
    for path, here in {
        "/opt/jobs-app/bin": tmp_path / "bin",
        "/var/log/jobs-app": tmp_path / "log",
        "/run/jobs-app-supervisor": tmp_path / "run/supervisor",
        "/etc/jobs-app/settings": tmp_path / "settings",
        "/var/lib/jobs-app": system.settings.data_dir,
        "user=jobs-app\n": "",
    }.items():
        assert path in text
        text = text.replace(path, str(here))
    configuration = tmp_path / "supervisord.conf"
    configuration.write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "JOBS_PORT": str(free_port()),
    }
    supervisor = Supervisor(configuration, environment)
    yield supervisor
    supervisor.close()


@pytest.mark.nightly
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_killed_worker_is_started_again_and_a_stop_lets_jobs_end(
    system: System, supervisor: Supervisor
) -> None:
    running = dict.fromkeys(("web", "scheduler", *WORKERS), "RUNNING") | {"migrate": "EXITED"}
    wait_until(lambda: supervisor.states() == running, "all run", timeout_seconds=60)
    before = supervisor.pid(WORKERS[0])

    os.kill(before, signal.SIGKILL)

    wait_until(lambda: supervisor.pid(WORKERS[0]) not in {0, before}, "it has started again")
    supervisor.control("stop", WORKERS[1])
    ended = system.wait_for_end(system.start_run("shell", command="echo alive"), seconds=40)
    assert ended.state is RunState.SUCCEEDED

    slow = system.start_run("shell", command="sleep 4")
    system.wait_for(slow, lambda run: run.state is RunState.RUNNING, "it runs")
    supervisor.control("stop", "all")

    assert system.run(slow).state is RunState.SUCCEEDED
    assert set(supervisor.states().values()) == {"STOPPED", "EXITED"}
