"""Latency: one message at a time goes to an idle worker; milliseconds to start and to result.

The task returns its start time. The first time is from just before the send to that start;
jobs-app has claimed the run by then. The second is from the start until the result can be
read, in jobs-app's database or Celery's backend. The reader polls every half a millisecond.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select

from bench import peers, report, worker
from bench.peers import Pool
from bench.servers import Servers, running
from bench.throughput import POOLS, Bare
from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.core.states import FINAL
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run

#: Messages before the measured ones.
WARM_UP = 20
PAUSE_SECONDS = 0.02
POLL_SECONDS = 0.0005
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Times:
    """Milliseconds of every message: to its task's start, and from there to the result."""

    to_start: list[float]
    to_result: list[float]

    @classmethod
    def of(cls, pairs: list[tuple[float, float]]) -> "Times":
        """Return the sorted times, without those of the warm-up."""
        measured = pairs[WARM_UP:]
        return cls(sorted(start for start, _ in measured), sorted(end for _, end in measured))

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return the percentiles by name."""
        return {
            "to_start_ms": _percentiles(self.to_start),
            "to_result_ms": _percentiles(self.to_result),
        }


def _percentiles(values: list[float]) -> dict[str, float]:
    at = {"p50": len(values) // 2, "p99": len(values) * 99 // 100}
    return {name: round(values[index], 2) for name, index in at.items()}


def ours(servers: Servers, kind: str, pool: Pool, trials: int, folder: Path) -> Times:
    """Measure jobs-app with a database of *kind*."""
    servers.valkey.flushall()
    with servers.database(kind) as url:
        settings = Settings(database_url=url, redis_url=servers.valkey.url, data_dir=folder)
        app, database = make_celery(settings), Database(url)
        messages = worker.queue_runs(database, "bench.instant", WARM_UP + trials)
        pairs = []
        with worker.running_worker(settings, pool, folder / "ours.log"):
            for message in messages:
                sent = time.time()
                worker.send(app, [message])
                began = _result(database, message.run_id)
                pairs.append(((began - sent) * 1000, (time.time() - began) * 1000))
                time.sleep(PAUSE_SECONDS)
        database.close()
    return Times.of(pairs)


def _result(database: Database, run_id: Any) -> float:
    """Wait until a run has finished, and return its result."""
    statement = select(Run.state, Run.result).where(Run.id == run_id)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        with database.reading() as session:
            row = session.execute(statement).one()
        if row.state in FINAL:
            return float(row.result)
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"run {run_id} did not finish")


def bare(servers: Servers, backend: str, pool: Pool, trials: int, folder: Path) -> Times:
    """Measure bare Celery with a result backend."""
    servers.valkey.flushall()
    kind = "sqlite" if backend == "redis" else backend
    with servers.database(kind) as url:
        environment = Bare(backend).environment(servers, url)
        with peers.worker(pool, environment, folder / "bare.log"):
            output = peers.run_script(
                "time_noop.py", [WARM_UP + trials, PAUSE_SECONDS], environment
            )
    return Times.of(json.loads(output))


Measure = Callable[[Servers, Pool, int, Path], Times]

CONTENDERS: dict[str, Measure] = {
    "ours, PostgreSQL": lambda servers, *rest: ours(servers, "postgresql", *rest),
    "bare, SQL backend on PostgreSQL": lambda servers, *rest: bare(servers, "postgresql", *rest),
    "ours, SQLite": lambda servers, *rest: ours(servers, "sqlite", *rest),
    "bare, SQL backend on SQLite": lambda servers, *rest: bare(servers, "sqlite", *rest),
    "bare, Redis backend": lambda servers, *rest: bare(servers, "redis", *rest),
}


def run(*, quick: bool) -> None:
    """Measure all contenders with both pools and print the table."""
    trials = 100 if quick else 500
    results: dict[str, dict[str, Times]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        for name, pool in POOLS.items():
            results[name] = {}
            for system, measure in CONTENDERS.items():
                times = results[name][system] = measure(servers, pool, trials, Path(scratch))
                print(f"{name}, {system}: {times.as_json()}", flush=True)
    rows = []
    for name, by_system in results.items():
        for system, times in by_system.items():
            percentiles = (*times.as_json().values(),)
            rows.append([name, system, *(f"{ms:.1f}" for by in percentiles for ms in by.values())])
    headings = ["pool", "system", "to start, p50", "p99", "to result, p50", "p99"]
    print("\n" + report.table(headings, rows))
    as_json = {
        pool: {system: times.as_json() for system, times in by_system.items()}
        for pool, by_system in results.items()
    }
    report.save("latency", {"peers": peers.versions(), "trials": trials, "latency": as_json})
