"""Schedules: a million of them, each every ten minutes, so 1,667 are due each second.

It is `steady` with ten times as many schedules. The memory is that of the scheduler, before
and after the measured time.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from bench import report
from bench.servers import running
from bench.steady import SteadyResult, measure, table

SCHEDULES, QUICK_SCHEDULES = 1_000_000, 100_000
DUE_PER_SECOND = 5000 / 3
SECONDS = 60

KINDS = ("postgresql", "sqlite")

#: For a million schedules, each fire changes other pages: they should be in memory, and each is
#: written whole after a checkpoint. With DURABLE alone the lag is twice as long.
LARGE = {"shared_buffers": "2GB", "max_wal_size": "8GB", "wal_compression": "on"}


def run(*, quick: bool, kinds: tuple[str, ...] = KINDS) -> None:
    """Measure the databases of *kinds*, and print the table."""
    count = QUICK_SCHEDULES if quick else SCHEDULES
    results: dict[str, SteadyResult] = {}
    with running(**LARGE) as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        for kind in kinds:
            name = f"{count:,} on {kind}"
            results[name] = measure(
                servers,
                kind,
                count,
                SECONDS,
                Path(scratch),
                period_seconds=round(count / DUE_PER_SECOND),
            )
            print(f"{name}: {results[name]}", flush=True)
    print(f"\n{table(results)}")
    report.save("schedules", {name: result.as_json() for name, result in results.items()})
