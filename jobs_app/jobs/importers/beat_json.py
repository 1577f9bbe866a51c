"""The periodic tasks that `beat_dump.py` has written where their application runs."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from celery import Celery
from celery.schedules import crontab, schedule

from jobs_app.jobs.importers.beat_modules import (
    BeatApp,
    beat_app,
    entry_of,
    failed_function,
    with_failures,
)
from jobs_app.jobs.importers.beat_schedules import SOLAR, SOLAR_ADVICE, no_schedule, zone_name
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry
from jobs_app.schedules import timezones

#: The form that is read: FORM of `beat_dump.py`.
FORM = 1


def read_dump(text: bytes, *, at: datetime) -> list[BeatApp]:
    """Return the applications in *text*, with their periodic tasks.

    Raises ValueError, a sentence, for what `beat_dump.py` has not written.
    """
    try:
        dump = json.loads(text, object_hook=_value)
    except (ValueError, RecursionError) as error:
        raise ValueError("It is no JSON.") from error
    if not isinstance(dump, dict) or dump.get("beat_dump") != FORM:
        raise ValueError("The script of this version of jobs-app has not written it.")
    try:
        apps = [_app(one, at) for one in dump["apps"]]
        failures = [failed_function(one["name"], one["error"]) for one in dump["failures"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("The script has not written it like this.") from error
    return with_failures(apps, failures, home="JSON")


def _value(fields: dict[str, Any]) -> Any:
    """Return an object of the JSON; a value that JSON lacks is one of a class of its name."""
    name = fields.get("__type__")
    return type(name, (), {})() if isinstance(name, str) and len(fields) == 1 else fields


def _app(fields: Mapping[str, Any], at: datetime) -> BeatApp:
    app = _celery(fields["name"], str(fields["timezone"]))
    app.conf.update(
        beat_scheduler=fields["beat_scheduler"],
        beat_cron_starting_deadline=fields["beat_cron_starting_deadline"],
    )
    entries = [_entry(name, one, app, at) for name, one in fields["entries"].items()]
    return beat_app(app, str(fields["home"]), entries)


def _celery(name: str | None, timezone: str) -> Celery:
    # The loader by name: else CELERY_LOADER names another.
    loader = "celery.loaders.app:AppLoader"
    app = Celery(name, set_as_current=False, loader=loader, fixups=[])
    app.conf.update(timezone=timezone)
    return app


def _entry(name: str, fields: Any, app: Celery, at: datetime) -> PeriodicEntry:
    if not isinstance(fields, dict):
        return entry_of(name, fields, app, at=at)
    owner = _owner(fields["schedule"], app)
    try:
        beat_schedule = _schedule(fields["schedule"])
    except Refused as refusal:
        made = entry_of(name, {**fields, "schedule": None}, app, at=at)
        if not made.left_out:
            made.refuse(refusal)
        return made
    made = entry_of(name, {**fields, "schedule": beat_schedule}, owner, at=at)
    # The routes of the application are known where the script ran, and nowhere else.
    made.queue_there = None if made.problem or made.left_out else fields.get("queue")
    return made


def _owner(value: Any, app: Celery) -> Celery:
    """Return *app*, or one with its settings in the zone that the schedule has for itself."""
    zone = value.get("zone") if isinstance(value, dict) else None
    if zone is None:
        return app
    owner = _celery(app.main, str(zone))
    owner.conf.update(beat_cron_starting_deadline=app.conf.beat_cron_starting_deadline)
    return owner


def _schedule(value: Any) -> Any:
    """Return a schedule of Celery, None if there is none. Raises Refused."""
    match value:
        case None:
            return None
        case {"type": "interval", "seconds": seconds, "relative": relative}:
            return schedule(timedelta(seconds=seconds), relative)
        case {"type": "crontab", "fields": fields, "now": now}:
            return crontab(**fields, nowfun=_nowfun(now))
        case {"type": "solar"}:
            raise Refused(SOLAR, SOLAR_ADVICE)
        case {"type": "error", "error": error}:
            raise Refused(f"Its schedule raises {error}.")
    raise no_schedule(str(value["class"]))


def _nowfun(now: Any) -> Callable[[], datetime] | None:
    """Return the clock of a crontab, None if it is that of its application. Raises Refused."""
    match now:
        case None | {"is_utc": True}:
            return None
        case {"zone": zone}:
            known = timezones.load(zone_name(str(zone)))
            return lambda: datetime.now(known)
        case {"error": error}:
            raise Refused(f"Its nowfun raises {error}.")
    # A clock that does not read like UTC.
    return lambda: datetime(2000, 1, 1)  # noqa: DTZ001  # as theirs, it has no zone
