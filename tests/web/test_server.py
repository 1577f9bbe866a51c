"""The web server as a process: it starts, answers, refuses a taken port and stops."""

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core.settings import Settings
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.valkey import free_port
from jobs_app.web.server import HEADER_SECONDS, MAX_CONNECTIONS
from tests import forking
from tests.forking import Process, plain_environment
from tests.servers import wait_until

STOP_SECONDS = 8.0

Start = Callable[..., Process]
Server = tuple[Process, str]


@pytest.fixture
def directory(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A data directory with a migrated database and an admin token."""
    settings = Settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir(mode=0o700)
    shutil.copyfile(migrated_sqlite, settings.data_dir / "jobs.db")
    ensure_admin_token(settings)
    return settings.data_dir


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Starts web servers, which end with the test; what they print is in `output_of`."""
    death_pipe = ParentDeathPipe()
    processes: list[Process] = []

    def started(port: int, **settings: str) -> Process:
        variables = {
            "HOME": str(directory),
            "JOBS_DATA_DIR": str(directory),
            "JOBS_PORT": str(port),
        }
        with output_of(directory).open("ab") as output:
            process = forking.start(
                "jobs_app",
                ["web"],
                environment=plain_environment() | death_pipe.environment() | variables | settings,
                output=output,
                death_pipe_fd=death_pipe.read_fd,
            )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()
    death_pipe.close()


def output_of(directory: Path) -> Path:
    return directory.with_name("output")


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def server(start: Start) -> Server:
    """A running web server and its URL."""
    port = free_port()
    process = start(port)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(url), "the web server answers", timeout_seconds=30)
    return process, url


def test_a_job_is_created_over_the_wire(server: Server, directory: Path) -> None:
    token = (directory / "admin-token").read_text().strip()
    job = {"name": "hello", "task": "shell", "kwargs": {"command": "date"}}

    with httpx.Client(base_url=server[1], trust_env=False) as client:
        refused = client.get("/api/v1/jobs")
        client.headers["Authorization"] = f"Bearer {token}"
        created = client.post("/api/v1/jobs", json=job)
        too_large = client.post(
            "/api/v1/jobs", content=b"x" * 2_000_000, headers={"Content-Type": "application/json"}
        )

    assert (refused.status_code, created.status_code, too_large.status_code) == (401, 201, 413)


def origins(start: Start, directory: Path, **settings: str) -> list[str]:
    """Return where the audit of a new server says that two changes came from.

    The first one names another client, the second one two.
    """
    token = (directory / "admin-token").read_text().strip()
    port = free_port()
    start(port, **settings)
    wait_until(lambda: answers(f"http://127.0.0.1:{port}"), "it answers", timeout_seconds=30)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{port}/api/v1"
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        for name, clients in (("a", "192.0.2.7"), ("b", "192.0.2.8, 2001:db8::1")):
            job = {"name": f"{name}-{port}", "task": "shell", "kwargs": {"command": "date"}}
            client.post("/jobs", json=job, headers={"X-Forwarded-For": clients})
        events = client.get("/audit?limit=2").json()["items"]
    return [event["remote_address"] for event in reversed(events)]


def test_only_a_trusted_proxy_names_the_client(start: Start, directory: Path) -> None:
    assert origins(start, directory) == ["127.0.0.1"] * 2
    assert origins(start, directory, JOBS_TRUSTED_PROXY="127.0.0.1") == ["192.0.2.7", "2001:db8::1"]


def test_a_header_of_a_client_is_neither_logged_nor_an_error(start: Start, directory: Path) -> None:
    port = free_port()
    process = start(port, JOBS_TRUSTED_PROXY="*")
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(url), "it answers", timeout_seconds=30)
    headers = [{"X-Forwarded-For": text} for text in ('"FORGED, 192.0.2.7', ":80")]
    statuses = [
        httpx.get(f"{url}/healthz", headers=header, trust_env=False).status_code
        for header in headers
    ]
    process.kill()
    process.wait()
    output = output_of(directory).read_text()

    assert statuses == [200, 200]
    assert "FORGED" not in output
    assert "Traceback" not in output


