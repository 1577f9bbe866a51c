"""A job as the definition of a RedBeat entry: for RedBeat's own tools, and for display."""

import json
from datetime import timedelta

from celery.schedules import BaseSchedule, crontab, schedule
from redbeat.decoder import RedBeatJSONEncoder

from jobs_app.db.models.jobs import Job
from jobs_app.schedules import calendar_interval

#: What stock RedBeat would send if it were run on these entries: a look at one job.
LOOK_TASK = "jobs_app.look"

ENTRY_PREFIX = "job:"

#: RedBeat reads of an entry when it last ran: ours have that in their rows.
META = json.dumps({"last_run_at": None})


def definition(job: Job) -> str:
    """Return what RedBeat's own loader reads of a job: never its kwargs, they may be secret."""
    fields = {
        "name": f"{ENTRY_PREFIX}{job.id}",
        "task": LOOK_TASK,
        "args": [job.id],
        "kwargs": {},
        "options": {"shadow": job.name},
        "schedule": _nearest_schedule(job),
        "enabled": True,
    }
    return json.dumps(fields, cls=RedBeatJSONEncoder)


def _nearest_schedule(job: Job) -> BaseSchedule:
    """Return the schedule as far as Celery's own classes can say it: for display only.

    Of several schedules it is the first one: an entry holds one.
    """
    if job.interval_seconds is not None:
        return schedule(run_every=job.interval_seconds)
    if job.every is not None and (interval := calendar_interval.read(job.every)):
        return schedule(run_every=timedelta(days=interval.days or interval.months * 30))
    if job.cron is not None:
        try:
            return crontab.from_string(job.cron)
        except (ValueError, TypeError):
            # `L`, `#`, `H` and the macros are beyond Celery's crontab.
            pass
    return schedule(run_every=86_400)
