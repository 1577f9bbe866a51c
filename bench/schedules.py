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


def run(*, quick: bool, kinds: tuple[str, ...] = KINDS) -> None:
    """Measure the databases of *kinds*, and print the table."""
    count = QUICK_SCHEDULES if quick else SCHEDULES
    results: dict[str, SteadyResult] = {}
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
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
