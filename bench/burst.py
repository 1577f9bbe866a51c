"""Burst: N jobs due at one instant, from that instant to the last message in the broker.

Ours has every run committed before its message is sent and every job moved on; that is
checked after each measurement. RedBeat sends, and keeps no record; its entries have the
same schedules. All of them run as
processes of their own against the same Valkey, one after the other, in rounds.
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

#: How long after filling the fires are due: the scheduler must have started by then, seconds.
SETTLING_SECONDS = 9.0
#: Jobs of the small burst before the one that is measured.
WARM_UP = 500
#: The longest wait for the last message, seconds.
TIMEOUT_SECONDS = 600.0


class TooLate(Exception):
    """The fires came before the scheduler was ready: the machine is busy."""


@dataclass(frozen=True)
class Measured:
    """One burst: seconds from the instant to the first and to the last message."""

    first_seconds: float
    last_seconds: float


def watch(redis_url: str, keys: list[str], count: int, *, due_at: float) -> Measured:
    """Wait for *count* messages in *keys*, of which those of the warm-up are the first."""
    first = None
    with Redis.from_url(redis_url) as client:
        pipe = client.pipeline(transaction=False)
        while True:
            for key in keys:
                pipe.llen(key)
            lying = sum(pipe.execute())
            now = time.time()
            if lying > WARM_UP and first is None:
                first = now
            if lying >= count:
                return Measured((first or now) - due_at, now - due_at)
            if now > due_at + TIMEOUT_SECONDS:
                raise RuntimeError(f"only {lying} of {count} messages came")
            time.sleep(0.003 if now < due_at + 2 else 0.01)


def with_longer_settling(measure: Callable[[float], Measured]) -> Measured:
    """Return what *measure* finds, with as many seconds to settle as it takes."""
    seconds = SETTLING_SECONDS
    while True:
        try:
            return measure(seconds)
        except TooLate:
            seconds *= 2


def ours(
    servers: Servers, kind: str, count: int, folder: Path, settling_seconds: float
) -> Measured:
    """Measure jobs-app with a database of *kind*."""
    servers.valkey.flushall()
    with servers.database(kind) as url:
        settings = Settings(
            database_url=url, redis_url=servers.valkey.url, redis_prefix="jobs:", data_dir=folder
        )
        installation = Installation(settings, folder / "ours.log")
        installation.fill(WARM_UP + count)
        # Written some seconds after `at` is chosen: as long as it takes to write the entries.
        seconds = settling_seconds + count / 4000
        at = _off_the_quarter(datetime.now(UTC) + timedelta(seconds=seconds))
        installation.make_due(at=at, warm_up=WARM_UP)
        with installation.scheduler():
            if time.time() > at.timestamp() - WARM_SECONDS:
                raise TooLate
            measured = watch(servers.valkey.url, installation.queues, count, due_at=at.timestamp())
            time.sleep(0.5)
        recorded = installation.recorded(at=at)
        if recorded != (count, WARM_UP + count):
            raise RuntimeError(f"{count} fires, but (runs, jobs moved on) = {recorded}")
        return measured


def _off_the_quarter(at: datetime) -> datetime:
    """Return *at* or a little later, when no schedule of ours has a fire of its own near it."""
    at = at.replace(microsecond=0)
    return at + timedelta(seconds=10) if at.minute % 15 == 0 and at.second < 10 else at


def redbeat(servers: Servers, count: int, folder: Path, settling_seconds: float) -> Measured:
    """Measure stock RedBeat."""
    servers.valkey.flushall()
    url = servers.valkey.url
    # RedBeat reads all of its entries' scores only when they are due: it starts in no time.
    at = _off_the_quarter(datetime.now(UTC) + timedelta(seconds=settling_seconds + count / 2500))
    due_at = at.timestamp()
    peers.fill_redbeat(url, WARM_UP, due_at - WARM_SECONDS)
    peers.fill_redbeat(url, count, due_at)
    with peers.redbeat(url, folder / "redbeat.log"):
        if time.time() > due_at - WARM_SECONDS:
            raise TooLate
        return watch(url, ["celery"], WARM_UP + count, due_at=due_at)


#: Who is measured, in the order of a round; each answers with seconds.
CONTENDERS: dict[str, Callable[[Servers, int, Path], float]] = {
    "redbeat": lambda servers, count, folder: (
        with_longer_settling(
            lambda settling: redbeat(servers, count, folder, settling)
        ).last_seconds
    ),
    "ours on postgresql": lambda servers, count, folder: (
        with_longer_settling(
            lambda settling: ours(servers, "postgresql", count, folder, settling)
        ).last_seconds
    ),
    "ours on sqlite": lambda servers, count, folder: (
        with_longer_settling(
            lambda settling: ours(servers, "sqlite", count, folder, settling)
        ).last_seconds
    ),
    "bare limit": lambda servers, count, folder: bare.seconds(servers, count),
}


def run(*, quick: bool, sizes: list[int] | None = None, rounds: int | None = None) -> None:
    """Measure all in rounds and print the table."""
    sizes = sizes or ([1_000, 10_000] if quick else [1_000, 10_000, 50_000])
    rounds = rounds or (1 if quick else 3)
    found: dict[int, dict[str, list[float]]] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        folder = Path(scratch)
        for count in sizes:
            found[count] = {name: [] for name in CONTENDERS}
            for number in range(rounds):
                measured = {
                    name: measure(servers, count, folder) for name, measure in CONTENDERS.items()
                }
                for name, seconds in measured.items():
                    found[count][name].append(count / seconds)
                line = "  ".join(f"{name} {count / s:,.0f}" for name, s in measured.items())
                print(f"{count:,} due, round {number + 1}: {line}", flush=True)
    print("\n" + _table(found))
    report.save("burst", {"peers": peers.versions(), "fires_per_second": _json(found)})


def _table(found: dict[int, dict[str, list[float]]]) -> str:
    rows = []
    for count, by_name in found.items():
        stock = report.middle(by_name["redbeat"])
        bare_limit = report.middle(by_name["bare limit"])
        for name, values in by_name.items():
            middle = report.middle(values)
            times = f"{middle / stock:.1f}×"
            share = f"{middle / bare_limit:.0%}"
            spread = f"{min(values):,.0f}-{max(values):,.0f}"
            rows.append([f"{count:,}", name, f"{middle:,.0f}", spread, times, share])
    headings = ["due at once", "who", "fires/s", "min-max", "× RedBeat", "of the bare limit"]
    return report.table(headings, rows)


def _json(found: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    return {
        str(count): {name: [round(v, 1) for v in values] for name, values in by_name.items()}
        for count, by_name in found.items()
    }
