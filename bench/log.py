"""Log: a command that prints as fast as it can; megabytes a second from it to where they are kept.

The same command is timed writing into a file; as a shell job whose whole log is kept; the
same while somebody follows it over HTTP, who must get every byte; and as a shell job that
prints far more than is kept, of which head and tail stay. A run is timed from its start to
its end, the reader until it sees the end.
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
    """Return a shell command that prints so much, line by line."""
    return f"yes '{LINE}' | head -c {megabytes * MEGABYTE}"


def into_a_file(megabytes: int, folder: Path) -> float:
    """Return the megabytes a second of the command alone."""
    path = folder / "output"
    began = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", f"{command(megabytes)} > {path}"], check=True)
    seconds = time.perf_counter() - began
    path.unlink()
    return megabytes / seconds


@dataclass
class Shop:
    """An installation with a worker that keeps *limit* megabytes of a log."""

    settings: Settings
    database: Database

    def start(self, megabytes: int) -> UUID:
        """Have the command run, and return which run that is."""
        [message] = worker.queue_runs(self.database, "shell", 1)
        kwargs = {"command": command(megabytes)}
        with self.database.session() as session:
            session.execute(update(Run).where(Run.id == message.run_id).values(kwargs=kwargs))
            session.commit()
        worker.send(make_celery(self.settings), [message])
        return message.run_id

    def ended(self, run_id: UUID) -> Run:
        """Wait for the end of a run."""
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
        """Return how much of its log lies in the database."""
        size = func.sum(func.length(LogChunk.text))
        with self.database.reading() as session:
            return int(session.scalar(select(size).where(LogChunk.run_id == run_id)) or 0)

    @contextmanager
    def web(self, log: Path) -> Iterator[int]:
        """Run the web server and lend its port."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        said = {
            "JOBS_DATABASE_URL": self.settings.effective_database_url,
            "JOBS_REDIS_URL": str(self.settings.redis_url),
            "JOBS_DATA_DIR": str(self.settings.data_dir),
            "JOBS_PORT": str(port),
            "JOBS_LOG_LEVEL": "WARNING",
        }
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "jobs_app", "web"],
                env=os.environ | said,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for_answer(port)
            yield port
        finally:
            child.terminate()
            child.wait()

    def follow(self, port: int, run_id: UUID) -> tuple[int, datetime]:
        """Follow a log to its end; return how many bytes came, and when its end was seen."""
        with self.database.session() as session:
            token = tokens.create(session, f"reader-{run_id}", at=datetime.now(UTC))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(
            "GET",
            f"/api/v1/runs/{run_id}/log/stream",
            headers={"Authorization": f"Bearer {token}"},
        )
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{answer.status}: {answer.read()!r}")
        came, event = 0, b""
        for line in answer:
            if line.startswith(b"event: "):
                event = line[7:].strip()
            elif line.startswith(b"data: ") and event == b"chunk":
                came += len(json.loads(line[6:])["text"])
            if event == b"end":
                break
        connection.close()
        return came, datetime.now(UTC)


def _wait_for_answer(port: int) -> None:
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
def _shop(servers: Servers, kind: str, limit: int | None, folder: Path) -> Iterator[Shop]:
    """Open an installation that keeps *limit* megabytes of a log; None: what it keeps unasked."""
    servers.valkey.flushall()
    environment = {} if limit is None else {"JOBS_LOG_LIMIT_BYTES": str(limit * MEGABYTE)}
    with servers.database(kind) as url:
        settings = Settings(database_url=url, redis_url=servers.valkey.url, data_dir=folder)
        shop = Shop(settings, Database(url))
        with worker.running_worker(
            settings, Pool("prefork", 1), folder / "ours.log", **environment
        ):
            # The first run waits for the worker to be there.
            shop.ended(shop.start(1))
            yield shop
        shop.database.close()


def _seconds(run: Run, until: datetime | None = None) -> float:
    end = until or run.finished_at
    if run.started_at is None or end is None:
        raise RuntimeError("the run has not ended")
    return (end - run.started_at).total_seconds()


def all_kept(servers: Servers, kind: str, megabytes: int, folder: Path) -> dict[str, float]:
    """Return megabytes a second: to the store, and to somebody who reads along."""
    with _shop(servers, kind, 3 * megabytes, folder) as shop:
        alone = shop.start(megabytes)
        run = shop.ended(alone)
        if shop.kept_bytes(alone) != megabytes * MEGABYTE:
            raise RuntimeError(f"only {shop.kept_bytes(alone)} bytes were kept")
        with shop.web(folder / "web.log") as port:
            followed = shop.start(megabytes)
            came, end_seen_at = shop.follow(port, followed)
        if came != megabytes * MEGABYTE:
            raise RuntimeError(f"only {came} bytes came")
        until_end_seen = _seconds(shop.ended(followed), end_seen_at)
        return {
            "all kept": megabytes / _seconds(run),
            "and followed live": megabytes / until_end_seen,
        }


def mostly_cut(servers: Servers, kind: str, megabytes: int, folder: Path) -> dict[str, float]:
    """Return megabytes a second of a job of whose output a megabyte is kept."""
    with _shop(servers, kind, None, folder) as shop:
        run_id = shop.start(megabytes)
        run = shop.ended(run_id)
        if not run.log_truncated or run.log_bytes != megabytes * MEGABYTE:
            raise RuntimeError(f"{run.log_bytes} bytes were counted")
        return {"head and tail kept": megabytes / _seconds(run)}


def run(*, quick: bool) -> None:
    """Measure both databases in rounds and print the table."""
    kept, cut = (16, 128) if quick else (64, 512)
    rounds = 1 if quick else 3
    found: dict[str, list[float]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        folder = Path(scratch)
        for number in range(rounds):
            measured = {f"{size} MB into a file": into_a_file(size, folder) for size in (kept, cut)}
            measures: list[tuple[Callable[..., dict[str, float]], int]]
            measures = [(all_kept, kept), (mostly_cut, cut)]
            for kind in ("postgresql", "sqlite"):
                for measure, size in measures:
                    of_this = measure(servers, kind, size, folder)
                    measured |= {f"{size} MB, {kind}, {what}": v for what, v in of_this.items()}
            for what, value in measured.items():
                found.setdefault(what, []).append(value)
            print(
                f"round {number + 1}: { ({k: round(v, 1) for k, v in measured.items()}) }",
                flush=True,
            )
    rows = [
        [what, f"{report.middle(values):,.1f}", f"{min(values):,.1f}-{max(values):,.1f}"]
        for what, values in found.items()
    ]
    print("\n" + report.table(["what", "MB/s", "min-max"], rows))
    report.save("log", {"megabytes_per_second": found})