def test_a_body_in_chunks_is_measured_too(server: Server, directory: Path) -> None:
    token = (directory / "admin-token").read_text().strip()
    # Cut off where the limit is, it would be read as the job alone.
    job = json.dumps({"name": "padded", "task": "shell", "kwargs": {"command": "date"}}).encode()

    answer = httpx.post(
        f"{server[1]}/api/v1/jobs",
        content=iter([job, b" " * 1_100_000]),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        trust_env=False,
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def _connect(url: str, first: bytes) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    connection.sendall(first)
    return connection


HEADER = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\n"
BODY = HEADER + b"Content-Length: 1000\r\nContent-Type: application/json\r\n\r\n"


#: How a slow client begins, and what it sends again and again.
SLOW_CLIENTS = {
    "silent": (b"", b""),
    "begun": (b"GET", b" "),
    "header": (HEADER, b"X-More: 1\r\n"),
    "body": (BODY, b" "),
    "chunks": (
        BODY.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"),
        b"1\r\n \r\n",
    ),
    "continue": (BODY.replace(b"Host: x", b"Host: x\r\nExpect: 100-continue"), b" "),
}


def test_six_hundred_slow_clients_hold_nobody_else(
    server: Server,
) -> None:
    kinds = list(SLOW_CLIENTS.values()) * 100
    slow = [(_connect(server[1], first), more) for first, more in kinds]
    seconds = []

    for _ in range(5):
        for connection, more in slow:
            connection.sendall(more)
        began = time.monotonic()
        assert httpx.get(f"{server[1]}/healthz", trust_env=False, timeout=30).status_code == 200
        seconds.append(time.monotonic() - began)
    for connection, _ in slow:
        connection.close()

    assert statistics.median(seconds) < 1, seconds


def test_clients_that_read_nothing_hold_nobody_else(
    server: Server,
) -> None:
    path = b"/static/vendor/swagger-ui/swagger-ui-bundle.js"
    request = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    slow = [_connect(server[1], request * 9) for _ in range(20)]

    answers = [httpx.get(f"{server[1]}/healthz", trust_env=False, timeout=30) for _ in range(5)]
    for connection in slow:
        connection.close()

    assert {answer.status_code for answer in answers} == {200}


def test_clients_that_drip_their_header_are_cut_off(
    server: Server,
) -> None:
    dripping = {_connect(server[1], first): more for first, more in DRIPS}
    began = time.monotonic()

    def are_cut_off() -> bool:
        time.sleep(0.3)
        for connection, more in list(dripping.items()):
            if _is_cut_off(connection, more):
                del dripping[connection]
                connection.close()
        return not dripping

    wait_until(are_cut_off, "the connections are closed", timeout_seconds=2 * HEADER_SECONDS)
    assert time.monotonic() - began > HEADER_SECONDS - 2


DRIPS = [SLOW_CLIENTS["begun"], SLOW_CLIENTS["header"]]


def _is_cut_off(connection: socket.socket, more: bytes) -> bool:
    connection.setblocking(False)
    try:
        connection.sendall(more)
        return connection.recv(1000) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


CHUNKED = HEADER + b"Transfer-Encoding: chunked\r\n\r\n"


#: How a request with an endless line begins, and the status of its answer.
ENDLESS = {
    "header": (HEADER + b"X-Long: ", b"431"),
    "address": (b"GET /", b"431"),
    "extension": (CHUNKED + b"5;name=", b"400"),
    "size of a chunk": (CHUNKED + b"0", b"400"),
    "second chunk": (CHUNKED + b"5\r\nhello\r\n5;", b"400"),
    "trailer": (CHUNKED + b"0\r\nX-Long: ", b"400"),
    "many trailers": (CHUNKED + b"0\r\n" + b"X-Short: 1\r\n" * 1_000, b"400"),
}


def test_a_line_without_end_is_refused(server: Server) -> None:
    statuses = {}
    for name, (begin, _) in ENDLESS.items():
        with _connect(server[1], begin + b"0" * 40_000) as connection:
            statuses[name] = connection.recv(100).split()[1]

    assert statuses == {name: status for name, (_, status) in ENDLESS.items()}


def test_a_body_with_two_lengths_is_refused(server: Server) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    smuggled = CHUNKED.replace(b"Host: x", b"Host: x\r\nContent-Length: 4") + b"0\r\n\r\n" + hidden
    with _connect(server[1], smuggled) as connection:
        answer = _all_of(connection)

    assert (answer.split()[1], answer.count(b"HTTP/1.1 ")) == (b"400", 1)


def test_a_flood_of_requests_on_one_connection_closes_it(
    server: Server,
) -> None:
    # To look a token up takes longer than to read the next requests, on any machine.
    request = b"GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n"
    answers = {}
    for count in (20, 2_000):
        with _connect(server[1], request * (count - 1) + LAST) as connection:
            answers[count] = _all_of(connection).count(b"HTTP/1.1 ")

    assert answers[20] == 20
    assert answers[2_000] < 1_000


#: How a flood begins on each connection, and what it sends as fast as it can.
FLOODS = {"chunks": (CHUNKED, b"1\r\n \r\n"), "empty lines": (b"", b"\r\n")}

#: A program that floods from a process of its own, until its input ends.
FLOOD = """
import select, socket, sys
port, first, more = int(sys.argv[1]), eval(sys.argv[2]), eval(sys.argv[3]) * 1000
connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(500)]
for connection in connections:
    connection.sendall(first)
    connection.setblocking(False)
print("connected", flush=True)
while True:
    readable, writable, _ = select.select([sys.stdin], connections, [])
    if readable:
        break
    for connection in writable:
        connection.send(more)
"""


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_tiny_pieces_delays_nobody_for_long(server: Server, kind: str) -> None:
    first, more = FLOODS[kind]
    port = server[1].rpartition(":")[2]
    command = [sys.executable, "-c", FLOOD, port, repr(first), repr(more)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as flood:
        assert flood.stdout is not None
        flood.stdout.readline()
        time.sleep(0.2)

        # Far above what an answer takes: the flood and others share the processors.
        answers = [httpx.get(f"{server[1]}/healthz", trust_env=False, timeout=12) for _ in range(3)]
        is_flooding = flood.poll() is None
        flood.kill()

    assert is_flooding
    assert {answer.status_code for answer in answers} == {200}


LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def _all_of(connection: socket.socket) -> bytes:
    """Return what a server sends until it closes or resets the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(65_536):
            data += more
    return data


def _open_files(pid: int) -> list[str]:
    """Return what a process has open; it may close some of them meanwhile."""
    names = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            names.append(os.readlink(file))
    return names


def test_bodies_that_never_end_do_not_fill_the_memory(
    server: Server,
) -> None:
    size = 7 << 20
    header = HEADER + b"Content-Length: %d\r\n\r\n" % (size + 1)
    body = b"0" * size

    connections = [_connect(server[1], header + body) for _ in range(25)]

    assert not [name for name in _open_files(server[0].pid) if "(deleted)" in name]
    wait_until(lambda: _is_cut_off(connections[0], b""), "the oldest is closed")
    assert not _is_cut_off(connections[-1], b"")
    assert httpx.get(f"{server[1]}/healthz", trust_env=False).status_code == 200
    for connection in connections:
        connection.close()


def test_fewer_files_are_fewer_connections(directory: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        ["prlimit", "--nofile=300:300", sys.executable, "-m", "jobs_app", "web"],
        env=plain_environment() | {"JOBS_DATA_DIR": str(directory), "JOBS_PORT": str(port)},
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(url), "the web server answers", timeout_seconds=30)

    slow = [_connect(url, HEADER) for _ in range(300)]

    try:
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    finally:
        for connection in slow:
            connection.close()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_one_connection_too_many_closes_the_one_that_has_waited_longest(
    server: Server,
) -> None:
    slow = [_connect(server[1], HEADER) for _ in range(MAX_CONNECTIONS)]

    answers = [httpx.get(f"{server[1]}/healthz", trust_env=False) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    wait_until(lambda: slow[0].recv(1) == b"", "the oldest is closed")
    for connection in slow:
        connection.close()


def test_it_stops_within_seconds_with_a_connection_open(
    server: Server,
) -> None:
    process, url = server
    with httpx.Client(base_url=url, trust_env=False) as client:
        client.get("/healthz")
        started = time.monotonic()
        process.terminate()
        code = process.wait(timeout=30)

    assert code == 0
    assert time.monotonic() - started < STOP_SECONDS


def test_a_taken_port_is_a_sentence_and_exit_code_4(start: Start, directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = start(port).wait(timeout=60)
    output = output_of(directory).read_text()

    assert f"127.0.0.1:{port}" in output
    assert code == 4
    assert "JOBS_PORT" in output
    assert "Traceback" not in output


def test_nothing_is_left_in_the_home_directory(server: Server, directory: Path) -> None:
    assert {path.name for path in directory.iterdir()} <= {
        "admin-token",
        "admin-token.header",
        "jobs.db",
        "jobs.db-shm",
        "jobs.db-wal",
        "jobs.db-was-made",
        "secret-key",
    }
