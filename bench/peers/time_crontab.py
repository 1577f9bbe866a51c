"""Times Celery's crontab: python time_crontab.py ROUNDS EXPRESSION... prints µs as JSON."""

import json
import sys
import time
from datetime import UTC, datetime
from statistics import median

from celery.schedules import crontab
from stock import app

LOOKS = 500


def cost(expression: str) -> float:
    """Return the microseconds of one `remaining_estimate`."""
    schedule = crontab.from_string(expression)
    schedule.app = app
    last = datetime(2026, 1, 1, tzinfo=UTC)
    began = time.perf_counter()
    for _ in range(LOOKS):
        schedule.remaining_estimate(last)
    return (time.perf_counter() - began) / LOOKS * 1e6


def main(rounds: int, expressions: list[str]) -> None:
    """Print the median of each expression that Celery can say."""
    found = {}
    for expression in expressions:
        try:
            found[expression] = median(cost(expression) for _ in range(rounds))
        except ValueError:
            continue
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
