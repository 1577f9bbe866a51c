"""Every kind of job uses one secret, and no stored text holds it afterwards."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import psutil
import pytest
from sqlalchemy import inspect, make_url, text

from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.up.valkey import free_port
from tests.integration.system import System
from tests.profiles import sqlite_nightly
from tests.servers import ValkeyServer, wait_until

CANARY = "c4n4ry/9+\"x&'%-7f3a81d2"
SHA256 = hashlib.sha256(CANARY.encode()).hexdigest()

TASKS = "tests.integration.user_tasks"

#: In two pieces with a pause between them, as others write it, and to both streams.
SHELL = """
printf 'token %s' "${TOKEN%???????????}"; sleep 1; echo "${TOKEN#"${TOKEN%???????????}"}"
echo "$TOKEN" | base64
printf 'me:%s' "$TOKEN" | base64
echo "again $TOKEN" >&2
printf %s "$TOKEN" | sha256sum >&2
set -x; : "$TOKEN"
exit 3
"""


class Recorder(BaseHTTPRequestHandler):
    """Keeps each request, and sends all of it back."""

    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        authorization = self.headers["Authorization"]
        self.seen.append({"path": self.path, "authorization": authorization, "body": body})
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = json.dumps({"path": self.path, "headers": headers, "body": body})
        self.send_response(418 if "fail" in self.path else 200)
        self.send_header("ETag", authorization)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Recorder,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Installation:
    """All processes of an installation, and the API and the command line in front of them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.answers: list[str] = []
        self.url = f"http://127.0.0.1:{system.settings.port}"
        system.settings.data_dir.mkdir(exist_ok=True)
        self.token = ensure_admin_token(system.settings).read_text().strip()
        for name in ("scheduler", "worker", "web"):
            system.start(name)
        wait_until(self._is_up, "the web server answers", timeout_seconds=30)

    def _is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        return False

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", "If-Match": "*"}
        answer = httpx.request(
            method,
            f"{self.url}/api/v1{path}",
            headers=headers | options.pop("headers", {}),
            trust_env=False,
            timeout=30,
            **options,
        )
        self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    def command(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "jobs_app", *arguments],
            input=stdin,
            env=os.environ | {"JOBS_URL": self.url, "JOBS_TOKEN": self.token},
            capture_output=True,
            text=True,
            check=False,
        )
        self.answers.append(done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, task: str, kwargs: dict[str, Any]) -> str:
        """Create a job and start it by hand; return the id of its run."""
        job = {"name": name, "task": task, "kwargs": kwargs}
        made = self.send("POST", "/jobs", json=job)
        assert made.status_code == 201, made.text
        started = self.send("POST", f"/jobs/{name}/runs", json={})
        assert started.status_code == 202, started.text
        return str(started.json()["id"])

    def ended(self, run_id: str) -> dict[str, Any]:
        """Return a run once it has ended."""
        document: dict[str, Any] = {}

        def has_ended() -> bool:
            document.update(self.send("GET", f"/runs/{run_id}").json())
            return document["finished_at"] is not None

        wait_until(has_ended, f"the run of {document.get('job')} ends", timeout_seconds=30)
        return document

    def log(self, run_id: str, **query: Any) -> str:
        return self.send("GET", f"/runs/{run_id}/log", params=query).text


@pytest.fixture
def installation(make_system: Callable[..., System], database_url: str) -> Installation:
    """An installation with the most verbose log: processes on SQLite, threads on PostgreSQL."""
    pool = "prefork" if database_url.startswith("sqlite") else "threads"
    return Installation(
        make_system(
            imports=TASKS,
            port=free_port(),
            allow_private_addresses=True,
            worker_pool=pool,
            log_level="DEBUG",
        )
    )


def in_any_form(secret: str) -> list[bytes]:
    """Return the texts that may appear nowhere: the secret, parts of it, and its other forms."""
    data = secret.encode()
    texts = {json.dumps(secret)[1:-1], repr(secret)[1:-1], quote_plus(secret)}
    texts |= {quote(secret, safe=""), quote(secret)}
    forms = {data, data[:10], data[-10:], *(text.encode() for text in texts)}
    # The part of the Base64 text that does not depend on its neighbours.
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        forms.add(encoded[4:-4])
    return list(forms)


