"""The sandbox of the sender process, whatever a library in it tries."""

import subprocess
import sys
from pathlib import Path

import pytest

#: What the programs of these tests may use.
IMPORTS = """
import socket
from jobs_app.core.network_allowlist import OwnServer, parse_allowlist
from jobs_app.notifications.sandbox import Sandbox
from jobs_app.tasks.network_policy import NetworkPolicy
"""

#: Calls a port of this machine.
CALL = "socket.create_connection(('localhost', 9), 1)"


def violations(sandbox: str, *lines: str) -> str:
    """Return what the process of a *sandbox* has noted after *lines*, each of which may fail."""
    tries = [f"try:\n    {line}\nexcept OSError:\n    pass" for line in lines]
    program = [IMPORTS, f"sandbox = {sandbox}", "sandbox.install()", *tries]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*program, "print(sandbox.violations)"])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "code, refused",
    [
        (
            "socket.create_connection(('169.254.169.254', 80), 1)",
            "only if JOBS_HTTP_ALLOW has this very",
        ),
        ("socket.socket(socket.AF_UNIX).connect('/tmp/x')", "own machine"),
        ("import subprocess; subprocess.run(['true'])", "starts a program"),
        ("open(DATA + '/secret-key').read()", "may not be read"),
        ("open('/proc/self/environ').read()", "may not be read"),
        ("socket.create_connection(('127.0.0.1', 9), 1)", None),
    ],
)
def test_the_sender_process_may_not(tmp_path: Path, code: str, refused: str | None) -> None:
    (tmp_path / "secret-key").write_text("key")
    closed = [str(tmp_path), "/proc"]

    found = violations(
        f"Sandbox(NetworkPolicy(True), closed_folders={closed})",
        code.replace("DATA", repr(str(tmp_path))),
    )

    assert (refused in found) if refused else (found == "[]\n")


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
    policy = f"NetworkPolicy(False, parse_allowlist({entry!r}))"

    found = violations(f"Sandbox({policy}, closed_folders=[])", CALL)

    assert (found != "[]\n") == is_refused


@pytest.mark.parametrize(
    "entry, is_refused", [("", True), ("127.0.0.0/8", True), ("localhost:9", False)]
)
def test_a_notification_does_not_reach_the_servers_of_jobs_app_itself(
    entry: str, is_refused: bool
) -> None:
    own = "(OwnServer('JOBS_REDIS_URL', '127.0.0.1', 9),)"
    policy = f"NetworkPolicy(True, parse_allowlist({entry!r}), {own})"

    found = violations(f"Sandbox({policy}, closed_folders=[])", CALL)

    assert ("own server of JOBS_REDIS_URL" in found) == is_refused


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
    found = violations(
        "Sandbox(NetworkPolicy(True), closed_folders=[])",
        f"sandbox.begin({named})",
        f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(({host!r}, 9))",
    )

    assert (violation in found) if violation else (found == "[]\n")


def test_an_allowed_name_opens_no_other_address() -> None:
    found = violations(
        "Sandbox(NetworkPolicy(False, parse_allowlist('localhost')), closed_folders=[])",
        "socket.getaddrinfo('localhost', 9)",
        "socket.create_connection(('10.255.255.1', 9), 1)",
    )

    assert "10.255.255.1 may not be called" in found
