"""The units of deploy/systemd: systemd's own checks, and a systemd that runs them."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jobs_app.up.valkey import free_port
from tests.deploy.systemd_machine import SystemdMachine, why_not
from tests.servers import PostgresServer, ValkeyServer, wait_until

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
DOCUMENT = ROOT / "docs/deploy.md"
SERVICES = sorted(UNITS.glob("*.service"))

#: The most exposure that `systemd-analyze security` may find: 0 is none, 10 is all.
MOST_EXPOSURE = {
    "jobs-app-migrate": 1.6,
    "jobs-app-web": 1.6,
    "jobs-app-scheduler": 1.6,
    # Jobs may be programs that make machine code, and need control groups.
    "jobs-app-worker@": 1.9,
    "jobs-app-up": 1.9,
}
#: With the accounts of commands the worker is root.
MOST_EXPOSURE_AS_ROOT = 5.0


def parsed(unit: Path) -> dict[str, list[str]]:
    """Return the values of each setting of a unit, in order."""
    settings: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            settings.setdefault(name, []).append(value)
    return settings


@pytest.fixture
def systemd_analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("Debian's package systemd is not installed")
    return program


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they are installed, with a program that exists."""
    for unit in UNITS.glob("jobs-app*.*"):
        text = unit.read_text().replace("/opt/jobs-app/bin/jobs-app", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_systemd_finds_nothing_wrong(systemd_analyze: str, installed: Path) -> None:
    units = [unit for unit in installed.iterdir() if unit.suffix in {".service", ".target"}]
    assert len(units) == len(SERVICES) + 1

    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", *units], capture_output=True, text=True
    )

    # Units of the machine itself may have faults too.
    ours = [line for line in done.stderr.splitlines() if "jobs-app" in line]
    assert ours == []


