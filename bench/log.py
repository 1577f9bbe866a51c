"""Log: a command prints as fast as it can; megabytes a second from it to the stored log.

The same command is timed four times: writing to a file; as a shell job whose whole log is
kept; the same while a client follows it over HTTP and must get every byte; and as a shell
job that prints more than the limit, so that head and tail are kept. A run is timed from its
start to its finish, a followed one to the `end` event of the stream.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy import func, select, update

from bench import report, worker
from bench.peers import Pool
from bench.servers import Servers, running
from jobs_app.accounts import tokens
from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.core.states import FINAL, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import LogChunk, Run

LINE = "2026-06-15 12:00:00 INFO imported 1,000 rows of table customers in 0.41 seconds"
TIMEOUT_SECONDS = 300.0
MEGABYTE = 1_000_000


def command(megabytes: int) -> str:
    """Return a shell command that prints *megabytes* megabytes, line by line."""
    return f"yes '{LINE}' | head -c {megabytes * MEGABYTE}"


def into_a_file(megabytes: int, folder: Path) -> float:
    """Return the megabytes a second of the command that writes to a file."""
    path = folder / "output"
    started = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", f"{command(megabytes)} > {path}"], check=True)
    seconds = time.perf_counter() - started
    path.unlink()
    return megabytes / seconds


@dataclass
class Installation:
    """A database and its settings, with a worker running."""

    settings: Settings
    database: Database

    def start(self, megabytes: int) -> UUID:
        """Queue a run of the command, and return its id."""
        [message] = worker.queue_runs(self.database, "shell", 1)
        kwargs = {"command": command(megabytes)}
        with self.database.session() as session:
            session.execute(update(Run).where(Run.id == message.run_id).values(kwargs=kwargs))
            session.commit()
        worker.send(make_celery(self.settings), [message])
        return message.run_id

    def wait_for_end(self, run_id: UUID) -> Run:
        """Return the run once it has succeeded; raise RuntimeError if it ends otherwise."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            with self.database.reading() as session:
                run = session.get_one(Run, run_id)
            if run.state in FINAL:
                if run.state is not RunState.SUCCEEDED:
                    raise RuntimeError(f"the run ended as {run.state}: {run.error}")
                return run
            time.sleep(0.1)
        raise RuntimeError("the run did not end")

    def kept_bytes(self, run_id: UUID) -> int:
        """Return the characters of its log that are in the database."""
        size = func.sum(func.length(LogChunk.text))
        with self.database.reading() as session:
            return int(session.scalar(select(size).where(LogChunk.run_id == run_id)) or 0)

    @contextmanager
    def web(self, log: Path) -> Iterator[int]:
        """Run the web server and yield its port."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        variables = {
            "JOBS_DATABASE_URL": self.settings.effective_database_url,
            "JOBS_REDIS_URL": str(self.settings.redis_url),
            "JOBS_DATA_DIR": str(self.settings.data_dir),
            "JOBS_PORT": str(port),
            "JOBS_LOG_LEVEL": "WARNING",
        }
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "jobs_app", "web"],
                env=os.environ | variables,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(port)
            yield port
        finally:
            child.terminate()
            child.wait()

    def follow(self, port: int, run_id: UUID) -> tuple[int, datetime]:
        """Follow a log to its end; return the bytes received and the time of the `end` event."""
        with self.database.session() as session:
            token = tokens.create(session, f"reader-{run_id}", at=datetime.now(UTC))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(
            "GET",
            f"/api/v1/runs/{run_id}/log/stream",
            headers={"Authorization": f"Bearer {token}"},
        )
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise RuntimeError(f"{response.status}: {response.read()!r}")
        received, event = 0, b""
        for line in response:
            if line.startswith(b"event: "):
                event = line[7:].strip()
            elif line.startswith(b"data: ") and event == b"chunk":
                received += len(json.loads(line[6:])["text"])
            if event == b"end":
                break
        connection.close()
        return received, datetime.now(UTC)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            connection.getresponse().read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@contextmanager
def _installation(
    servers: Servers, kind: str, limit: int | None, folder: Path
) -> Iterator[Installation]:
    """Start an installation that keeps *limit* megabytes of a log (None: the default)."""
    servers.valkey.flushall()
    environment = {} if limit is None else {"JOBS_LOG_LIMIT_BYTES": str(limit * MEGABYTE)}
    with servers.database(kind) as url:
        settings = Settings(database_url=url, redis_url=servers.valkey.url, data_dir=folder)
        installation = Installation(settings, Database(url))
        with worker.running_worker(
            settings, Pool("prefork", 1), folder / "ours.log", **environment
        ):
            # The first run also waits until the worker is ready.
            installation.wait_for_end(installation.start(1))
            yield installation
        installation.database.close()


def _seconds(run: Run, until: datetime | None = None) -> float:
    end = until or run.finished_at
    if run.started_at is None or end is None:
        raise RuntimeError("the run has not ended")
    return (end - run.started_at).total_seconds()


def all_kept(servers: Servers, kind: str, megabytes: int, folder: Path) -> dict[str, float]:
    """Return megabytes a second: to the stored log, and to a client that follows it."""
    with _installation(servers, kind, 3 * megabytes, folder) as installation:
        alone = installation.start(megabytes)
        run = installation.wait_for_end(alone)
        if installation.kept_bytes(alone) != megabytes * MEGABYTE:
            raise RuntimeError(f"only {installation.kept_bytes(alone)} bytes were kept")
        with installation.web(folder / "web.log") as port:
            followed = installation.start(megabytes)
            received, end_at = installation.follow(port, followed)
        if received != megabytes * MEGABYTE:
            raise RuntimeError(f"only {received} bytes were received")
        seconds = _seconds(installation.wait_for_end(followed), end_at)
        return {"all kept": megabytes / _seconds(run), "and followed live": megabytes / seconds}


def mostly_cut(servers: Servers, kind: str, megabytes: int, folder: Path) -> dict[str, float]:
    """Return megabytes a second of a job with a default limit: a megabyte of its log is kept."""
    with _installation(servers, kind, None, folder) as installation:
        run_id = installation.start(megabytes)
        run = installation.wait_for_end(run_id)
        if not run.log_truncated or run.log_bytes != megabytes * MEGABYTE:
            raise RuntimeError(f"{run.log_bytes} bytes were counted")
        return {"head and tail kept": megabytes / _seconds(run)}


def run(*, quick: bool) -> None:
    """Measure both databases in rounds and print the table."""
    kept, cut = (16, 128) if quick else (64, 512)
    rounds = 1 if quick else 3
    results: dict[str, list[float]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        folder = Path(scratch)
        for number in range(rounds):
            measured = {f"{size} MB into a file": into_a_file(size, folder) for size in (kept, cut)}
            measures: list[tuple[Callable[..., dict[str, float]], int]]
            measures = [(all_kept, kept), (mostly_cut, cut)]
            for kind in ("postgresql", "sqlite"):
                for measure, size in measures:
                    rates = measure(servers, kind, size, folder)
                    measured |= {f"{size} MB, {kind}, {name}": r for name, r in rates.items()}
            for name, rate in measured.items():
                results.setdefault(name, []).append(rate)
            print(
                f"round {number + 1}: { ({k: round(v, 1) for k, v in measured.items()}) }",
                flush=True,
            )
    rows = [
        [name, f"{report.median(values):,.1f}", f"{min(values):,.1f}-{max(values):,.1f}"]
        for name, values in results.items()
    ]
    print("\n" + report.table(["case", "MB/s", "min-max"], rows))
    report.save("log", {"megabytes_per_second": results})
