"""The sandbox of the sender process, whatever a library in it tries."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "code, refused",
    [
        (
            "import socket; socket.create_connection(('169.254.169.254', 80), 1)",
            "only if JOBS_HTTP_ALLOW has this very",
        ),
        ("import socket; socket.socket(socket.AF_UNIX).connect('/tmp/x')", "own machine"),
        ("import subprocess; subprocess.run(['true'])", "starts a program"),
        ("open(DATA + '/secret-key').read()", "may not be read"),
        ("open('/proc/self/environ').read()", "may not be read"),
        ("import socket; socket.create_connection(('127.0.0.1', 9), 1)", None),
    ],
)
def test_the_sender_process_may_not(tmp_path: Path, code: str, refused: str | None) -> None:
    (tmp_path / "secret-key").write_text("key")
    program = (
        "from jobs_app.notifications.sandbox import Sandbox\n"
        "from jobs_app.tasks.network_policy import NetworkPolicy\n"
        f"DATA = {str(tmp_path)!r}\n"
        "sandbox = Sandbox(NetworkPolicy(True), closed_folders=[DATA, '/proc'])\n"
        "sandbox.install()\n"
        f"try:\n    {code}\nexcept OSError:\n    pass\n"
        "print(sandbox.violations)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert (refused in done.stdout) if refused else (done.stdout == "[]\n")


@pytest.mark.parametrize(
    "entry, is_refused",
    [
        ("localhost:9", False),
        ("127.0.0.0/8", False),
        ("localhost:10", True),
        ("elsewhere.example:9", True),
    ],
)
def test_an_allowlist_entry_lets_a_private_address_through(entry: str, is_refused: bool) -> None:
    program = (
        "import socket\n"
        "from jobs_app.notifications.sandbox import Sandbox\n"
        "from jobs_app.tasks.network_policy import NetworkPolicy\n"
        "from jobs_app.core.network_allowlist import parse_allowlist\n"
        f"allowlist = parse_allowlist({entry!r})\n"
        "sandbox = Sandbox(NetworkPolicy(False, allowlist), closed_folders=[])\n"
        "sandbox.install()\n"
        "try:\n    socket.create_connection(('localhost', 9), 1)\nexcept OSError:\n    pass\n"
        "print(bool(sandbox.violations))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == (f"{is_refused}\n", "")


@pytest.mark.parametrize(
    "entry, is_refused", [("", True), ("127.0.0.0/8", True), ("localhost:9", False)]
)
def test_a_notification_does_not_reach_the_servers_of_jobs_app_itself(
    entry: str, is_refused: bool
) -> None:
    program = (
        "import socket\n"
        "from jobs_app.notifications.sandbox import Sandbox\n"
        "from jobs_app.tasks.network_policy import NetworkPolicy\n"
        "from jobs_app.core.network_allowlist import OwnServer, parse_allowlist\n"
        f"allowlist = parse_allowlist({entry!r})\n"
        "own = (OwnServer('JOBS_REDIS_URL', '127.0.0.1', 9),)\n"
        "sandbox = Sandbox(NetworkPolicy(True, allowlist, own), closed_folders=[])\n"
        "sandbox.install()\n"
        "try:\n    socket.create_connection(('localhost', 9), 1)\nexcept OSError:\n    pass\n"
        "print('own server of JOBS_REDIS_URL' in str(sandbox.violations))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == (f"{is_refused}\n", "")


@pytest.mark.parametrize(
    "named, host, violation",
    [
        ("(OwnServer('JOBS_REDIS_URL', '127.0.0.1', 9),)", "127.0.0.1", "own server"),
        ("(OwnServer('JOBS_REDIS_URL', '127.0.0.1', 10),)", "127.0.0.1", None),
        ("None", "127.0.0.1", "no Sentinel of JOBS_REDIS_URL answers"),
        ("None", "8.8.8.8", None),
    ],
)
def test_a_notification_does_not_reach_the_servers_that_sentinels_name(
    named: str, host: str, violation: str | None
) -> None:
    program = (
        "import socket\n"
        "from jobs_app.notifications.sandbox import Sandbox\n"
        "from jobs_app.tasks.network_policy import NetworkPolicy\n"
        "from jobs_app.core.network_allowlist import OwnServer\n"
        "sandbox = Sandbox(NetworkPolicy(True), closed_folders=[])\n"
        "sandbox.install()\n"
        f"sandbox.begin({named})\n"
        "client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"try:\n    client.connect(({host!r}, 9))\nexcept OSError:\n    pass\n"
        "print(sandbox.violations)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert (violation in done.stdout) if violation else (done.stdout == "[]\n")


def test_an_allowed_name_opens_no_other_address() -> None:
    program = (
        "import socket\n"
        "from jobs_app.notifications.sandbox import Sandbox\n"
        "from jobs_app.tasks.network_policy import NetworkPolicy\n"
        "from jobs_app.core.network_allowlist import parse_allowlist\n"
        "allowlist = parse_allowlist('localhost')\n"
        "sandbox = Sandbox(NetworkPolicy(False, allowlist), closed_folders=[])\n"
        "sandbox.install()\n"
        "socket.getaddrinfo('localhost', 9)\n"
        "try:\n    socket.create_connection(('10.255.255.1', 9), 1)\nexcept OSError:\n    pass\n"
        "print(sandbox.violations)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert "10.255.255.1 may not be called" in done.stdout
