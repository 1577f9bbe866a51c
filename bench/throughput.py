"""Throughput: runs of a task that does nothing, through one worker, per second.

Ours claims each run and writes how it ended, every claim and every end a commit of its
own, and notes the worker. Bare Celery runs the same task with the same settings (early
acknowledgement, no prefetching) and no result backend, which writes nothing; with its
SQLAlchemy backend and with its Redis one; and some of these once more as Celery comes,
taking messages ahead. All messages lie in the broker before a worker starts. What
is measured is the time between two of them, the first one after a warm-up; and the CPU
time of all processes, a run's share of it, which a busy machine changes less.
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
#: Runs before those that are measured: connections open, caches fill.
WARM_UP = 100
#: A worker with threads and without prefetch does not notice that a task has ended: where tasks
#: last longer than it takes to hand them out, Celery waits for a timer. So many fewer, then.
FEWER = 10
TIMEOUT_SECONDS = 180.0


@dataclass(frozen=True)
class Measured:
    """Runs a second, and milliseconds of CPU a run: the worker's, and both servers'."""

    runs_per_second: float
    worker_ms: float
    servers_ms: float


class Cpu:
    """The CPU time of a worker and of the servers, from the first look after the warm-up."""

    def __init__(self, servers: Servers, worker_pid: int, keys: list[str], count: int) -> None:
        self._trees = ([worker_pid], [servers.valkey.pid, servers.postgres.pid])
        self._url, self._keys, self._count = servers.valkey.url, keys, count
        self._since: list[float] = []
        self._runs = 0

    def look(self) -> None:
        """Begin to count, if the warm-up is over."""
        with Redis.from_url(self._url) as client:
            lengths: list[Any] = [client.llen(key) for key in self._keys]
        if not self._since and 0 < sum(lengths) <= self._count:
            self._runs, self._since = sum(lengths), self._used()

    def milliseconds(self) -> list[float]:
        """Return a run's share, once all are done."""
        if not self._since:
            return [0.0, 0.0]
        used = zip(self._used(), self._since, strict=True)
        return [round((now - then) * 1000 / self._runs, 3) for now, then in used]

    def _used(self) -> list[float]:
        return [sum(_cpu_seconds(pid) for pid in pids) for pids in self._trees]


def _cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def ours(servers: Servers, kind: str, pool: Pool, count: int, folder: Path) -> Measured:
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
            ends = sorted(at.timestamp() for at in session.scalars(select(Run.finished_at)) if at)
        database.close()
        return Measured(count / (ends[-1] - ends[WARM_UP - 1]), *used)


def _are_all_done(database: Database, count: int) -> bool:
    with database.reading() as session:
        done = session.scalar(select(func.count()).where(Run.state == RunState.SUCCEEDED))
    return done == count


@dataclass(frozen=True)
class Bare:
    """A variant of bare Celery: its result backend, and whether it takes messages ahead."""

    backend: str | None = None
    has_prefetch: bool = False

    def environment(self, servers: Servers, database_url: str) -> dict[str, str]:
        """Return the variables that `noops` reads."""
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

    def measure(self, servers: Servers, pool: Pool, count: int, folder: Path) -> Measured:
        """Measure it."""
        servers.valkey.flushall()
        if pool.name == "threads" and self.backend and not self.has_prefetch:
            count //= FEWER
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
            return Measured(count / (last - first), *used)


def _wait_until(claim: Callable[[], bool], cpu: Cpu, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not claim():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the runs did not end:\n{log.read_text()[-2000:]}")
        cpu.look()
        # Rarely: on two cores whoever looks is in the way.
        time.sleep(0.25)


Measure = Callable[[Servers, Pool, int, Path], Measured]

BARE, REDIS = "bare, no backend", "bare, Redis backend"

#: Who is measured, in the order of a round.
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
#: Ours, and Celery's backend in the same database.
SAME_DATABASE = {
    "ours, PostgreSQL": "bare, SQL backend on PostgreSQL",
    "ours, SQLite": "bare, SQL backend on SQLite",
}


def run(*, quick: bool) -> None:
    """Measure all in rounds and print the table."""
    count, rounds = (800, 1) if quick else (2_000, 3)
    found: dict[str, dict[str, list[Measured]]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        for name, pool in POOLS.items():
            by_who = found[name] = {who: [] for who in CONTENDERS}
            for number in range(rounds):
                for who, measure in CONTENDERS.items():
                    by_who[who].append(measure(servers, pool, count, Path(scratch)))
                said = [f"{who}: {each[-1].runs_per_second:,.0f}" for who, each in by_who.items()]
                print(f"{name}, round {number + 1}: {'  '.join(said)}", flush=True)
    print("\n" + _table(found))
    as_json = {
        pool: {who: [asdict(each) for each in values] for who, values in by_who.items()}
        for pool, by_who in found.items()
    }
    report.save("throughput", {"peers": peers.versions(), "measured": as_json})


def _table(found: dict[str, dict[str, list[Measured]]]) -> str:
    rows = []
    for pool, by_who in found.items():
        rates = {who: [each.runs_per_second for each in v] for who, v in by_who.items()}
        middles = {who: report.middle(values) for who, values in rates.items()}
        for who, values in rates.items():
            against: tuple[float, ...] = ()
            if who in SAME_DATABASE:
                # The better of the two: with the same settings, or as Celery comes.
                sql = [middles[SAME_DATABASE[who] + end] for end in ("", ", prefetching")]
                against = (middles[BARE], max(sql), middles[REDIS])
            rows.append(
                [
                    *(pool, who, f"{middles[who]:,.0f}", f"{min(values):,.0f}-{max(values):,.0f}"),
                    *(f"{middles[who] / other:.2f}×" for other in against),
                    *("" for _ in range(3 - len(against))),
                    f"{report.middle([each.worker_ms for each in by_who[who]]):.2f}",
                    f"{report.middle([each.servers_ms for each in by_who[who]]):.2f}",
                ]
            )
    headings = ["pool", "who", "runs/s", "min-max", "× no backend", "× SQL backend", "× Redis"]
    return report.table([*headings, "CPU ms, worker", "CPU ms, servers"], rows)