def findings(secret: str, places: dict[str, bytes]) -> list[str]:
    """Return each place that holds the secret, with the text around it."""
    return [
        f"{place}: {data[max(0, at - 60) : at + 60]!r}"
        for place, data in places.items()
        for form in in_any_form(secret)
        if (at := data.find(form)) >= 0
    ]


def rows(system: System) -> bytes:
    """Return every row of every table, as text."""
    with system.database.engine.connect() as connection:
        lines = [
            f"{name}: {row}"
            for name in inspect(connection).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{name}"'))
        ]
    assert any(row.startswith("run_logs") for row in lines)
    return "\n".join(lines).encode()


def files(system: System) -> dict[str, bytes]:
    """Return the files of the data directory, and those of a SQLite database."""
    url = make_url(system.settings.effective_database_url)
    paths = [path for path in system.settings.data_dir.rglob("*") if path.is_file()]
    if url.database is not None and url.get_backend_name() == "sqlite":
        database = Path(url.database)
        paths += database.parent.glob(f"{database.name}*")
    return {str(path): path.read_bytes() for path in paths}


def redis_keys(server: ValkeyServer) -> dict[str, bytes]:
    """Return every key of Redis, as the server dumps it and as text."""
    readers = {
        b"string": lambda c, k: c.get(k),
        b"hash": lambda c, k: c.hgetall(k),
        b"list": lambda c, k: c.lrange(k, 0, -1),
        b"set": lambda c, k: c.smembers(k),
        b"zset": lambda c, k: c.zrange(k, 0, -1),
    }
    with server.client() as client:
        return {
            f"redis {key!r}": key + repr(readers[client.type(key)](client, key)).encode()
            for key in client.scan_iter()
        }


def command_lines() -> bytes:
    lines = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            lines += process.cmdline()
    return "\0".join(lines).encode(errors="surrogateescape")


