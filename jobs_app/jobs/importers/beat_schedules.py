"""Celery's schedule objects, as the schedules of jobs: crontab and intervals.

Pure, no IO, but for the clock that an interval with `relative` is anchored by. celery's crontab
differs from cron: both day fields must match, and ranges may run backwards. Its fires are those
of the sets of values that it holds.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from celery.schedules import crontab, schedule, solar

from jobs_app.core.text import rfc3339, shortened
from jobs_app.jobs.importers.cron_from_values import CronValues, cron_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import Timing
from jobs_app.schedules import timezones
from jobs_app.schedules.description import duration

SOLAR = "A solar schedule follows the sun, and jobs-app has no such schedule."
SOLAR_ADVICE = "Let a task fire often, and return while it is not time."

#: A clock that reads like UTC within this is UTC.
_SAME_CLOCK = timedelta(seconds=5)
#: The units that `relative` rounds to: as an interval, and their expression.
_UNITS = ((86_400, "0 0 * * *"), (3_600, "0 * * * *"), (60, "* * * * *"))
_DAY = 86_400


def timing_of(beat_schedule: Any, *, at: datetime) -> Timing:
    """Return the fires of a schedule of Celery, in the zone of its application. Raises Refused.

    *at* is now.
    """
    if isinstance(beat_schedule, solar):
        raise Refused(SOLAR, SOLAR_ADVICE)
    if _is_own(beat_schedule, crontab):
        name, differences = _zone(beat_schedule)
        return Timing({"cron": cron_of_crontab(beat_schedule)}, name, differences)
    if _is_own(beat_schedule, schedule):
        relative = bool(beat_schedule.relative)
        zone: tzinfo = timezones.load(zone_of(beat_schedule)) if relative else UTC
        return interval_timing(beat_schedule.seconds, relative=relative, zone=zone, at=at)
    kind = type(beat_schedule)
    raise no_schedule(f"{kind.__module__}.{kind.__qualname__}")


def no_schedule(name: str) -> Refused:
    """Return the refusal of a schedule of the class *name*."""
    return Refused(
        f"{name} is no schedule that is understood here: crontab, timedelta and seconds are.",
        "Write its times as a crontab, or let the task decide.",
    )


def _is_own(beat_schedule: Any, kind: type) -> bool:
    """Tell whether it is of *kind*, or of a class that fires at the same times."""
    methods = ("is_due", "remaining_estimate", "remaining_delta")
    # The class of django-celery-beat only converts the last start to its zone.
    is_known = type(beat_schedule).__name__ == "TzAwareCrontab"
    return isinstance(beat_schedule, kind) and (
        is_known
        or all(getattr(type(beat_schedule), m, None) is getattr(kind, m, None) for m in methods)
    )


def cron_of_crontab(beat_crontab: Any) -> str:
    """Return the cron expression with the fires of Celery's *beat_crontab*. Raises Refused."""
    # What a copy of it is made of begins with minute and hour as they were written.
    _, (minute, hour, *_rest), _options = beat_crontab.__reduce__()
    originals = (minute, hour)
    return cron_of(
        CronValues(
            minutes=beat_crontab.minute,
            hours=beat_crontab.hour,
            days=beat_crontab.day_of_month,
            months=beat_crontab.month_of_year,
            weekdays=beat_crontab.day_of_week,
            has_star=any(str(original).startswith("*") for original in originals),
        )
    )


def interval_timing(seconds: float, *, relative: bool, zone: tzinfo, at: datetime) -> Timing:
    """Return the fires of an interval; with *relative* on whole units of *zone*. Raises Refused."""
    if seconds != int(seconds) or seconds < 1:
        raise Refused(
            f"An interval of {seconds:g} s is no whole number of seconds from 1 on.",
            "Let one run do several rounds of the work.",
        )
    whole = int(seconds)
    size, cron = next(((size, c) for size, c in _UNITS if relative and whole >= size), (0, ""))
    if not size:
        return Timing({"interval_seconds": whole})
    name, number = zone_name(zone), whole // size
    every = duration(number * size)
    text = f"relative rounds {duration(whole)} down: it fires every {every}, there as here."
    differences = [text] if whole % size else []
    if number == 1:
        return Timing({"cron": cron}, name, tuple(differences))
    differences.append(f"Every {every}, counted from today; beat counts from its last start.")
    local = at.astimezone(zone)
    start = local.replace(minute=0, second=0, microsecond=0)
    start = start.replace(hour=0) if size == _DAY else start
    times: dict[str, Any] = {"anchor_at": rfc3339(start)}
    if size == _DAY:
        times["every"] = every
    else:
        times["interval_seconds"] = number * size
    return Timing(times, name, tuple(differences))


def zone_of(owner: Any) -> str:
    """Return the zone of an application, or of one of its schedules. Raises Refused."""
    try:
        zone = owner.timezone if hasattr(type(owner), "timezone") else owner.tz
    except Exception as error:  # the setting is of the user
        detail = shortened(str(error).strip("'"), 100)
        raise Refused(f"The time zone of its application cannot be read: {detail}.") from error
    return zone_name(zone)


def zone_name(zone: tzinfo | str | None) -> str:
    """Return the IANA name of *zone*. Raises Refused if it has none."""
    name = str(getattr(zone, "key", None) or getattr(zone, "zone", None) or zone)
    if zone is UTC or name in ("UTC", "utc", "UTC+00:00", "tzutc()"):
        return "UTC"
    if timezones.is_known(name):
        return name
    raise Refused(
        f"Its time zone is {shortened(name, 60)}, which has no IANA name.",
        "Give it one such as Europe/Paris there.",
    )


def _zone(beat_crontab: Any) -> tuple[str, tuple[str, ...]]:
    """Return the zone of a crontab, and what differs from Celery's. Raises Refused.

    `nowfun` gives the zone up to Celery 5.5; later ones read the fields in that of the
    application.
    """
    name = zone_of(beat_crontab)
    if beat_crontab.nowfun is None or type(beat_crontab).__name__ == "TzAwareCrontab":
        return name, ()
    now = _call(beat_crontab.nowfun)
    if now.tzinfo is None:
        if abs(now - datetime.now(UTC).replace(tzinfo=None)) < _SAME_CLOCK:
            return name, ()
        raise Refused(
            "Its nowfun returns a time without a zone, which beat takes for UTC.",
            "Let nowfun return an aware time: datetime.now(ZoneInfo('Europe/Paris')).",
        )
    own = zone_name(now.tzinfo)
    if own == name:
        return name, ()
    text = (
        f"Its nowfun gives {own}, which is the job's zone. Celery follows it up to 5.5; later"
        f" ones read the fields in {name}, the zone of the application."
    )
    return own, (text,)


def _call(nowfun: Callable[[], Any]) -> datetime:
    try:
        now = nowfun()
    except Exception as error:  # user code
        raise Refused(f"Its nowfun raises {type(error).__name__}.") from error
    if not isinstance(now, datetime):
        raise Refused("Its nowfun returns no datetime.")
    return now
