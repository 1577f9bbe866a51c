"""The admin's token goes to the server of its owner, and to nobody else on the machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs_app.cli.client import bearer_token
from jobs_app.cli.failure import Failure
from jobs_app.cli.local_server import listener_uids

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/net is Linux's")

LISTEN = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.bind((sys.argv[1], 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listening(address: str, uid: int) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN, address, str(uid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def url(address: str, port: int) -> str:
    return f"http://[::1]:{port}" if address == "::1" else f"http://localhost:{port}"


@pytest.fixture(autouse=True)
def _own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "admin-token").write_text("jobs_x")
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("JOBS_TOKEN", raising=False)
    monkeypatch.delenv("JOBS_HOST", raising=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_server_of_the_owner_gets_it(address: str) -> None:
    for port in listening(address, os.geteuid()):
        assert bearer_token(url(address, port)) == "jobs_x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_server_of_another_user_does_not(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in listening(address, 23456):
        with pytest.raises(Failure, match=r"another user \(uid 23456\)"):
            bearer_token(url(address, port))
        monkeypatch.setenv("JOBS_TOKEN", "typed")
        assert bearer_token(url(address, port)) == "typed"


def test_where_nobody_listens_it_is_not_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert bearer_token(f"http://127.0.0.1:{bound.getsockname()[1]}") is None


def test_another_address_of_the_machine_is_not_asked_for() -> None:
    for port in listening("127.0.0.1", os.geteuid()):
        assert listener_uids("127.0.0.2", port) == set()
        assert listener_uids("127.0.0.1", port) == {os.geteuid()}


def test_a_name_that_does_not_exist_is_listened_on_by_nobody() -> None:
    assert listener_uids("no-such-host.invalid", 1) == set()