@sqlite_nightly
def test_a_secret_that_every_kind_of_job_uses_is_found_nowhere(
    installation: Installation, recorder: ThreadingHTTPServer, own_valkey: ValkeyServer
) -> None:
    system, at = installation.system, f"http://127.0.0.1:{recorder.server_port}"
    installation.command("secret", "set", "CANARY", "--from", "-", stdin=f"{CANARY}\n")
    call: dict[str, Any] = {
        "url": f"{at}/echo/${{secret:CANARY}}?token=${{secret:CANARY}}",
        "method": "POST",
        "headers": {"Authorization": "Bearer ${secret:CANARY}"},
        "json": {"token": ["${secret:CANARY}"]},
    }
    token = {"token": "${secret:CANARY}"}
    is_prefork = system.settings.worker_pool == "prefork"

    shell = installation.start(
        "shell", "shell", {"command": SHELL, "env": {"TOKEN": "${secret:CANARY}"}}
    )
    # While the command runs: it sleeps in the middle of the secret.
    wait_until(lambda: "token" in installation.log(shell), "the command has begun")
    seen_while_running = command_lines()
    queued = redis_keys(own_valkey)
    runs = {
        "shell": shell,
        "http": installation.start("http", "http", call),
        "fail": installation.start("fail", "http", call | {"url": f"{at}/fail/${{secret:CANARY}}"}),
        "tell": installation.start("tell", f"{TASKS}.tell", token | {"child": is_prefork}),
        "fail-with": installation.start("fail-with", f"{TASKS}.fail_with", token),
        "retry-with": installation.start("retry-with", f"{TASKS}.retry_with", token),
    }
    ended = {name: installation.ended(run_id) for name, run_id in runs.items()}

    # The jobs got the secret itself, and their logs and results show masks in its place.
    logs = {name: installation.log(run_id) for name, run_id in runs.items()}
    assert SHA256 in logs["shell"]
    assert ended["shell"]["exit_code"] == 3
    assert "token ***\n" in logs["shell"]
    assert "again ***\n" in logs["shell"]
    # The handler class is the test's own.
    seen = recorder.RequestHandlerClass.seen  # type: ignore[attr-defined]
    assert [request["authorization"] for request in seen] == [f"Bearer {CANARY}"] * 2
    assert json.loads(seen[0]["body"]) == {"token": [CANARY]}
    assert (ended["http"]["state"], ended["http"]["result"]["status"]) == ("succeeded", 200)
    assert ended["http"]["result"]["headers"]["etag"] == "Bearer ***"
    assert json.loads(ended["http"]["result"]["body"])["headers"]["authorization"] == "Bearer ***"
    assert "answered 418" in ended["fail"]["error"]["message"]
    assert ended["tell"]["result"]["token"] == "***"
    assert ended["tell"]["result"]["***"][0] == "***"
    assert ended["tell"]["progress"]["message"] == "with ***"
    assert ended["tell"]["progress"]["meta"] == {"***": "'***'"}
    assert "token ***" in logs["tell"]
    assert "thread ***" in (logs["tell"] if is_prefork else system.log("worker"))
    assert ("child ***" in logs["tell"]) is is_prefork
    assert "KeyError" in logs["tell"]
    assert ended["fail-with"]["error"]["message"] == "bad token '***'"
    assert "LookupError: no ***" in ended["fail-with"]["error"]["traceback"]
    after = hashlib.sha256(f"{CANARY} after {CANARY}".encode()).hexdigest()
    assert (ended["retry-with"]["attempt"], ended["retry-with"]["result"]) == (2, after)
    assert ended["retry-with"]["kwargs"]["note"] == "after ${secret:CANARY}"

    # The usual actions of people and programs with jobs and secrets, and their mistakes.
    exported = installation.command("job", "export")
    assert "Bearer ${secret:CANARY}" in exported
    installation.command("job", "import", "-", stdin=exported)
    installation.command("secret", "show", "CANARY", "--json")
    installation.command("job", "show", "http", "--json")
    installation.command("run", "show", runs["tell"], "--json")
    for name, run_id in runs.items():
        installation.send("GET", f"/jobs/{name}")
        installation.send("GET", f"/runs/{run_id}/log", headers={"Accept": "application/json"})
        installation.send("GET", f"/runs/{run_id}/log/stream")
        installation.send("GET", f"/jobs/{name}/explain")
    for path in ("/jobs", "/runs", "/secrets", "/secrets/CANARY", "/audit?limit=200", "/queues"):
        assert installation.send("GET", path).status_code == 200
    for body in ({"value": CANARY * 9000}, {"value": CANARY, "valeu": 1}, {"value": [CANARY]}):
        assert installation.send("PUT", "/secrets/CANARY", json=body).status_code == 422
    broken = f'{{"value": "{CANARY}'.encode()
    bad = installation.send(
        "PUT", "/secrets/CANARY", content=broken, headers={"Content-Type": "application/json"}
    )
    assert bad.status_code == 400
    call["headers"] = {"X": "${secret:CANRY}"}
    refused = installation.send("PATCH", "/jobs/http", json={"kwargs": call})
    assert refused.status_code == 422

    places = {
        "rows": rows(system),
        "answers": "\n".join(installation.answers).encode(),
        "command lines": seen_while_running + command_lines(),
        **files(system),
        **queued,
        **redis_keys(own_valkey),
        **{f"log of {name}": system.log(name).encode() for name in system.processes},
    }
    leaks = findings(CANARY, places)
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_whose_secret_is_gone_starts_nothing_and_says_so(
    installation: Installation, tmp_path: Path
) -> None:
    installation.send("PUT", "/secrets/GONE", json={"value": CANARY})
    job = {
        "name": "late",
        "task": "shell",
        "kwargs": {"command": f"touch {tmp_path}/started", "env": {"T": "${secret:GONE}"}},
        "schedule": {"interval_seconds": 1},
    }
    installation.send("POST", "/jobs", json=job | {"schedule": None})
    installation.send("DELETE", "/secrets/GONE?force=true")
    installation.send("PATCH", "/jobs/late", json={"schedule": {"interval_seconds": 1}})
    wait_until(
        lambda: installation.send("GET", "/runs?state=failed").json()["items"],
        "a run of it fails",
        timeout_seconds=20,
    )

    (run, *_) = installation.send("GET", "/runs?state=failed").json()["items"]

    assert run["error"]["type"] == "SecretUnavailable"
    assert "There is no secret 'GONE'" in run["error"]["message"]
    assert run["error"]["traceback"] is None
    assert not (tmp_path / "started").exists()
