"""Steady: 100,000 schedules, 1/60 of them due each second; how late are their messages?

A consumer stands beside the scheduler and notes when each message comes: its lag is
that instant less the fire's. It ends the runs, as workers would, a few hundred at a
time. CPU and memory are the scheduler's own.
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
#: Left out at the start: entries are read for the first time, caches fill.
WARM_SECONDS = 5
#: Runs that the consumer ends in one transaction.
ENDED_AT_ONCE = 200
TAKEN_AT_ONCE = 500


@dataclass(frozen=True)
class Measured:
    """Lags in milliseconds, cores, megabytes, and seconds from the start to the first tick."""

    messages: int
    p50: float
    p99: float
    worst: float
    cores: float
    megabytes: float
    ready_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "messages": self.messages,
            "lag_ms": {"p50": self.p50, "p99": self.p99, "max": self.worst},
            "cpu_cores": self.cores,
            "memory_mb": self.megabytes,
            "first_tick_seconds": self.ready_seconds,
        }


class Consumer:
    """Takes messages out of the broker and notes when each came; another thread ends their runs."""

    def __init__(self, redis_url: str, keys: list[str], database_url: str) -> None:
        self._client = Redis.from_url(redis_url)
        self._database = Database(database_url)
        self._keys = keys
        self._is_over = threading.Event()
        self._open: deque[str] = deque()
        self._threads = [threading.Thread(target=each) for each in (self._take, self._end)]
        self.came: dict[str, float] = {}

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def _take(self) -> None:
        while not self._is_over.is_set():
            for key in self._keys:
                texts = self._client.rpop(key, TAKEN_AT_ONCE)
                at = time.time()
                for text in texts or ():  # type: ignore[union-attr]
                    run_id = json.loads(text)["headers"]["id"]
                    # Only its first message counts: a second one is a hint too many.
                    self.came.setdefault(run_id, at)
                    self._open.append(run_id)
            time.sleep(0.002)

    def _end(self) -> None:
        while not self._is_over.is_set():
            ended = [self._open.popleft() for _ in range(min(len(self._open), ENDED_AT_ONCE))]
            if ended:
                self._write_ends([UUID(run_id) for run_id in ended])
            # Workers take their time: not all of a second's runs end at its beginning.
            time.sleep(0.05)

    def _write_ends(self, run_ids: list[UUID]) -> None:
        at = datetime.now(UTC)
        with self._database.session() as session:
            mine = in_values(session, Run.id, run_ids)
            values = {"state": RunState.SUCCEEDED, "started_at": at, "finished_at": at}
            statement = update(Run).where(mine, Run.state == RunState.QUEUED).values(values)
            session.execute(statement.execution_options(synchronize_session=False))
            session.commit()

    def stop(self) -> dict[str, float]:
        """Return when the first message of each run came."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._database.close()
        return self.came


def measure(servers: Servers, kind: str, count: int, seconds: int, folder: Path) -> Measured:
    """Run *count* schedules for *seconds* with a database of *kind*."""
    servers.valkey.flushall()
    with servers.database(kind) as url:
        settings = Settings(
            database_url=url, redis_url=servers.valkey.url, redis_prefix="jobs:", data_dir=folder
        )
        installation = Installation(settings, folder / "steady.log")
        installation.fill(count, every_seconds=PERIOD_SECONDS)
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=12 + count / 2500)
        installation.make_due(at=at, seconds=PERIOD_SECONDS)
        consumer = Consumer(servers.valkey.url, installation.queues, url)
        with installation.scheduler() as scheduler:
            late = datetime.now(UTC) - at
            if late > timedelta(0):
                raise RuntimeError(f"the scheduler was ready {late} after the first fire")
            consumer.start()
            begin = at + timedelta(seconds=WARM_SECONDS)
            _sleep_until(begin)
            process = psutil.Process(scheduler.pid)
            used = sum(process.cpu_times()[:2])
            _sleep_until(begin + timedelta(seconds=seconds))
            cores = (sum(process.cpu_times()[:2]) - used) / seconds
            megabytes = process.memory_info().rss / 1e6
            time.sleep(1)
        lags = _lags(url, consumer.stop(), begin, begin + timedelta(seconds=seconds))
    # Each second of the period has its own schedules; the first ones have one more.
    expected = sum(
        len(range(second % PERIOD_SECONDS, count, PERIOD_SECONDS))
        for second in range(WARM_SECONDS, WARM_SECONDS + seconds)
    )
    if abs(len(lags) - expected) > expected // 100 + 1:
        raise RuntimeError(f"{len(lags)} messages instead of {expected}")
    return Measured(
        len(lags),
        lags[len(lags) // 2],
        lags[len(lags) * 99 // 100],
        lags[-1],
        round(cores, 3),
        round(megabytes, 1),
        round(scheduler.ready_seconds, 2),
    )


def _lags(url: str, came: dict[str, float], begin: datetime, end: datetime) -> list[float]:
    """Return the lags, sorted, in milliseconds, of the fires in [*begin*, *end*)."""
    database = Database(url)
    statement = select(Run.id, Run.scheduled_for).where(
        Run.scheduled_for >= begin, Run.scheduled_for < end
    )
    with database.reading() as session:
        rows = session.execute(statement).all()
    database.close()
    return sorted(
        round((came[str(row.id)] - row.scheduled_for.timestamp()) * 1000, 2)
        for row in rows
        if row.scheduled_for is not None and str(row.id) in came
    )


def _sleep_until(at: datetime) -> None:
    time.sleep(max((at - datetime.now(UTC)).total_seconds(), 0))


def run(*, quick: bool) -> None:
    """Measure both databases, and a hundred schedules for comparison, and print the table."""
    sizes = [100, 20_000] if quick else [100, 100_000]
    seconds = 20 if quick else 60
    found: dict[str, Measured] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        for kind in ("postgresql", "sqlite"):
            for count in sizes:
                found[f"{count:,} on {kind}"] = measure(
                    servers, kind, count, seconds, Path(scratch)
                )
                print(f"{count:,} on {kind}: {found[f'{count:,} on {kind}']}", flush=True)
    headings = ["schedules", "messages", "p50", "p99", "max", "CPU, cores", "memory", "first tick"]
    rows = [
        [
            name,
            f"{each.messages:,}",
            *(f"{value:,.0f} ms" for value in (each.p50, each.p99, each.worst)),
            f"{each.cores:.2f}",
            f"{each.megabytes:.0f} MB",
            f"{each.ready_seconds:.1f} s",
        ]
        for name, each in found.items()
    ]
    print("\n" + report.table(headings, rows))
    report.save("steady", {name: each.as_json() for name, each in found.items()})