def exposure(systemd_analyze: str, unit: Path) -> float:
    done = subprocess.run(
        [systemd_analyze, "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
    )
    found = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    return float(found[1])


def test_no_unit_is_more_exposed_than_it_must_be(systemd_analyze: str, installed: Path) -> None:
    assert MOST_EXPOSURE.keys() == {unit.stem for unit in SERVICES}

    found = {
        name: exposure(systemd_analyze, installed / f"{name}.service") for name in MOST_EXPOSURE
    }

    assert {name for name, value in found.items() if value > MOST_EXPOSURE[name]} == set(), found


def test_a_worker_with_accounts_gives_up_no_more_than_that_needs(
    systemd_analyze: str, installed: Path
) -> None:
    worker = installed / "jobs-app-worker@.service"
    drop_in = (UNITS / "drop-ins/accounts.conf").read_text()
    worker.write_text(worker.read_text().replace("[Install]", f"{drop_in}\n[Install]"))

    assert exposure(systemd_analyze, worker) <= MOST_EXPOSURE_AS_ROOT


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_each_service_ends_its_processes_in_order_and_starts_again(unit: Path) -> None:
    settings = parsed(unit)

    assert settings["StartLimitIntervalSec"] == ["0"]
    if settings.get("Type") == ["oneshot"]:
        assert settings["Restart"] == ["on-failure"]
        return
    assert settings["Restart"] == ["always"]
    # To all of them at once, TERM would end the commands of jobs too.
    assert settings["KillMode"] == ["mixed"]
    # Nothing here calls sd_notify.
    assert "WatchdogSec" not in settings
    assert "NotifyAccess" not in settings
    assert settings.get("Type", ["simple"]) == ["simple"]


def test_each_service_has_the_same_settings_and_secrets() -> None:
    for unit in SERVICES:
        settings = parsed(unit)
        assert settings["EnvironmentFile"][-1] == "/etc/jobs-app/jobs-app.env", unit
        assert settings["LoadCredential"] == ["jobs:/etc/jobs-app/credentials"], unit
        assert {"MemoryMax", "TasksMax", "StateDirectoryMode"} <= settings.keys(), unit


def test_the_example_has_settings_that_exist() -> None:
    documented = re.findall(r"^\| `(JOBS_\w+)`", (ROOT / "docs/settings.md").read_text(), re.M)

    used = re.findall(r"^#?(\w+)=", (UNITS / "jobs-app.env").read_text(), re.M)

    assert set(used) <= set(documented)


def block(text: str) -> str:
    """Return the commands of the block of docs/deploy.md that has *text*."""
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    [found] = [commands for commands in blocks if text in commands]
    return str(found)


def umasks(commands: str, *, start: str) -> set[str]:
    """Return the umasks that the commands of a block have, in a shell that has *start*."""
    others_print = re.sub(r"^(?!umask ).+", "umask", commands, flags=re.MULTILINE)
    script = f"umask {start}\n{others_print}"
    return set(subprocess.check_output(["sh", "-euc", script], text=True).split())


@pytest.mark.parametrize("command", ["python3 -m venv", "git pull"])
def test_services_can_read_what_a_root_with_a_strict_umask_installs(command: str) -> None:
    assert umasks(block(command), start="0077") == {"0022"}


def test_no_block_closes_the_files_that_later_ones_write() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

    found = [umasks(commands, start="0022") for commands in blocks]

    assert found == [{"0022"}] * len(blocks)


class Installation:
    """jobs-app on a machine of its own, on a free port, as its operator reaches it."""

    def __init__(self, machine: SystemdMachine) -> None:
        self.machine = machine
        self.port = free_port()
        machine.run(f"echo JOBS_PORT={self.port} >> /etc/jobs-app/jobs-app.env")

    def wait_until_ready(self) -> None:
        """Return once the web server can do all its work."""
        try:
            wait_until(self._is_ready, "the web server is ready", timeout_seconds=60)
        except AssertionError as error:
            raise AssertionError(f"{error}{self.machine.logs()}") from error

    def _is_ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self.port}/readyz"
            return httpx.get(url, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def admin(self, command: str) -> str:
        """Run a command of jobs-app as docs/deploy.md has it; return its output."""
        return self.machine.run(f"jobs-app-admin {command}")

    def start(self, name: str, command: str) -> None:
        """Create a job that runs *command*, and start it."""
        self.admin(f"job create {name} --manual --command {shlex.quote(command)}")
        self.admin(f"job run {name}")

    def output_of(self, name: str, command: str) -> str:
        """Return the state of a run of *command*, and what it printed."""
        self.start(name, command)
        wait_until(lambda: self.state(name) not in {"queued", "running"}, f"{name} ends")
        return f"{self.state(name)} {self.admin(f'run log {name}')}"

    def state(self, name: str) -> str:
        """Return the state of the newest run of a job."""
        [run] = json.loads(self.admin(f"run list --job {name} --limit 1 --json"))["items"]
        return str(run["state"])


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """jobs-app as docs/deploy.md installs it, on a systemd of this test alone."""
    if reason := why_not():
        pytest.skip(reason)
    machine = SystemdMachine(tmp_path)
    try:
        machine.run(block("useradd").partition("python3 -m venv")[0])
        machine.run(block("deploy/systemd/jobs-app-admin"))
        yield Installation(machine)
    finally:
        machine.close()


def status_of(installation: Installation, unit: str) -> dict[str, str]:
    """Return what the kernel says of the main process of a service."""
    pid = installation.machine.show(unit, "MainPID")
    lines = installation.machine.run(f"cat /proc/{pid}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.nightly
def test_the_services_survive_what_ends_them(
    installation: Installation, own_postgres: PostgresServer
) -> None:
    valkey = ValkeyServer(tcp=True)
    valkey.start()
    try:
        start_while_the_database_is_away(installation, own_postgres, valkey)
        check_rights(installation)
        kill_a_worker(installation)
        stop_while_a_job_runs(installation)
        use_accounts(installation)
    finally:
        valkey.close()


def start_while_the_database_is_away(
    installation: Installation, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    machine = installation.machine
    database = postgres.create_database("jobs").replace("+psycopg", "")
    commands = re.sub(
        r"'postgresql:.*?'", f"'{database}'", block("> /etc/jobs-app/credentials/database_url")
    )
    postgres.crash()
    machine.run(re.sub(r"'redis:.*?'", f"'{valkey.url}'", commands))
    wait_until(lambda: int(machine.show("jobs-app-migrate", "NRestarts")) > 0, "it tries again")
    postgres.start()

    installation.wait_until_ready()
    wait_until(lambda: machine.show("jobs-app-migrate", "ActiveState") == "active", "it migrated")
    # The web server makes the first token at its start.
    machine.run("systemctl restart jobs-app.target")
    installation.wait_until_ready()


def check_rights(installation: Installation) -> None:
    for name in ("web", "scheduler", "worker@1", "worker@2"):
        status = status_of(installation, f"jobs-app-{name}")
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapBnd"], 16) == 0
        assert status["Uid"].split()[0] != "0"
    output = installation.output_of(
        "rights",
        "id -un; touch here && pwd; touch /etc/x; touch /var/lib/jobs-app/x; ls /home; sudo -n id",
    )
    assert "jobs-app\n/var/lib/jobs-app-worker" in output
    assert output.count("Read-only file system") == 2


def kill_a_worker(installation: Installation) -> None:
    machine = installation.machine
    before = machine.show("jobs-app-worker@1", "MainPID")
    machine.run(f"kill -9 {before}; systemctl stop jobs-app-worker@2")
    wait_until(
        lambda: machine.show("jobs-app-worker@1", "MainPID") not in {"0", before}, "it starts again"
    )

    assert "succeeded" in installation.output_of("after-kill", "echo alive")


def stop_while_a_job_runs(installation: Installation) -> None:
    installation.start("slow", "sleep 5; echo done")
    wait_until(lambda: installation.state("slow") == "running", "it runs")

    installation.machine.run("systemctl stop jobs-app-worker@1")

    assert installation.state("slow") == "succeeded"
    assert installation.machine.show("jobs-app-worker@1", "Result") == "success"


def use_accounts(installation: Installation) -> None:
    machine = installation.machine
    machine.run(block("drop-ins/accounts.conf"))
    machine.run("echo JOBS_SHELL_DEFAULT_USER=daemon >> /etc/jobs-app/worker-1.env")
    machine.run("systemctl start jobs-app-worker@1")

    output = installation.output_of(
        "account",
        "id -un; cat /run/credentials/jobs-app-worker@1.service/jobs_secret_key;"
        "ls /var/lib/jobs-app; grep CapEff /proc/self/status",
    )

    assert "daemon\n" in output, machine.logs()
    assert "CapEff:\t0000000000000000" in output
    assert output.count("Permission denied") == 2


@pytest.mark.nightly
def test_the_service_with_everything_runs_jobs(installation: Installation) -> None:
    machine = installation.machine
    machine.run(block("enable --now jobs-app-up"))
    installation.wait_until_ready()

    assert "succeeded hello\n" in installation.output_of("hello", "echo hello")
    assert int(status_of(installation, "jobs-app-up")["CapBnd"], 16) == 0
    machine.run(block("jobs-app-admin backup").partition("git pull")[0])
    assert machine.show("jobs-app-up", "Result") == "success"
    assert machine.run("stat -c %U:%a /var/lib/jobs-app/jobs.db").strip() == "jobs-app:600"
    machine.run(block("jobs-app-admin restore").replace("jobs-app.target    #", "jobs-app-up #"))
    installation.wait_until_ready()
    assert installation.state("hello") == "succeeded"

    machine.run(block("userdel"))
    left = "/etc /opt /usr/local /var/lib"
    assert machine.run(f"find {left} -xdev -name '*jobs-app*' -newer /mnt/units").strip() == ""
