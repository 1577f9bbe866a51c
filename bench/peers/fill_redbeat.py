"""Writes RedBeat entries in bulk, as `entry.save()` does, but without a round trip per entry.

python fill_redbeat.py COUNT DUE_AT
"""

import json
import sys
from datetime import UTC, datetime, timedelta

from celery.schedules import crontab, schedule
from redbeat.decoder import RedBeatJSONEncoder
from redbeat.schedulers import RedBeatSchedulerEntry, get_redis
from stock import app

#: The schedules of bench/ours.py, without time zones: a RedBeat entry has none.
SCHEDULES = (
    crontab.from_string("0 * * * *"),
    crontab.from_string("30 2 * * 1-5"),
    crontab.from_string("*/15 * * * *"),
    crontab.from_string("0 6 * * *"),
    schedule(run_every=3600),
)


def main(count: int, due_at: float) -> None:
    """Write *count* entries due at *due_at* (Unix time), with a last run five days before."""
    last = datetime.fromtimestamp(due_at, UTC) - timedelta(days=5)
    meta = json.dumps({"last_run_at": last, "total_run_count": 0}, cls=RedBeatJSONEncoder)
    redis = get_redis(app)
    pipe = redis.pipeline(transaction=False)
    for number in range(count):
        entry = RedBeatSchedulerEntry(
            f"entry-{int(due_at)}-{number}",
            "stock.noop",
            SCHEDULES[number % len(SCHEDULES)],
            app=app,
        )
        definition = {
            "name": entry.name,
            "task": entry.task,
            "args": entry.args,
            "kwargs": entry.kwargs,
            "options": entry.options,
            "schedule": entry.schedule,
            "enabled": True,
        }
        encoded = json.dumps(definition, cls=RedBeatJSONEncoder)
        pipe.hset(entry.key, mapping={"definition": encoded, "meta": meta})
        pipe.zadd(app.redbeat_conf.schedule_key, {entry.key: due_at})
        if number % 1000 == 999:
            pipe.execute()
    pipe.execute()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
