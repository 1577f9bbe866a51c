"""Times how late a peer honours a schedule that is made while it runs.

python edit.py redbeat|django TRIALS TIMEOUT prints, as JSON, the seconds from the
instant at which each new schedule was due for the first time to its message.
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
    """Save an entry that is due in a second; return what removes it."""
    from redbeat import RedBeatSchedulerEntry  # noqa: PLC0415 (each peer loads its own)
    from stock import app  # noqa: PLC0415

    entry = RedBeatSchedulerEntry(
        f"edit-{number}", "stock.noop", schedule(run_every=PERIOD_SECONDS), app=app
    )
    entry.save()
    return lambda: entry.delete() and None


def by_django(number: int) -> Callable[[], None]:
    """Save a periodic task that is due in a second; return what removes it."""
    import dcb  # noqa: F401, PLC0415 (sets Django up)
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
    """Make *trials* schedules, one after the other, and print how late each was."""
    make = {"redbeat": by_redbeat, "django": by_django}[peer]
    late = []
    with Redis.from_url(url) as client:
        for number in range(trials):
            client.delete("celery")
            remove = make(number)
            due_at = time.time() + PERIOD_SECONDS
            while not client.exists("celery") and time.time() < due_at + timeout_seconds:
                time.sleep(0.002)
            late.append(time.time() - due_at)
            remove()
            # Not in step with the sleep of the peer.
            time.sleep(1.3 + 0.37 * (number % 7))
    print(json.dumps(late))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
