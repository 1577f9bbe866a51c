"""Times Celery's crontab: python time_crontab.py ROUNDS EXPRESSION... prints µs as JSON."""

import json
import sys
import time
from datetime import UTC, datetime
from statistics import median

from celery.schedules import crontab
from stock import app

CALLS = 500


def cost(expression: str) -> float:
    """Return the microseconds of one `remaining_estimate` call."""
    schedule = crontab.from_string(expression)
    schedule.app = app
    last = datetime(2026, 1, 1, tzinfo=UTC)
    started = time.perf_counter()
    for _ in range(CALLS):
        schedule.remaining_estimate(last)
    return (time.perf_counter() - started) / CALLS * 1e6


def main(rounds: int, expressions: list[str]) -> None:
    """Print the median of each expression that Celery's crontab can express."""
    costs = {}
    for expression in expressions:
        try:
            costs[expression] = median(cost(expression) for _ in range(rounds))
        except ValueError:
            continue
    print(json.dumps(costs))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
