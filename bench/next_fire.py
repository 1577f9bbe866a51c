"""Next fire: the time of one evaluation, the first time and from the cache.

A sparse schedule (29 February) must not delay a tick. Celery's crontab is measured too,
for the schedules that it can express.
"""

import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bench import peers, report
from jobs_app.schedules import cron_expression, cron_fires, schedule
from jobs_app.schedules.schedule import Schedule

#: Fires evaluated in a row from START: each is a new instant, as for a scheduler.
STEPS = 2_000
START = datetime(2026, 1, 1, tzinfo=UTC)
EXPRESSIONS = ("* * * * *", "*/5 9-17 * * 1-5", "30 2 * * *", "0 0 29 2 *", "0 0 L * *")
ZONES = ("UTC", "America/New_York")


def run(*, quick: bool) -> None:
    """Measure each expression in each zone and print the table."""
    rounds = 1 if quick else 3
    costs = {}
    celery_costs = _celery(rounds)
    for expression in EXPRESSIONS:
        for zone in ZONES:
            when = Schedule(cron=expression, timezone=zone)
            costs[f"{expression}  {zone}"] = {
                # mypy cannot infer a lambda with defaults.
                "first": _median(lambda when=when: _first(when), rounds),  # type: ignore[misc]
                # mypy cannot infer a lambda with defaults.
                "new_instant": _median(lambda when=when: _each_new_instant(when), rounds),  # type: ignore[misc]
                # mypy cannot infer a lambda with defaults.
                "cached": _median(lambda when=when: _cached(when), rounds),  # type: ignore[misc]
                "celery_crontab": celery_costs.get(expression) if zone == "UTC" else None,
            }
    interval = Schedule(interval_seconds=90)
    costs["every 90 seconds"] = {
        "first": _median(lambda: _first(interval), rounds),
        "new_instant": _median(lambda: _each_new_instant(interval), rounds),
        "cached": _median(lambda: _cached(interval), rounds),
        "celery_crontab": None,
    }
    headings = ["schedule", "first, parsing", "new instant", "asked again", "Celery's crontab"]
    rows = [
        [name, *("-" if value is None else f"{value:,.1f} µs" for value in values.values())]
        for name, values in costs.items()
    ]
    print(report.table(headings, rows))
    report.save("next-fire", {"microseconds": costs})


def _median(measure: Callable[[], float], rounds: int) -> float:
    return report.median([measure() for _ in range(rounds)])


def _clear_caches() -> None:
    for cached in (
        cron_fires.next_fire,
        cron_expression._parse,
        cron_expression._compile,
        cron_fires.fires_on_changed_day,
    ):
        cached.cache_clear()


def _first(when: Schedule) -> float:
    _clear_caches()
    started = time.perf_counter()
    schedule.next_fire(when, after=START)
    return (time.perf_counter() - started) * 1e6


def _each_new_instant(when: Schedule) -> float:
    _clear_caches()
    schedule.next_fire(when, after=START)
    at: datetime | None = START
    steps = 0
    started = time.perf_counter()
    while at is not None and steps < STEPS:
        at = schedule.next_fire(when, after=at)
        steps += 1
    return (time.perf_counter() - started) / steps * 1e6


def _cached(when: Schedule) -> float:
    instants = [START + timedelta(minutes=number) for number in range(100)]
    for at in instants:
        schedule.next_fire(when, after=at)
    started = time.perf_counter()
    for at in instants:
        schedule.next_fire(when, after=at)
    return (time.perf_counter() - started) / len(instants) * 1e6


def _celery(rounds: int) -> dict[str, float]:
    """Return the µs of `crontab.remaining_estimate` by expression; beat calls it at each check."""
    script = str(peers.FOLDER / "time_crontab.py")
    completed = subprocess.run(
        [peers.python(), script, str(rounds), *EXPRESSIONS], check=True, capture_output=True
    )
    costs: dict[str, float] = json.loads(completed.stdout)
    return costs
