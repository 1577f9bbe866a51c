"""Steady: 100,000 schedules, 1/60 of them due each second; how late are their messages?

A consumer reads the messages and notes the time of each: the lag is that time minus the
fire's. It finishes the runs, as workers would, a few hundred in a transaction. CPU and
memory are those of the scheduler process.
"""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import psutil
from redis import Redis
from sqlalchemy import select, update

from bench import report
from bench.ours import Installation
from bench.servers import Servers, running
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.bulk_sql import in_values
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run

PERIOD_SECONDS = 60
#: Not measured: at the start entries are read for the first time, and caches fill.
WARM_SECONDS = 5
#: Runs that the consumer finishes in one transaction.
FINISH_BATCH = 200
RECEIVE_BATCH = 500
#: Jobs that a slow machine can make due in a second.
MADE_DUE_PER_SECOND = 5000


@dataclass(frozen=True)
class SteadyResult:
    """Lags in milliseconds, cores, megabytes, and seconds from the start to the first tick."""

    messages: int
    p50: float
    p99: float
    worst: float
    cores: float
    megabytes_before: float
    megabytes: float
    ready_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "messages": self.messages,
            "lag_ms": {"p50": self.p50, "p99": self.p99, "max": self.worst},
            "cpu_cores": self.cores,
            "memory_mb": {"before": self.megabytes_before, "after": self.megabytes},
            "first_tick_seconds": self.ready_seconds,
        }


class Consumer:
    """Receives messages and notes the time of each; a second thread finishes their runs."""

    def __init__(self, redis_url: str, keys: list[str], database_url: str) -> None:
        self._client = Redis.from_url(redis_url)
        self._database = Database(database_url)
        self._keys = keys
        self._stopping = threading.Event()
        self._received: deque[str] = deque()
        self._threads = [threading.Thread(target=loop) for loop in (self._receive, self._finish)]
        self.received_at: dict[str, float] = {}

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def _receive(self) -> None:
        while not self._stopping.is_set():
            for key in self._keys:
                texts: Any = self._client.rpop(key, RECEIVE_BATCH)
                at = time.time()
                for text in texts or ():
                    run_id = json.loads(text)["headers"]["id"]
                    # Only the first message of a run counts; a second one is a resend.
                    self.received_at.setdefault(run_id, at)
                    self._received.append(run_id)
            time.sleep(0.002)

    def _finish(self) -> None:
        while not self._stopping.is_set():
            run_ids = [
                self._received.popleft() for _ in range(min(len(self._received), FINISH_BATCH))
            ]
            if run_ids:
                self._write_finishes([UUID(run_id) for run_id in run_ids])
            # Spread the finishes over the second, as workers would.
            time.sleep(0.05)

    def _write_finishes(self, run_ids: list[UUID]) -> None:
        at = datetime.now(UTC)
        with self._database.session() as session:
            are_these = in_values(session, Run.id, run_ids)
            values = {"state": RunState.SUCCEEDED, "started_at": at, "finished_at": at}
            statement = update(Run).where(are_these, Run.state == RunState.QUEUED).values(values)
            session.execute(statement.execution_options(synchronize_session=False))
            session.commit()

    def stop(self) -> dict[str, float]:
        """Stop both threads; return the time of each run's first message, by run id."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._database.close()
        return self.received_at


def measure(
    servers: Servers,
    kind: str,
    count: int,
    seconds: int,
    folder: Path,
    *,
    period_seconds: int = PERIOD_SECONDS,
) -> SteadyResult:
    """Run *count* schedules, each due every *period_seconds*, for *seconds*.

    The database is of *kind*.
    """
    servers.valkey.flushall()
    with servers.database(kind) as url:
        settings = Settings(
            database_url=url, redis_url=servers.valkey.url, redis_prefix="jobs:", data_dir=folder
        )
        installation = Installation(settings, folder / "steady.log")
        installation.fill(count, every_seconds=period_seconds)
        wait_seconds = 12 + count / MADE_DUE_PER_SECOND
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=wait_seconds)
        installation.make_due(at=at, seconds=period_seconds)
        consumer = Consumer(servers.valkey.url, installation.queues, url)
        with installation.scheduler() as scheduler:
            delay = datetime.now(UTC) - at
            if delay > timedelta(0):
                raise RuntimeError(f"the scheduler was ready {delay} after the first fire")
            consumer.start()
            begin = at + timedelta(seconds=WARM_SECONDS)
            _sleep_until(begin)
            process = psutil.Process(scheduler.pid)
            cpu_before = sum(process.cpu_times()[:2])
            megabytes_before = process.memory_info().rss / 1e6
            _sleep_until(begin + timedelta(seconds=seconds))
            cores = (sum(process.cpu_times()[:2]) - cpu_before) / seconds
            megabytes = process.memory_info().rss / 1e6
            time.sleep(1)
        lags = _lags(url, consumer.stop(), begin, begin + timedelta(seconds=seconds))
    # Each second of the period has its own share of the schedules; the first shares have one more.
    expected = sum(
        len(range(second % period_seconds, count, period_seconds))
        for second in range(WARM_SECONDS, WARM_SECONDS + seconds)
    )
    if abs(len(lags) - expected) > expected // 100 + 1:
        raise RuntimeError(f"{len(lags)} messages instead of {expected}")
    return SteadyResult(
        len(lags),
        lags[len(lags) // 2],
        lags[len(lags) * 99 // 100],
        lags[-1],
        round(cores, 3),
        round(megabytes_before, 1),
        round(megabytes, 1),
        round(scheduler.ready_seconds, 2),
    )


def _lags(url: str, received_at: dict[str, float], begin: datetime, end: datetime) -> list[float]:
    """Return the sorted lags of the fires in [*begin*, *end*), in milliseconds."""
    database = Database(url)
    statement = select(Run.id, Run.scheduled_for).where(
        Run.scheduled_for >= begin, Run.scheduled_for < end
    )
    with database.reading() as session:
        rows = session.execute(statement).all()
    database.close()
    return sorted(
        round((received_at[str(row.id)] - row.scheduled_for.timestamp()) * 1000, 2)
        for row in rows
        if row.scheduled_for is not None and str(row.id) in received_at
    )


def _sleep_until(at: datetime) -> None:
    time.sleep(max((at - datetime.now(UTC)).total_seconds(), 0))


def run(*, quick: bool) -> None:
    """Measure both databases, with many schedules and with a hundred, and print the table."""
    sizes = [100, 20_000] if quick else [100, 100_000]
    seconds = 20 if quick else 60
    results: dict[str, SteadyResult] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        for kind in ("postgresql", "sqlite"):
            for count in sizes:
                results[f"{count:,} on {kind}"] = measure(
                    servers, kind, count, seconds, Path(scratch)
                )
                print(f"{count:,} on {kind}: {results[f'{count:,} on {kind}']}", flush=True)
    print(f"\n{table(results)}")
    report.save("steady", {name: result.as_json() for name, result in results.items()})


def table(results: dict[str, SteadyResult]) -> str:
    """Return the results by name as a table."""
    headings = ["schedules", "messages", "p50", "p99", "max", "CPU, cores", "memory", "first tick"]
    rows = [
        [
            name,
            f"{result.messages:,}",
            *(f"{value:,.0f} ms" for value in (result.p50, result.p99, result.worst)),
            f"{result.cores:.2f}",
            f"{result.megabytes_before:.0f} to {result.megabytes:.0f} MB",
            f"{result.ready_seconds:.1f} s",
        ]
        for name, result in results.items()
    ]
    return report.table(headings, rows)
