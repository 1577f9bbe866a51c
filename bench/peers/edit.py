"""Measures the lag of schedules that are created while a peer's scheduler runs.

python edit.py redbeat|django TRIALS TIMEOUT prints a JSON list: for each new schedule,
the seconds from its first due instant to its message.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from celery.schedules import schedule
from redis import Redis
from stock import url

PERIOD_SECONDS = 1


def by_redbeat(number: int) -> Callable[[], None]:
    """Save an entry that is due in a second; return a function that removes it."""
    from redbeat import RedBeatSchedulerEntry  # noqa: PLC0415 (each peer loads its own)

    # The peer is configured first.
    from stock import app  # noqa: PLC0415

    entry = RedBeatSchedulerEntry(
        f"edit-{number}", "stock.noop", schedule(run_every=PERIOD_SECONDS), app=app
    )
    entry.save()
    return lambda: entry.delete() and None


def by_django(number: int) -> Callable[[], None]:
    """Save a periodic task that is due in a second; return a function that removes it."""
    import dcb  # noqa: F401, PLC0415 (sets Django up)

    # The peer is configured first.
    from django_celery_beat.models import (  # noqa: PLC0415
        IntervalSchedule,
        PeriodicTask,
    )

    every, _ = IntervalSchedule.objects.get_or_create(every=PERIOD_SECONDS, period="seconds")
    task = PeriodicTask.objects.create(
        name=f"edit-{number}", task="stock.noop", interval=every, last_run_at=datetime.now(UTC)
    )
    return lambda: task.delete() and None


def main(peer: str, trials: int, timeout_seconds: float) -> None:
    """Create *trials* schedules, one after the other, and print their lags."""
    create = {"redbeat": by_redbeat, "django": by_django}[peer]
    lags = []
    with Redis.from_url(url) as client:
        for number in range(trials):
            client.delete("celery")
            remove = create(number)
            due_at = time.time() + PERIOD_SECONDS
            while not client.exists("celery") and time.time() < due_at + timeout_seconds:
                time.sleep(0.002)
            lags.append(time.time() - due_at)
            remove()
            # Avoid running in step with the peer's sleep.
            time.sleep(1.3 + 0.37 * (number % 7))
    print(json.dumps(lags))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
