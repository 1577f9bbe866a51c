"""Burst: N jobs are due at one instant. It measures from then to the last message in the broker.

jobs-app commits every run before it sends the message, and advances every job. The benchmark
checks that after each measurement. RedBeat's entries have the same schedules; it sends
without a record. The contenders run in turn, as separate processes, against the same Valkey.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from bench import bare, peers, report
from bench.ours import WARM_SECONDS, Installation
from bench.servers import Servers, running
from jobs_app.core.settings import Settings

#: Seconds between filling and the fires: the scheduler must be ready by then.
SETTLING_SECONDS = 9.0
#: Jobs in the small burst before the measured one.
WARM_UP = 500
#: The longest wait for the last message, seconds.
TIMEOUT_SECONDS = 600.0


class SchedulerNotReady(Exception):
    """The scheduler was not ready before the fires: the machine is busy."""


@dataclass(frozen=True)
class BurstTimes:
    """One burst: seconds from the due instant to the first and to the last message."""

    first_seconds: float
    last_seconds: float


def watch(redis_url: str, keys: list[str], count: int, *, due_at: float) -> BurstTimes:
    """Wait until *keys* hold *count* messages, those of the warm-up included."""
    first = None
    with Redis.from_url(redis_url) as client:
        pipe = client.pipeline(transaction=False)
        while True:
            for key in keys:
                pipe.llen(key)
            waiting = sum(pipe.execute())
            now = time.time()
            if waiting > WARM_UP and first is None:
                first = now
            if waiting >= count:
                return BurstTimes((first or now) - due_at, now - due_at)
            if now > due_at + TIMEOUT_SECONDS:
                raise RuntimeError(f"only {waiting} of {count} messages came")
            time.sleep(0.003 if now < due_at + 2 else 0.01)


def retry_with_more_time(measure: Callable[[float], BurstTimes]) -> BurstTimes:
    """Call *measure* with settling seconds; double them while the scheduler is not ready."""
    seconds = SETTLING_SECONDS
    while True:
        try:
            return measure(seconds)
        except SchedulerNotReady:
            seconds *= 2


def ours(
    servers: Servers, kind: str, count: int, folder: Path, settling_seconds: float
) -> BurstTimes:
    """Measure jobs-app with a database of *kind*."""
    servers.valkey.flushall()
    with servers.database(kind) as url:
        settings = Settings(
            database_url=url, redis_url=servers.valkey.url, redis_prefix="jobs:", data_dir=folder
        )
        installation = Installation(settings, folder / "ours.log")
        installation.fill(WARM_UP + count)
        # The entries are written after `at` is chosen; writing takes a second per 4,000.
        seconds = settling_seconds + count / 4000
        at = _off_the_quarter(datetime.now(UTC) + timedelta(seconds=seconds))
        installation.make_due(at=at, warm_up=WARM_UP)
        with installation.scheduler():
            if time.time() > at.timestamp() - WARM_SECONDS:
                raise SchedulerNotReady
            measured = watch(servers.valkey.url, installation.queues, count, due_at=at.timestamp())
            time.sleep(0.5)
        recorded = installation.recorded(at=at)
        if recorded != (count, WARM_UP + count):
            raise RuntimeError(f"{count} fires, but (runs, jobs moved on) = {recorded}")
        return measured


def _off_the_quarter(at: datetime) -> datetime:
    """Return *at*, or ten seconds later if SCHEDULES have a fire of their own at that time."""
    at = at.replace(microsecond=0)
    return at + timedelta(seconds=10) if at.minute % 15 == 0 and at.second < 10 else at


def redbeat(servers: Servers, count: int, folder: Path, settling_seconds: float) -> BurstTimes:
    """Measure stock RedBeat."""
    servers.valkey.flushall()
    url = servers.valkey.url
    # RedBeat reads entries only when they are due, so it needs no time to start.
    at = _off_the_quarter(datetime.now(UTC) + timedelta(seconds=settling_seconds + count / 2500))
    due_at = at.timestamp()
    peers.fill_redbeat(url, WARM_UP, due_at - WARM_SECONDS)
    peers.fill_redbeat(url, count, due_at)
    with peers.redbeat(url, folder / "redbeat.log"):
        if time.time() > due_at - WARM_SECONDS:
            raise SchedulerNotReady
        return watch(url, ["celery"], WARM_UP + count, due_at=due_at)


#: The contenders in the order of a round. Each function returns seconds.
CONTENDERS: dict[str, Callable[[Servers, int, Path], float]] = {
    "redbeat": lambda servers, count, folder: (
        retry_with_more_time(
            lambda settling: redbeat(servers, count, folder, settling)
        ).last_seconds
    ),
    "ours on postgresql": lambda servers, count, folder: (
        retry_with_more_time(
            lambda settling: ours(servers, "postgresql", count, folder, settling)
        ).last_seconds
    ),
    "ours on sqlite": lambda servers, count, folder: (
        retry_with_more_time(
            lambda settling: ours(servers, "sqlite", count, folder, settling)
        ).last_seconds
    ),
    "bare limit": lambda servers, count, folder: bare.seconds(servers, count),
}


def run(*, quick: bool, sizes: list[int] | None = None, rounds: int | None = None) -> None:
    """Measure all in rounds and print the table."""
    sizes = sizes or ([1_000, 10_000] if quick else [1_000, 10_000, 50_000])
    rounds = rounds or (1 if quick else 3)
    rates: dict[int, dict[str, list[float]]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        folder = Path(scratch)
        for count in sizes:
            rates[count] = {name: [] for name in CONTENDERS}
            for number in range(rounds):
                measured = {
                    name: measure(servers, count, folder) for name, measure in CONTENDERS.items()
                }
                for name, seconds in measured.items():
                    rates[count][name].append(count / seconds)
                line = "  ".join(f"{name} {count / s:,.0f}" for name, s in measured.items())
                print(f"{count:,} due, round {number + 1}: {line}", flush=True)
    print("\n" + _table(rates))
    report.save("burst", {"peers": peers.versions(), "fires_per_second": _json(rates)})


def _table(rates: dict[int, dict[str, list[float]]]) -> str:
    rows = []
    for count, by_name in rates.items():
        stock = report.median(by_name["redbeat"])
        bare_limit = report.median(by_name["bare limit"])
        for name, values in by_name.items():
            median = report.median(values)
            ratio = f"{median / stock:.1f}×"
            share = f"{median / bare_limit:.0%}"
            spread = f"{min(values):,.0f}-{max(values):,.0f}"
            rows.append([f"{count:,}", name, f"{median:,.0f}", spread, ratio, share])
    headings = ["due at once", "system", "fires/s", "min-max", "× RedBeat", "of the bare limit"]
    return report.table(headings, rows)


def _json(rates: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    return {
        str(count): {name: [round(v, 1) for v in values] for name, values in by_name.items()}
        for count, by_name in rates.items()
    }
