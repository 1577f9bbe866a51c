"""Throughput: runs per second of a task that does nothing, through one worker.

jobs-app commits every claim and every finish. Bare Celery runs the same task with the same
settings (early acknowledgement, no prefetching): without a result backend, with the
SQLAlchemy backend and with the Redis backend. Some of these run once more with Celery's
default prefetching. All messages are in the broker before the worker starts. The rate is
taken between the end of the warm-up and the last run. The CPU time per run, of all
processes, depends less on how busy the machine is.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from redis import Redis
from sqlalchemy import func, select

from bench import peers, report, worker
from bench.ours import PRIORITY_SUFFIX
from bench.peers import Pool
from bench.servers import Servers, running
from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run

POOLS = {"prefork 2": Pool("prefork", 2), "threads 8": Pool("threads", 8)}
#: Runs before the measured ones: connections open, caches fill.
WARM_UP = 100
#: Without prefetching, Celery's thread pool gets no event when a task ends: it waits for a timer
#: if tasks last longer than their dispatch. Such a pool gets this many times fewer runs.
SLOW_POOL_SHARE = 10
TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True)
class Rates:
    """Runs per second, and CPU milliseconds per run: of the worker, and of both servers."""

    runs_per_second: float
    worker_ms: float
    servers_ms: float


class Cpu:
    """The CPU time of a worker and of the servers, from the first sample after the warm-up."""

    def __init__(self, servers: Servers, worker_pid: int, keys: list[str], count: int) -> None:
        self._trees = ([worker_pid], [servers.valkey.pid, servers.postgres.pid])
        self._url, self._keys, self._count = servers.valkey.url, keys, count
        self._seconds_before: list[float] = []
        self._runs = 0

    def sample(self) -> None:
        """Start counting if the warm-up is over."""
        with Redis.from_url(self._url) as client:
            lengths: list[Any] = [client.llen(key) for key in self._keys]
        if not self._seconds_before and 0 < sum(lengths) <= self._count:
            self._runs, self._seconds_before = sum(lengths), self._used()

    def milliseconds(self) -> list[float]:
        """Return the CPU milliseconds per run, once all runs are done."""
        if not self._seconds_before:
            return [0.0, 0.0]
        pairs = zip(self._used(), self._seconds_before, strict=True)
        return [round((now - before) * 1000 / self._runs, 3) for now, before in pairs]

    def _used(self) -> list[float]:
        return [sum(_cpu_seconds(pid) for pid in pids) for pids in self._trees]


def _cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    processes = (process, *process.children(recursive=True))
    return float(sum(sum(member.cpu_times()[:2]) for member in processes))


def ours(servers: Servers, kind: str, pool: Pool, count: int, folder: Path) -> Rates:
    """Measure jobs-app with a database of *kind*."""
    servers.valkey.flushall()
    with servers.database(kind) as url:
        settings = Settings(database_url=url, redis_url=servers.valkey.url, data_dir=folder)
        database, log = Database(url), folder / "ours.log"
        messages = worker.queue_runs(database, "bench.noop", WARM_UP + count)
        worker.send(make_celery(settings), messages)
        keys = [f"{settings.redis_prefix}default{PRIORITY_SUFFIX}"]
        with worker.running_worker(settings, pool, log) as child:
            cpu = Cpu(servers, child.pid, keys, count)
            _wait_until(lambda: _are_all_done(database, len(messages)), cpu, log)
            used = cpu.milliseconds()
        with database.reading() as session:
            finishes = sorted(
                at.timestamp() for at in session.scalars(select(Run.finished_at)) if at
            )
        database.close()
        return Rates(count / (finishes[-1] - finishes[WARM_UP - 1]), *used)


def _are_all_done(database: Database, count: int) -> bool:
    with database.reading() as session:
        done = session.scalar(select(func.count()).where(Run.state == RunState.SUCCEEDED))
    return done == count


@dataclass(frozen=True)
class Bare:
    """A variant of bare Celery: its result backend, and whether it prefetches messages."""

    backend: str | None = None
    has_prefetch: bool = False

    def environment(self, servers: Servers, database_url: str) -> dict[str, str]:
        """Return the environment variables that `noops` reads."""
        backend = {
            None: "",
            "redis": servers.valkey.url,
            "postgresql": f"db+{database_url}",
            "sqlite": f"db+{database_url}",
        }[self.backend]
        return {
            "BENCH_REDIS_URL": servers.valkey.url,
            "BENCH_BACKEND": backend,
            "BENCH_PREFETCH": "1" if self.has_prefetch else "",
        }

    def measure(self, servers: Servers, pool: Pool, count: int, folder: Path) -> Rates:
        """Measure this variant."""
        servers.valkey.flushall()
        if pool.name == "threads" and self.backend and not self.has_prefetch:
            count //= SLOW_POOL_SHARE
        kind = "sqlite" if self.backend in (None, "redis") else self.backend
        with servers.database(kind) as url, Redis.from_url(servers.valkey.url) as client:
            environment = self.environment(servers, url)
            log = folder / "bare.log"
            peers.run_script("fill_noops.py", [WARM_UP, count], environment)
            with peers.worker(pool, environment, log) as pid:
                cpu = Cpu(servers, pid, ["celery"], count)
                _wait_until(lambda: client.llen(peers.MARKS) == 2, cpu, log)
                used = cpu.milliseconds()
            marks: Any = client.lrange(peers.MARKS, 0, -1)
            first, last = sorted(map(float, marks))
            return Rates(count / (last - first), *used)


def _wait_until(is_done: Callable[[], bool], cpu: Cpu, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the runs did not finish:\n{log.read_text()[-2000:]}")
        cpu.sample()
        # Rarely: on two cores the polling itself costs throughput.
        time.sleep(0.25)


Measure = Callable[[Servers, Pool, int, Path], Rates]

BARE, REDIS = "bare, no backend", "bare, Redis backend"

#: The contenders in the order of a round.
CONTENDERS: dict[str, Measure] = {
    BARE: Bare().measure,
    "ours, PostgreSQL": lambda servers, *rest: ours(servers, "postgresql", *rest),
    "bare, SQL backend on PostgreSQL": Bare("postgresql").measure,
    "bare, SQL backend on PostgreSQL, prefetching": Bare("postgresql", has_prefetch=True).measure,
    "ours, SQLite": lambda servers, *rest: ours(servers, "sqlite", *rest),
    "bare, SQL backend on SQLite": Bare("sqlite").measure,
    "bare, SQL backend on SQLite, prefetching": Bare("sqlite", has_prefetch=True).measure,
    REDIS: Bare("redis").measure,
    f"{BARE}, prefetching": Bare(has_prefetch=True).measure,
}
#: jobs-app, and Celery with its backend in the same database.
SAME_DATABASE = {
    "ours, PostgreSQL": "bare, SQL backend on PostgreSQL",
    "ours, SQLite": "bare, SQL backend on SQLite",
}


def run(*, quick: bool) -> None:
    """Measure all in rounds and print the table."""
    count, rounds = (800, 1) if quick else (2_000, 3)
    results: dict[str, dict[str, list[Rates]]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        for name, pool in POOLS.items():
            by_system = results[name] = {system: [] for system in CONTENDERS}
            for number in range(rounds):
                for system, measure in CONTENDERS.items():
                    by_system[system].append(measure(servers, pool, count, Path(scratch)))
                rates = [
                    f"{system}: {v[-1].runs_per_second:,.0f}" for system, v in by_system.items()
                ]
                print(f"{name}, round {number + 1}: {'  '.join(rates)}", flush=True)
    print("\n" + _table(results))
    as_json = {
        pool: {system: [asdict(value) for value in values] for system, values in by_system.items()}
        for pool, by_system in results.items()
    }
    report.save("throughput", {"peers": peers.versions(), "measured": as_json})


def _table(results: dict[str, dict[str, list[Rates]]]) -> str:
    rows = []
    for pool, by_system in results.items():
        rates = {system: [value.runs_per_second for value in v] for system, v in by_system.items()}
        medians = {system: report.median(values) for system, values in rates.items()}
        for system, values in rates.items():
            peer_rates: tuple[float, ...] = ()
            if system in SAME_DATABASE:
                # Compare with the better one: the same settings, or Celery's default prefetching.
                sql = [medians[SAME_DATABASE[system] + end] for end in ("", ", prefetching")]
                peer_rates = (medians[BARE], max(sql), medians[REDIS])
            rows.append(
                [
                    *(
                        pool,
                        system,
                        f"{medians[system]:,.0f}",
                        f"{min(values):,.0f}-{max(values):,.0f}",
                    ),
                    *(f"{medians[system] / other:.2f}×" for other in peer_rates),
                    *("" for _ in range(3 - len(peer_rates))),
                    f"{report.median([value.worker_ms for value in by_system[system]]):.2f}",
                    f"{report.median([value.servers_ms for value in by_system[system]]):.2f}",
                ]
            )
    headings = ["pool", "system", "runs/s", "min-max", "× no backend", "× SQL backend", "× Redis"]
    return report.table([*headings, "CPU ms, worker", "CPU ms, servers"], rows)
